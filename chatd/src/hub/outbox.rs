//! What waits to be written to one connection: a bounded queue of shared frames.
//!
//! Invariant: the queue never holds more than its limits; a connection whose queue would, is closed instead, so a
//! slow reader costs a bounded amount of memory and nobody else any time.

use std::collections::VecDeque;

use bytes::Bytes;
use chat_protocol::code::close;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::catching_up::CatchingUp;
pub use super::catching_up::Place;
use crate::broker::{Conversation, Entry};

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
    catching_up: Option<Box<CatchingUp>>,
    closing: Option<Close>,
}

impl Outbox {
    /// An empty outbox.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, state: Mutex::default(), changed: Notify::new() }
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

    /// Keeps pushes back until as many calls of [`Outbox::release`].
    pub fn hold(&self) {
        self.state.lock().catching_up.get_or_insert_default().holders += 1;
    }

    /// Queues what was held, except messages up to the given places, which the connection has from the log already;
    /// such messages are dropped later too, because the log is ahead of the live stream. With other holders, the
    /// last one's release queues.
    pub fn release(&self, sent: impl IntoIterator<Item = (Conversation, Place)>) {
        let mut state = self.state.lock();
        let Some(mut catching_up) = state.catching_up.take() else { return };
        catching_up.holders -= 1;
        for (conversation, place) in sent {
            let known = catching_up.sent.get(&conversation);
            let further = known.is_none_or(|known| known.epoch != place.epoch || known.offset < place.offset);
            if place.offset > 0 && further {
                catching_up.sent.insert(conversation, place);
            }
        }
        if catching_up.holders == 0 {
            for held in std::mem::take(&mut catching_up.held) {
                let known = held.message.as_ref().is_some_and(|(conversation, place)| {
                    catching_up.has(conversation, &place.epoch, place.offset)
                });
                if known {
                    state.bytes -= held.frame.len();
                } else {
                    state.queue.push_back(held.frame);
                }
            }
        }
        if catching_up.holders > 0 || !catching_up.sent.is_empty() {
            state.catching_up = Some(catching_up);
        }
        drop(state);
        self.changed.notify_one();
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
    pub fn known(&self, conversation: &Conversation) -> Option<Place> {
        let state = self.state.lock();
        state.catching_up.as_ref()?.sent.get(conversation).cloned()
    }

    /// Whether the connection has an entry from the log, of which the live stream tells only now.
    #[must_use]
    pub fn knows(&self, conversation: &Conversation, entry: &Entry) -> bool {
        self.known(conversation).is_some_and(|known| known.is_past(conversation, &entry.epoch, entry.offset))
    }

    /// Drops what is held of a conversation and not for the connection, by epoch and offset.
    pub fn discard(&self, conversation: &Conversation, is_foreign: impl Fn(&str, u64) -> bool) {
        let mut state = self.state.lock();
        let Some(catching_up) = &mut state.catching_up else { return };
        let mut bytes = 0;
        catching_up.held.retain(|held| {
            let foreign = |place: &Place| is_foreign(&place.epoch, place.offset);
            let drop = held.message.as_ref().is_some_and(|(of, place)| of == conversation && foreign(place));
            bytes += if drop { held.frame.len() } else { 0 };
            !drop
        });
        state.bytes -= bytes;
    }

    /// Ends the connection after what is queued. The first reason stays.
    pub fn close(&self, close: Close) {
        let mut state = self.state.lock();
        state.closing.get_or_insert(close);
        state.catching_up = None;
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
        let waiting =
            self.queue.len() + self.catching_up.as_ref().map_or(0, |catching_up| catching_up.held.len());
        if waiting < limits.frames && self.bytes + bytes <= limits.bytes {
            self.bytes += bytes;
            return true;
        }
        self.queue = VecDeque::new();
        self.catching_up = None;
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
        Delivery { frame: Bytes::from_static(text.as_bytes()), message: None }
    }

    fn entry(epoch: &str, offset: u64) -> Entry {
        let (msg_id, members) = (chat_protocol::MsgId::new("m").unwrap(), Bytes::new());
        let (skip, effect) = (crate::broker::Skip::Nobody, crate::broker::Effect::None);
        Entry { offset, epoch: epoch.into(), time: 0, msg_id, members, skip, effect }
    }

    fn at(offset: u64) -> Place {
        Place { epoch: "e".into(), offset }
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
            outbox.push(&Delivery { frame, message: Some((&world, &entry("e", offset))) });
        }
        outbox.push(&delivery("notice"));
        outbox.answer(Bytes::from_static(b"answer"));
        outbox.release([(world, at(4))]);
        assert_eq!(taken(&outbox), ["answer", "5", "notice"]);
        assert_eq!(outbox.state.lock().bytes, 0);
        assert!(outbox.state.lock().catching_up.is_none());
    }

    #[test]
    fn a_live_message_behind_the_log_is_dropped_after_the_release_too() {
        let outbox = outbox(10, 100);
        let world = Conversation::World(1);
        outbox.hold();
        outbox.release([(world.clone(), at(4))]);
        for (offset, pushed) in
            [(3, Pushed::Known), (4, Pushed::Known), (5, Pushed::Queued), (6, Pushed::Queued)]
        {
            let frame = Bytes::from_static(b"m");
            let entry = entry("e", offset);
            assert_eq!(outbox.push(&Delivery { frame, message: Some((&world, &entry)) }), pushed);
        }
        assert!(outbox.state.lock().catching_up.is_none());
        assert_eq!(taken(&outbox).len(), 2);
    }

    #[test]
    fn the_last_of_several_holders_releases() {
        let outbox = outbox(10, 100);
        outbox.hold();
        outbox.hold();
        outbox.push(&delivery("a"));
        outbox.release([]);
        assert!(taken(&outbox).is_empty());
        outbox.release([]);
        assert_eq!(taken(&outbox), ["a"]);
    }

    #[test]
    fn what_was_held_for_a_refused_log_in_is_forgotten() {
        let outbox = outbox(1, 100);
        outbox.hold();
        outbox.push(&delivery("for the one refused"));
        outbox.abandon();
        assert_eq!(outbox.answer(Bytes::from_static(b"refused")), Pushed::Queued);
        assert_eq!(taken(&outbox), ["refused"]);
        outbox.hold();
        outbox.release([]);
        assert!(taken(&outbox).is_empty());
        assert_eq!(outbox.state.lock().bytes, 0);
    }

    #[test]
    fn who_gives_up_holding_leaves_the_others_theirs() {
        let outbox = outbox(10, 100);
        (0..2).for_each(|_| outbox.hold());
        outbox.abandon();
        outbox.push(&delivery("a"));
        assert!(taken(&outbox).is_empty());
        outbox.release([]);
        assert_eq!(taken(&outbox), ["a"]);
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
