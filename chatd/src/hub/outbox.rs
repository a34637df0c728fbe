//! What waits to be written to one connection: a bounded queue of shared frames.
//!
//! Invariant: the queue never holds more than its limits; a connection whose queue would, is closed instead, so a
//! slow reader costs a bounded amount of memory and nobody else any time.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use chat_protocol::code::close;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::broker::Conversation;

/// Bounds of an [`Outbox`]. As much again may be on its way to the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Frames waiting at most.
    pub frames: usize,
    /// Bytes waiting at most.
    pub bytes: usize,
}

/// Why and how a connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// WebSocket close code.
    pub code: u16,
    /// Reason for the peer, at most 123 bytes.
    pub reason: &'static str,
}

impl Close {
    /// A close code with its reason.
    #[must_use]
    pub fn new(code: u16, reason: &'static str) -> Self {
        Self { code, reason }
    }
}

/// One frame for a connection.
#[derive(Debug)]
pub struct Delivery<'a> {
    /// The encoded frame.
    pub frame: Bytes,
    /// For a logged message: its place.
    pub position: Option<(&'a Conversation, u64)>,
}

/// What became of a [`Delivery`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It waits for the socket.
    Queued,
    /// The queue was full; the connection is being closed. Said once.
    TooSlow,
    /// The connection was being closed already.
    Closing,
}

/// See the file's head.
#[derive(Debug)]
pub struct Outbox {
    limits: Limits,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Bytes>,
    bytes: usize,
    /// Live pushes that wait until the log-in is answered and recovery is done.
    held: Option<Vec<Held>>,
    closing: Option<Close>,
}

#[derive(Debug)]
struct Held {
    frame: Bytes,
    position: Option<(Conversation, u64)>,
}

impl Outbox {
    /// An empty outbox.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, state: Mutex::default(), changed: Notify::new() }
    }

    /// Queues a push, or keeps it back while the outbox is held.
    pub fn push(&self, delivery: &Delivery<'_>) -> Pushed {
        let mut state = self.state.lock();
        if state.closing.is_some() {
            return Pushed::Closing;
        }
        let room = state.make_room(delivery.frame.len(), self.limits);
        if room {
            if let Some(held) = &mut state.held {
                let position = delivery.position.map(|(conversation, offset)| (conversation.clone(), offset));
                held.push(Held { frame: delivery.frame.clone(), position });
                return Pushed::Queued;
            }
            state.queue.push_back(delivery.frame.clone());
        }
        drop(state);
        self.changed.notify_one();
        if room { Pushed::Queued } else { Pushed::TooSlow }
    }

    /// Queues an answer, which overtakes pushes that are held.
    pub fn answer(&self, frame: Bytes) -> Pushed {
        let mut state = self.state.lock();
        if state.closing.is_some() {
            return Pushed::Closing;
        }
        let room = state.make_room(frame.len(), self.limits);
        if room {
            state.queue.push_back(frame);
        }
        drop(state);
        self.changed.notify_one();
        if room { Pushed::Queued } else { Pushed::TooSlow }
    }

    /// Keeps pushes back until [`Outbox::release`].
    pub fn hold(&self) {
        self.state.lock().held.get_or_insert_default();
    }

    /// Forgets what was held: the log-in was refused, and the next one may be another user's.
    pub fn discard(&self) {
        let mut state = self.state.lock();
        let held = state.held.take().unwrap_or_default();
        state.bytes -= held.iter().map(|held| held.frame.len()).sum::<usize>();
    }

    /// Queues what was held, except messages up to the given offsets, which the connection has already.
    pub fn release(&self, delivered: &HashMap<Conversation, u64>) {
        let mut state = self.state.lock();
        for held in state.held.take().unwrap_or_default() {
            let known = held.position.as_ref().is_some_and(|(conversation, offset)| {
                delivered.get(conversation).is_some_and(|delivered| offset <= delivered)
            });
            if known {
                state.bytes -= held.frame.len();
            } else {
                state.queue.push_back(held.frame);
            }
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Ends the connection after what is queued. The first reason stays.
    pub fn close(&self, close: Close) {
        let mut state = self.state.lock();
        state.closing.get_or_insert(close);
        state.held = None;
        drop(state);
        self.changed.notify_one();
    }

    /// Moves up to `max_frames` frames to `writing`.
    pub fn take(&self, writing: &mut VecDeque<Bytes>, max_frames: usize) {
        let mut state = self.state.lock();
        let count = state.queue.len().min(max_frames);
        if count == state.queue.len() && writing.is_empty() {
            std::mem::swap(writing, &mut state.queue);
        } else {
            writing.extend(state.queue.drain(..count));
        }
        state.bytes -= writing.iter().rev().take(count).map(Bytes::len).sum::<usize>();
    }

    /// Why the connection ends, when it does. What was queued before may still be taken.
    #[must_use]
    pub fn closing(&self) -> Option<Close> {
        self.state.lock().closing.clone()
    }

    /// Whether the connection is to end.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.state.lock().closing.is_some()
    }

    /// Waits until there may be something to take, or a close.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl State {
    /// Counts the frame in, or empties the queue and closes when it does not fit.
    fn make_room(&mut self, bytes: usize, limits: Limits) -> bool {
        let waiting = self.queue.len() + self.held.as_ref().map_or(0, Vec::len);
        if waiting < limits.frames && self.bytes + bytes <= limits.bytes {
            self.bytes += bytes;
            return true;
        }
        self.queue = VecDeque::new();
        self.held = None;
        self.bytes = 0;
        self.closing = Some(Close::new(close::SLOW_CONSUMER, "read too slowly; reconnect and recover"));
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(frames: usize, bytes: usize) -> Outbox {
        Outbox::new(Limits { frames, bytes })
    }

    fn delivery(text: &'static str) -> Delivery<'static> {
        Delivery { frame: Bytes::from_static(text.as_bytes()), position: None }
    }

    fn taken(outbox: &Outbox) -> Vec<Bytes> {
        let mut writing = VecDeque::new();
        outbox.take(&mut writing, 100);
        writing.into()
    }

    #[test]
    fn frames_leave_in_the_order_they_came() {
        let outbox = outbox(10, 100);
        for text in ["a", "b", "c"] {
            assert_eq!(outbox.push(&delivery(text)), Pushed::Queued);
        }
        let mut writing = VecDeque::new();
        outbox.take(&mut writing, 2);
        assert_eq!(writing, ["a", "b"]);
        outbox.take(&mut writing, 2);
        assert_eq!(writing, ["a", "b", "c"]);
        assert_eq!(outbox.state.lock().bytes, 0);
    }

    #[test]
    fn a_full_queue_closes_once_with_4001() {
        for outbox in [outbox(2, 100), outbox(100, 2)] {
            outbox.push(&delivery("a"));
            outbox.push(&delivery("b"));
            assert_eq!(outbox.push(&delivery("c")), Pushed::TooSlow);
            assert_eq!(outbox.push(&delivery("d")), Pushed::Closing);
            assert!(taken(&outbox).is_empty());
            assert_eq!(outbox.closing().unwrap().code, 4001);
        }
    }

    #[test]
    fn held_pushes_follow_the_answer_and_known_ones_are_dropped() {
        let outbox = outbox(10, 100);
        let world = Conversation::World(1);
        outbox.hold();
        for (offset, text) in [(4, "4"), (5, "5")] {
            let frame = Bytes::from_static(text.as_bytes());
            outbox.push(&Delivery { frame, position: Some((&world, offset)) });
        }
        outbox.push(&delivery("notice"));
        outbox.answer(Bytes::from_static(b"answer"));
        outbox.release(&HashMap::from([(world, 4)]));
        assert_eq!(taken(&outbox), ["answer", "5", "notice"]);
        assert_eq!(outbox.state.lock().bytes, 0);
    }

    #[test]
    fn what_was_held_for_a_refused_log_in_is_forgotten() {
        let outbox = outbox(1, 100);
        outbox.hold();
        outbox.push(&delivery("for the one refused"));
        outbox.discard();
        assert_eq!(outbox.answer(Bytes::from_static(b"refused")), Pushed::Queued);
        assert_eq!(taken(&outbox), ["refused"]);
        outbox.hold();
        outbox.release(&HashMap::new());
        assert!(taken(&outbox).is_empty());
        assert_eq!(outbox.state.lock().bytes, 0);
    }

    #[test]
    fn a_close_comes_after_what_was_queued() {
        let outbox = outbox(10, 100);
        outbox.push(&delivery("a"));
        outbox.close(Close::new(4500, "kicked"));
        assert_eq!(outbox.push(&delivery("late")), Pushed::Closing);
        assert_eq!(taken(&outbox), ["a"]);
        assert_eq!(outbox.closing().unwrap().code, 4500);
    }
}
