//! The line of a connection: its socket, and TLS over it where the node speaks that.
//!
//! Invariant: a plain one does what its socket does, and nothing more.

use std::io::{IoSlice, Read, Result, Write};

use super::Tls;
use crate::transport::writer::Outlet;

/// A socket of any kind, with what is spoken over it.
pub struct Line<S> {
    /// The socket itself.
    pub tcp: S,
    /// None where the content goes over it as it is.
    pub tls: Option<Box<Tls>>,
}

impl<S> Line<S> {
    /// The same connection over another form of its socket.
    ///
    /// # Errors
    /// When it cannot be changed.
    pub fn change<T>(self, change: impl FnOnce(S) -> Result<T>) -> Result<Line<T>> {
        Ok(Line { tcp: change(self.tcp)?, tls: self.tls })
    }
}

impl<S: Read> Line<S> {
    /// Whether the last read, which gave `count` of `room` bytes, may have left something.
    pub fn has_more(&self, count: usize, room: usize) -> bool {
        self.tls.as_ref().map_or(count == room, |tls| tls.has_more())
    }
}

impl<S: Write> Line<S> {
    /// Tells a client that knows of such words that nothing more comes.
    ///
    /// # Errors
    /// As [`Tls::end`].
    pub fn end(&mut self) -> Result<()> {
        self.tls.as_mut().map_or(Ok(()), |tls| tls.end(&mut self.tcp))
    }
}

impl<S: Read> Read for Line<S> {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        match &mut self.tls {
            None => self.tcp.read(into),
            Some(tls) => tls.read(&mut self.tcp, into),
        }
    }
}

impl<S: Write> Write for Line<S> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match &mut self.tls {
            None => self.tcp.write(bytes),
            Some(tls) => tls.write(&mut self.tcp, &[IoSlice::new(bytes)]),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> Result<usize> {
        match &mut self.tls {
            None => self.tcp.write_vectored(slices),
            Some(tls) => tls.write(&mut self.tcp, slices),
        }
    }

    fn flush(&mut self) -> Result<()> {
        self.tls.as_mut().map_or(Ok(()), |tls| tls.push(&mut self.tcp))
    }
}

impl<S: Write> Outlet for Line<S> {
    fn held(&self) -> usize {
        self.tls.as_ref().map_or(0, |tls| tls.held())
    }
}
