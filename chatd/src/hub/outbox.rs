//! What waits to be written to one connection: a bounded queue of shared frames.
//!
//! Invariant: the queue never holds more than its limits; a connection whose queue would, is closed instead, so a
//! slow reader costs a bounded amount of memory and nobody else any time.

use std::borrow::Cow;

use bytes::Bytes;
use chat_protocol::code::close;
use parking_lot::Mutex;

use super::bell::Rope;
use super::catching_up::{CatchingUp, is_past};
use crate::model::{Conversation, Entry, Position};
use crate::transport::ending::Waiting;
use crate::transport::frames::Frames;

/// Bytes given to the socket at a time, unless a single frame has more.
const MAX_TAKEN: usize = 64 * 1024;

/// Bounds of an [`Outbox`]. As much again may be on its way to the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Frames waiting at most.
    pub frames: usize,
    /// Bytes waiting at most.
    pub bytes: usize,
}

/// Bytes of the reason in a close frame at most (RFC 6455 §5.5).
pub const MAX_REASON_BYTES: usize = 123;

/// Why and how a connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// WebSocket close code.
    pub code: u16,
    /// Reason for the peer, at most [`MAX_REASON_BYTES`].
    pub reason: Cow<'static, str>,
}

impl Close {
    /// A close code with its reason.
    #[must_use]
    pub fn new(code: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { code, reason: reason.into() }
    }
}

/// One frame for a connection.
#[derive(Debug)]
pub struct Delivery<'a> {
    /// The encoded frame.
    pub frame: Bytes,
    /// For a logged message: which.
    pub message: Option<(&'a Conversation, &'a Entry)>,
}

/// What became of a [`Delivery`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It waits for the socket.
    Queued,
    /// The queue was full; the connection is being closed. Said once.
    TooSlow,
    /// The connection has it already.
    Known,
    /// The connection was being closed already.
    Closing,
}

/// What waits to be written to one connection, and how it ends.
#[derive(Debug)]
pub struct Outbox {
    limits: Limits,
    state: Mutex<State>,
    rope: Rope,
}

#[derive(Debug, Default)]
struct State {
    queue: Frames,
    bytes: usize,
    /// Bytes on their way to the socket, of which some may have arrived.
    taken: usize,
    /// Live pushes that wait until the log-in is answered and recovery is done.
    catching_up: Option<Box<CatchingUp>>,
    closing: Option<Box<Closing>>,
}

/// A connection on its way to its end.
#[derive(Debug)]
struct Closing {
    close: Close,
    /// What its reader, given up, does not get any more.
    dropped: Waiting,
}

impl Outbox {
    /// An empty outbox, which rings when there may be something to take, or a close.
    #[must_use]
    pub fn new(limits: Limits, rope: Rope) -> Self {
        Self { limits, state: Mutex::default(), rope }
    }

    /// Queues a push, keeps it back while the outbox is held, or drops it when the connection has it from the log.
    pub fn push(&self, delivery: &Delivery<'_>) -> Pushed {
        let mut state = self.state.lock();
        if state.closing.is_some() {
            return Pushed::Closing;
        }
        if let Some((conversation, entry)) = delivery.message
            && let Some(catching_up) = &mut state.catching_up
            && catching_up.has(conversation, &entry.epoch, entry.offset)
        {
            return Pushed::Known;
        }
        let room = state.make_room(delivery.frame.len(), self.limits);
        if room {
            if let Some(catching_up) = &mut state.catching_up {
                if catching_up.holders > 0 {
                    catching_up.keep(delivery);
                    return Pushed::Queued;
                }
                if catching_up.sent.is_empty() {
                    state.catching_up = None;
                }
            }
            state.queue.push(delivery.frame.clone());
        }
        drop(state);
        self.rope.ring();
        if room { Pushed::Queued } else { Pushed::TooSlow }
    }

    /// Queues an answer, which overtakes pushes that are held and stands before a close, unless the reader was given up.
    pub fn answer(&self, frame: Bytes) -> Pushed {
        let mut state = self.state.lock();
        if !state.takes_answers() {
            return Pushed::Closing;
        }
        // An answer may be as large as the whole queue: it was asked for when there was room.
        let limits = Limits { bytes: self.limits.bytes.max(self.mark() + frame.len()), ..self.limits };
        let room = state.make_room(frame.len(), limits);
        if room {
            state.queue.push(frame);
        }
        drop(state);
        self.rope.ring();
        if room { Pushed::Queued } else { Pushed::TooSlow }
    }

    /// Keeps pushes back until as many calls of [`Outbox::release`].
    pub fn hold(&self) {
        self.state.lock().catching_up.get_or_insert_default().holders += 1;
    }

    /// Queues what was held, except messages up to the given positions, which the connection has from the log already;
    /// such messages are dropped later too, because the log is ahead of the live stream. With other holders, the
    /// last one's release queues.
    pub fn release(&self, sent: impl IntoIterator<Item = (Conversation, Position)>) {
        let mut state = self.state.lock();
        let Some(mut catching_up) = state.catching_up.take() else { return };
        catching_up.holders -= 1;
        for (conversation, position) in sent {
            let known = catching_up.sent.get(&conversation);
            let further =
                known.is_none_or(|known| known.covers(&position.epoch, position.offset) != Some(true));
            if position.offset > 0 && further {
                catching_up.sent.insert(conversation, position);
            }
        }
        if catching_up.holders == 0 {
            for held in std::mem::take(&mut catching_up.held) {
                let known = held.message.as_ref().is_some_and(|(conversation, position)| {
                    catching_up.has(conversation, &position.epoch, position.offset)
                });
                if known {
                    state.bytes -= held.frame.len();
                } else {
                    state.queue.push(held.frame);
                }
            }
        }
        if catching_up.holders > 0 || !catching_up.sent.is_empty() {
            state.catching_up = Some(catching_up);
        }
        drop(state);
        self.rope.ring();
    }

    /// Ends one hold and forgets what was held: the log-in was refused, and the next one may be another user's.
    pub fn abandon(&self) {
        let mut state = self.state.lock();
        let Some(catching_up) = state.catching_up.take() else { return };
        state.bytes -= catching_up.held.iter().map(|held| held.frame.len()).sum::<usize>();
        let holders = catching_up.holders - 1;
        if holders > 0 {
            state.catching_up = Some(Box::new(CatchingUp { holders, ..CatchingUp::default() }));
        }
    }

    /// How far the connection has the conversation from the log, while the live stream is behind that.
    #[must_use]
    pub fn known(&self, conversation: &Conversation) -> Option<Position> {
        let state = self.state.lock();
        state.catching_up.as_ref()?.sent.get(conversation).cloned()
    }

    /// Whether the connection has an entry from the log, of which the live stream tells only now.
    #[must_use]
    pub fn knows(&self, conversation: &Conversation, entry: &Entry) -> bool {
        self.known(conversation)
            .is_some_and(|known| is_past(&known, conversation, &entry.epoch, entry.offset))
    }

    /// Drops what is held of a conversation and not for the connection, by epoch and offset.
    pub fn discard(&self, conversation: &Conversation, is_foreign: impl Fn(&str, u64) -> bool) {
        let mut state = self.state.lock();
        let Some(catching_up) = &mut state.catching_up else { return };
        let mut bytes = 0;
        catching_up.held.retain(|held| {
            let foreign = |position: &Position| is_foreign(&position.epoch, position.offset);
            let drop =
                held.message.as_ref().is_some_and(|(of, position)| of == conversation && foreign(position));
            bytes += if drop { held.frame.len() } else { 0 };
            !drop
        });
        state.bytes -= bytes;
    }

    /// Ends the connection after what is queued. The first reason stays.
    pub fn close(&self, close: Close) {
        let mut state = self.state.lock();
        state.end(close);
        state.catching_up = None;
        drop(state);
        self.rope.ring();
    }

    /// Whether the reader is near enough to be asked for more: of a client that does not read its answers nothing
    /// more is done than it has room for.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let state = self.state.lock();
        state.bytes + state.taken <= self.mark() && state.queue.len() <= self.limits.frames / 2
    }

    fn mark(&self) -> usize {
        self.limits.bytes / 4
    }

    /// Bytes that wait for the reader, those on their way to the socket included.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let state = self.state.lock();
        state.bytes + state.taken
    }

    /// Gives the reader up and forgets what waits for it; says how many bytes will be free by that, those included that
    /// wait until the socket ends.
    pub fn shed(&self) -> usize {
        let mut state = self.state.lock();
        let bytes = state.bytes + state.taken;
        state.give_up();
        drop(state);
        self.rope.ring();
        bytes
    }

    /// Moves up to `max_frames` frames to `writing`, of which all before were written, and no more than the socket may
    /// take soon.
    pub fn take(&self, writing: &mut Frames, max_frames: usize) {
        let mut state = self.state.lock();
        let (mut count, mut bytes) = (0, 0);
        for frame in state.queue.iter().take(max_frames) {
            if count > 0 && bytes + frame.len() > MAX_TAKEN {
                break;
            }
            (count, bytes) = (count + 1, bytes + frame.len());
        }
        state.bytes -= bytes;
        state.taken = bytes;
        state.queue.move_to(writing, count);
    }

    /// Why the connection ends, when it does. What was queued before may still be taken.
    #[must_use]
    pub fn closing(&self) -> Option<Close> {
        self.state.lock().closing.as_ref().map(|closing| closing.close.clone())
    }

    /// What was queued and will not be taken, if this is the connection's end.
    #[must_use]
    pub fn left(&self) -> Waiting {
        let state = self.state.lock();
        let dropped = state.closing.as_ref().map_or_else(Waiting::default, |closing| closing.dropped);
        dropped + state.queued()
    }

    /// Whether the connection is to end.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.state.lock().closing.is_some()
    }

    /// Whether an answer would still be delivered.
    #[must_use]
    pub fn takes_answers(&self) -> bool {
        self.state.lock().takes_answers()
    }

    /// Rings though nothing is queued.
    pub fn ring(&self) {
        self.rope.ring();
    }

    /// What changes from now on rings nothing, until [`Outbox::look`].
    pub fn quiet(&self) {
        self.rope.hold();
    }

    /// What changes from now on rings anew. Called before a look at what is here.
    pub fn look(&self) {
        self.rope.let_go();
    }
}

impl State {
    fn takes_answers(&self) -> bool {
        self.closing.as_ref().is_none_or(|closing| closing.close.code != close::SLOW_CONSUMER)
    }

    /// Frames that wait for the socket, or for the end of a log-in.
    fn queued(&self) -> Waiting {
        let held = self.catching_up.iter().flat_map(|catching_up| &catching_up.held);
        Waiting::of(self.queue.iter().chain(held.map(|held| &held.frame)))
    }

    /// The first reason stays.
    fn end(&mut self, close: Close) -> &mut Closing {
        self.closing.get_or_insert_with(|| Box::new(Closing { close, dropped: Waiting::default() }))
    }

    /// Counts the frame in, or empties the queue and closes when it does not fit.
    fn make_room(&mut self, bytes: usize, limits: Limits) -> bool {
        let waiting =
            self.queue.len() + self.catching_up.as_ref().map_or(0, |catching_up| catching_up.held.len());
        if waiting < limits.frames && self.bytes + bytes <= limits.bytes {
            self.bytes += bytes;
            return true;
        }
        self.give_up();
        false
    }

    fn give_up(&mut self) {
        let dropped = self.queued();
        self.queue = Frames::default();
        self.catching_up = None;
        self.bytes = 0;
        let slow = Close::new(close::SLOW_CONSUMER, "read too slowly; reconnect and recover");
        let closing = self.end(slow);
        closing.dropped = closing.dropped + dropped;
    }
}

#[cfg(test)]
mod tests;
