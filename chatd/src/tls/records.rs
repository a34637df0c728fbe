//! The TLS of one connection, over any socket that does not block.
//!
//! Invariant: who has nothing under way holds no buffer: records are read and opened, sealed and written in buffers that
//! the connections of a thread share. What a socket does not take of a record, less than 17 KiB, counts among what waits
//! for readers; what came of a record that is not whole is no more.

use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};

use crate::transport::queued;

/// Bytes of content in a record at most (RFC 8446 §5.1).
const MOST_CONTENT: usize = 16 * 1024;
/// Bytes of a record at most, with its header and its seal (RFC 5246 §6.2.3; RFC 8446 allows fewer).
const MOST_RECORD: usize = 5 + MOST_CONTENT + 2048;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        records: vec![0; MOST_RECORD].into(),
        content: Vec::with_capacity(MOST_CONTENT),
        sealed: vec![0; MOST_RECORD].into(),
    });
}

/// What the connections of a thread share.
struct Scratch {
    /// As they were read.
    records: Box<[u8]>,
    /// What goes into a record.
    content: Vec<u8>,
    /// The record.
    sealed: Box<[u8]>,
}

/// The TLS of one connection.
pub struct Tls {
    connection: UnbufferedServerConnection,
    /// What came and is not opened: the beginning of a record, or records for whose content there was no room.
    unopened: Vec<u8>,
    /// Whether there may be whole records in it.
    is_waiting: bool,
    /// What was opened and is not read.
    unread: Bytes,
    /// What was sealed and is not written.
    unwritten: Bytes,
    /// Whether the last read of the socket took all there was room for, so that it may have more.
    was_full: bool,
    /// Whether the client sends nothing more.
    is_ended: bool,
    /// Whether it was told that nothing more comes.
    has_said_end: bool,
}

/// What is to be done once the connection can send.
enum Wish<'a> {
    Nothing,
    /// Seals this as one record.
    Seal(&'a [u8]),
    /// Seals the word that nothing more comes.
    End,
}

/// What a run over records came to.
#[derive(Default)]
struct Run {
    /// Bytes of records that are done with.
    used: usize,
    /// Bytes of content that were given.
    given: usize,
    /// Bytes that were sealed.
    sealed: usize,
}

impl Tls {
    /// A connection of which nothing was read yet.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub fn new(config: Arc<ServerConfig>) -> Result<Box<Self>, rustls::Error> {
        Ok(Box::new(Self {
            connection: UnbufferedServerConnection::new(config)?,
            unopened: Vec::new(),
            is_waiting: false,
            unread: Bytes::new(),
            unwritten: Bytes::new(),
            was_full: false,
            is_ended: false,
            has_said_end: false,
        }))
    }

    /// Goes on with the handshake, to its end or as far as the socket lets it. Half a millisecond of work or so at a time.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] while the client is waited for; [`ErrorKind::InvalidData`] of a [`rustls::Error`], about
    /// which the client was told; or what the socket says.
    pub fn shake(&mut self, socket: &mut (impl Read + Write)) -> io::Result<()> {
        loop {
            self.push(socket)?;
            if !self.connection.is_handshaking() {
                return Ok(());
            }
            if self.is_ended {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let read = SCRATCH.with_borrow_mut(|scratch| self.fill(socket, scratch, &mut []));
            if let Err(error) = read {
                if error.kind() == ErrorKind::InvalidData {
                    // Its client may still be there to hear what is wrong.
                    let _ = self.push(socket);
                }
                return Err(error);
            }
        }
    }

    /// Reads what the client says: nothing (0) once it says nothing more.
    ///
    /// # Errors
    /// As [`Tls::shake`].
    pub fn read(&mut self, socket: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.unread.is_empty() {
                let given = self.unread.len().min(into.len());
                self.unread.copy_to_slice(&mut into[..given]);
                return Ok(given);
            }
            if self.is_ended {
                return Ok(0);
            }
            let given = SCRATCH.with_borrow_mut(|scratch| self.fill(socket, scratch, into))?;
            if given > 0 {
                return Ok(given);
            }
        }
    }

    /// Reads the socket once, unless whole records wait, and opens what is whole.
    fn fill(
        &mut self,
        socket: &mut impl Read,
        Scratch { records, sealed, .. }: &mut Scratch,
        into: &mut [u8],
    ) -> io::Result<usize> {
        let mut there = self.unopened.len();
        records[..there].copy_from_slice(&self.unopened);
        if !self.is_waiting {
            let room = &mut records[there..];
            if room.is_empty() {
                return Err(invalid(rustls::Error::General(
                    "a handshake message that is too long".to_owned(),
                )));
            }
            let read = socket.read(room);
            self.was_full = read.as_ref().is_ok_and(|read| *read == room.len());
            let read = read?;
            // A client that goes without a farewell is one that goes: what it says has lengths of its own.
            self.is_ended |= read == 0;
            there += read;
        }
        self.is_waiting = false;
        let Run { used, given, .. } = self.run(&mut records[..there], into, Wish::Nothing, sealed)?;
        self.unopened = records[used..there].to_vec();
        Ok(given)
    }

    /// Writes, as one record, what there is of the slices, up to what a record holds. What the socket does not take of it
    /// is held until the next call, so this means no more than that.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] while the record before is held, or what the socket says.
    pub fn write(&mut self, socket: &mut impl Write, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.push(socket)?;
        SCRATCH.with_borrow_mut(|Scratch { content, sealed, .. }| {
            let content = match slices {
                [one] => &one[..one.len().min(MOST_CONTENT)],
                _ => {
                    gather(slices, content);
                    content
                }
            };
            if content.is_empty() {
                return Ok(0);
            }
            self.seal(Wish::Seal(content), socket, sealed)?;
            Ok(content.len())
        })
    }

    /// Tells the client that nothing more comes.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] while something is held, that word included; or what the socket says.
    pub fn end(&mut self, socket: &mut impl Write) -> io::Result<()> {
        self.push(socket)?;
        if !std::mem::replace(&mut self.has_said_end, true) {
            SCRATCH.with_borrow_mut(|Scratch { sealed, .. }| self.seal(Wish::End, socket, sealed))?;
        }
        self.push(socket)
    }

    /// Seals and writes; holds what the socket does not take.
    fn seal(&mut self, wish: Wish<'_>, socket: &mut impl Write, sealed: &mut [u8]) -> io::Result<()> {
        // It sends only once all that came is opened.
        let mut unopened = std::mem::take(&mut self.unopened);
        let run = self.run(&mut unopened, &mut [], wish, sealed)?;
        if run.used < unopened.len() {
            unopened.drain(..run.used);
            self.unopened = unopened;
        }
        let ready = &sealed[..run.sealed];
        let mut taken = 0;
        // What was due before, such as an answer about keys, goes first.
        if self.unwritten.is_empty() {
            taken = match socket.write(ready) {
                Ok(taken) => taken,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => 0,
                Err(error) => return Err(error),
            };
        }
        hold(&mut self.unwritten, &ready[taken..]);
        Ok(())
    }

    /// Writes what is held.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] when the socket does not take all of it, or what the socket says.
    pub fn push(&mut self, socket: &mut impl Write) -> io::Result<()> {
        while !self.unwritten.is_empty() {
            match socket.write(&self.unwritten) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(taken) => self.unwritten.advance(taken),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.unwritten = Bytes::new();
        Ok(())
    }

    /// Bytes of records that are held until the socket takes them.
    #[must_use]
    pub fn held(&self) -> usize {
        self.unwritten.len()
    }

    /// Whether a read may give more without anything happening at the socket.
    #[must_use]
    pub fn has_more(&self) -> bool {
        self.was_full || self.is_waiting || !self.unread.is_empty()
    }

    /// Gives back what was read last, so that it is read again.
    pub fn unread(&mut self, bytes: &[u8]) {
        self.unread = [bytes, &self.unread].concat().into();
    }

    /// Opens records one after the other, until there is content for which there is no room, or until all are open and
    /// the wish can be granted. Content goes to `into`; what of a record does not fit is kept.
    fn run(
        &mut self,
        records: &mut [u8],
        into: &mut [u8],
        mut wish: Wish<'_>,
        sealed: &mut [u8],
    ) -> io::Result<Run> {
        let mut run = Run::default();
        loop {
            if !self.unread.is_empty() && matches!(wish, Wish::Nothing) {
                self.is_waiting = run.used < records.len();
                return Ok(run);
            }
            let (discard, next) = {
                let UnbufferedStatus { discard, state } =
                    self.connection.process_tls_records(&mut records[run.used..]);
                let next = match state {
                    Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                        if let Some(record) = traffic.next_record() {
                            let content = record.map_err(invalid)?.payload;
                            let fits = content.len().min(into.len() - run.given);
                            into[run.given..run.given + fits].copy_from_slice(&content[..fits]);
                            run.given += fits;
                            append(&mut self.unread, &content[fits..]);
                        }
                        Next::Again
                    }
                    Ok(ConnectionState::EncodeTlsData(mut data)) => Next::Say(encoded(&mut data)?),
                    // What was encoded is held, and goes before anything else.
                    Ok(ConnectionState::TransmitTlsData(data)) => {
                        data.done();
                        Next::Again
                    }
                    Ok(ConnectionState::PeerClosed) => {
                        self.is_ended = true;
                        Next::Again
                    }
                    Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                        let ready = match std::mem::replace(&mut wish, Wish::Nothing) {
                            Wish::Nothing => Ok(0),
                            Wish::Seal(content) => traffic.encrypt(content, sealed),
                            Wish::End => traffic.queue_close_notify(sealed),
                        };
                        run.sealed = ready.map_err(io::Error::other)?;
                        Next::Wait
                    }
                    Ok(_) => Next::Wait,
                    Err(error) => Next::Fail(error),
                };
                (discard, next)
            };
            run.used += discard;
            match next {
                Next::Again => {}
                Next::Say(message) => hold(&mut self.unwritten, &message),
                Next::Wait if matches!(wish, Wish::Nothing) => return Ok(run),
                Next::Wait => return Err(ErrorKind::NotConnected.into()),
                Next::Fail(error) => {
                    self.complain();
                    return Err(invalid(error));
                }
            }
        }
    }

    /// Holds what the client is to hear about an error of its own.
    fn complain(&mut self) {
        let mut complaint = || match self.connection.process_tls_records(&mut []).state {
            Ok(ConnectionState::EncodeTlsData(mut data)) => encoded(&mut data).ok(),
            _ => None,
        };
        while let Some(message) = complaint() {
            hold(&mut self.unwritten, &message);
        }
    }
}

/// What a connection asks for.
enum Next {
    Again,
    /// Something of TLS itself is to be sent.
    Say(Vec<u8>),
    /// More records, or nothing.
    Wait,
    Fail(rustls::Error),
}

/// What of the slices goes into one record.
fn gather(slices: &[IoSlice<'_>], content: &mut Vec<u8>) {
    content.clear();
    for slice in slices {
        let fits = slice.len().min(MOST_CONTENT - content.len());
        content.extend_from_slice(&slice[..fits]);
    }
}

/// Counts among what waits for readers.
fn hold(unwritten: &mut Bytes, bytes: &[u8]) {
    if !bytes.is_empty() {
        *unwritten = queued::counted([unwritten, bytes].concat());
    }
}

fn append(unread: &mut Bytes, bytes: &[u8]) {
    if !bytes.is_empty() {
        *unread = [unread, bytes].concat().into();
    }
}

fn encoded<D>(data: &mut EncodeTlsData<'_, D>) -> io::Result<Vec<u8>> {
    let length = match data.encode(&mut []) {
        Err(EncodeError::InsufficientSize(needed)) => needed.required_size,
        Err(error) => return Err(io::Error::other(error)),
        Ok(_) => 0,
    };
    let mut message = vec![0; length];
    if length > 0 {
        data.encode(&mut message).map_err(io::Error::other)?;
    }
    Ok(message)
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests;
