//! One connection of a worker: its socket and its session.
//!
//! Invariant: a turn is bounded: one read, the requests of one turn, and what the socket takes at once.

use std::io::{self, ErrorKind, Read};
use std::net::Shutdown;
use std::time::Instant;

use mio::event::Event;
use mio::net::TcpStream;
use socket2::SockRef;
use tokio::task::AbortHandle;

use super::Held;
use crate::session::{Pending, Session, Stage};
use crate::tls::Line;
use crate::transport::writer::{Flushed, Outlet};

/// A connection that a worker looks at.
pub struct Seat {
    line: Line<TcpStream>,
    session: Session,
    /// See [`super::mailbox::Key`].
    pub turn: u32,
    /// Whether the worker will look at it anyway.
    pub is_queued: bool,
    /// Whether the socket may have bytes for us.
    is_readable: bool,
    /// Whether the client has shut its side, so that a read short of the buffer is not the last one.
    is_shut: bool,
    /// Whether the socket may take bytes.
    is_writable: bool,
    /// Whether the connection is gone, which a session that neither reads nor writes would not notice.
    is_broken: bool,
    request: Option<AbortHandle>,
    _held: Held,
}

/// What a turn leaves.
pub enum Turn {
    /// Nothing to do until something happens.
    Wait,
    /// More of the same.
    Again,
    /// The connection has ended.
    Over,
}

impl Seat {
    /// A connection that has just been registered: all that happened to its socket is still to be told.
    pub fn new(line: Line<TcpStream>, session: Session, turn: u32, held: Held) -> Self {
        // What came with the handshake may lie here already, of which no event tells.
        let is_readable = line.tls.is_some();
        Self {
            line,
            session,
            turn,
            is_queued: false,
            is_readable,
            is_shut: false,
            is_writable: true,
            is_broken: false,
            request: None,
            _held: held,
        }
    }

    /// What it speaks.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Its socket, for the registry.
    pub fn tcp(&mut self) -> &mut TcpStream {
        &mut self.line.tcp
    }

    /// Notes what happened to the socket.
    pub fn note(&mut self, event: &Event) {
        self.is_readable |= event.is_readable() || event.is_read_closed();
        self.is_shut |= event.is_read_closed();
        self.is_writable |= event.is_writable() || event.is_write_closed();
        self.is_broken |= event.is_error();
    }

    /// Notes who runs its request.
    pub fn runs(&mut self, request: AbortHandle) {
        self.request = Some(request);
    }

    /// Its request is finished.
    pub fn ran(&mut self) {
        self.request = None;
    }

    /// Does what there is to do, and gives a request that has to wait. `buffer` is for what is read.
    pub fn look(&mut self, buffer: &mut [u8], now: Instant) -> (Turn, Option<Pending>) {
        self.session.quiet();
        self.session.run();
        let looked = match self.session.stage() {
            _ if self.is_broken => Err(self.broken()),
            Stage::Draining { .. } => self.drain(buffer, now).map(|turn| (turn, None)),
            _ => self.hear(buffer).and_then(|pending| Ok((self.speak(now)?, pending))),
        };
        let (turn, pending) = looked.unwrap_or_else(|error| {
            self.session.lost(&error);
            (Turn::Over, None)
        });
        (turn, pending.filter(|_| self.session.is_busy()))
    }

    fn broken(&self) -> io::Error {
        let error = self.line.tcp.take_error().unwrap_or_else(Some);
        error.unwrap_or_else(|| ErrorKind::ConnectionReset.into())
    }

    fn hear(&mut self, buffer: &mut [u8]) -> io::Result<Option<Pending>> {
        if !self.session.listens() {
            return Ok(None);
        }
        if self.session.has_kept() {
            return Ok(self.session.resume());
        }
        if !self.is_readable {
            return Ok(None);
        }
        Ok(match self.read(buffer)? {
            Some(0) => {
                self.session.hang_up();
                None
            }
            Some(count) => self.session.receive(&mut buffer[..count]),
            None => None,
        })
    }

    /// Bytes read; none when there is nothing more for now.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.line.read(buffer) {
            Ok(count) => {
                let has_more = self.line.has_more(count, buffer.len());
                self.is_readable = count > 0 && (has_more || self.is_shut);
                Ok(Some(count))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.is_readable = false;
                Ok(None)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn speak(&mut self, now: Instant) -> io::Result<Turn> {
        self.session.look();
        self.is_writable |= self.session.insists(now);
        loop {
            if self.is_writable {
                self.is_writable = self.session.flush(&mut self.line, now)? == Flushed::All;
            }
            let (before, line) = (self.session.stage(), &self.line);
            let stage = self.session.go_on(now, |bytes| make_room(&line.tcp, bytes + line.held()));
            match stage {
                Stage::Open if self.session.listens() && (self.session.has_kept() || self.is_readable) => {
                    return Ok(Turn::Again);
                }
                Stage::Open | Stage::Answering(_) => return Ok(Turn::Wait),
                Stage::Over => return Ok(Turn::Over),
                _ => {}
            }
            if let Some(request) = self.request.take() {
                request.abort();
            }
            if !matches!(before, Stage::Parting { .. }) {
                // The close is still to be written, for which there may be room by now.
                self.is_writable = true;
                continue;
            }
            if !self.is_writable {
                return Ok(Turn::Wait);
            }
            if let Err(error) = self.line.end() {
                self.is_writable = false;
                return if error.kind() == ErrorKind::WouldBlock { Ok(Turn::Wait) } else { Err(error) };
            }
            // Closing with unread input would reset the connection and could take the farewell with it.
            self.line.tcp.shutdown(Shutdown::Write)?;
            self.session.said_all(now);
            self.is_readable = true;
            return Ok(Turn::Again);
        }
    }

    /// Drops what the client still sends.
    fn drain(&mut self, buffer: &mut [u8], now: Instant) -> io::Result<Turn> {
        if self.is_readable && self.read(buffer)? == Some(0) {
            self.session.over();
        }
        Ok(match self.session.go_on(now, |_| ()) {
            Stage::Over => Turn::Over,
            _ if self.is_readable => Turn::Again,
            _ => Turn::Wait,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(request) = &self.request {
            request.abort();
        }
    }
}

/// Lets the kernel hold so many bytes more.
fn make_room(tcp: &TcpStream, bytes: usize) {
    let socket = SockRef::from(tcp);
    if let Ok(size) = socket.send_buffer_size()
        && let Err(error) = socket.set_send_buffer_size(size + bytes)
    {
        tracing::debug!(%error, "room for a farewell");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::Connection;

    /// A million idle connections hold a million of these.
    #[test]
    fn what_a_connection_holds_stays_small() {
        let (seat, connection) = (size_of::<Seat>(), size_of::<Connection>());
        assert!(seat <= 296 && connection <= 256, "{seat} and {connection} bytes");
    }
}
