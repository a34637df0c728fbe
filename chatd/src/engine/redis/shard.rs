//! A part of the subscribed topics: takes what the bus brings and hands it to the sink in order and without holes.
//!
//! Invariant: the sink sees the numbers of a topic one after the other. Whatever does not fit (a hole, another
//! epoch, a full queue, a new connection) makes the topic stale: nothing of it is delivered from the bus until its
//! log was read from the cursor on. Only that reading decides that something is lost.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};

use super::codec::{self, Malformed};
use super::link::LinkError;
use super::log::{Cursor, Kept, Logs};
use super::table::{Behind, State, Table};
use crate::broker::{Event, Sink};
use crate::counters::Counters;
use crate::model::Topic;

/// Payloads that may wait in one shard. When it is full, the topic of a payload becomes stale and the payload is
/// left to the log.
const QUEUE: usize = 8_192;
/// Payloads taken from the queue before stale topics have their turn.
const BATCH: usize = 256;
/// Heads read, or entries of one log read, in one round trip.
const PAGE: usize = 256;
/// Pause before stale topics are tried again when Redis did not answer.
const RETRY: Duration = Duration::from_millis(100);

/// A payload from the bus.
pub(super) struct Arrival {
    pub channel: Bytes,
    pub payload: Bytes,
}

/// What the shards read from and deliver to.
pub(super) struct Outlet {
    pub logs: Arc<Logs>,
    pub sink: Arc<dyn Sink>,
    pub counters: Arc<Counters>,
}

/// One part of the subscribed topics, with what is needed to read their logs.
pub(super) struct Shard {
    table: Mutex<Table>,
    queue: mpsc::Sender<Arrival>,
    wake: Notify,
}

/// What a call of [`Shard::want`] found.
pub(super) enum Wanted {
    /// The topic is delivering.
    Open,
    /// The receiver hears when it does; true when nobody asked before.
    Opening(oneshot::Receiver<()>, bool),
}

impl Shard {
    pub(super) fn new() -> (Arc<Self>, mpsc::Receiver<Arrival>) {
        let (queue, arrivals) = mpsc::channel(QUEUE);
        (Arc::new(Self { table: Mutex::default(), queue, wake: Notify::new() }), arrivals)
    }

    /// Takes a payload from the bus without waiting.
    pub(super) fn offer(&self, arrival: Arrival) {
        if let Err(mpsc::error::TrySendError::Full(arrival)) = self.queue.try_send(arrival) {
            let mut table = self.table.lock();
            match table.slots.get_mut(&arrival.channel).map(|slot| &mut slot.state) {
                Some(State::Opening { seen, .. }) => *seen = u64::MAX,
                Some(State::Open { .. }) => table.mark_interrupted(&arrival.channel),
                None => {}
            }
        }
    }

    /// Asks for a topic.
    pub(super) fn want(&self, channel: &Bytes, topic: &Topic) -> Wanted {
        let (answer, hear) = oneshot::channel();
        let mut table = self.table.lock();
        match table.slots.get_mut(channel).map(|slot| &mut slot.state) {
            Some(State::Open { .. }) => return Wanted::Open,
            Some(State::Opening { waiting, .. }) => {
                waiting.push(answer);
                return Wanted::Opening(hear, false);
            }
            None => {}
        }
        table.begin(channel, topic, answer);
        Wanted::Opening(hear, true)
    }

    /// Ends a topic.
    pub(super) fn forget(&self, channel: &Bytes) {
        self.table.lock().forget(channel);
    }

    /// Ends a topic that is not confirmed and for which nobody waits any more; true when it did.
    pub(super) fn forget_unwanted(&self, channel: &Bytes) -> bool {
        let mut table = self.table.lock();
        let unwanted = match table.slots.get(channel).map(|slot| &slot.state) {
            Some(State::Opening { waiting, .. }) => waiting.iter().all(oneshot::Sender::is_closed),
            _ => false,
        };
        if unwanted {
            table.forget(channel);
        }
        unwanted
    }

    /// Whether the topic is asked for.
    pub(super) fn wants(&self, channel: &Bytes) -> bool {
        self.table.lock().slots.contains_key(channel)
    }

    /// All channels asked for.
    pub(super) fn channels(&self) -> Vec<Bytes> {
        self.table.lock().slots.keys().cloned().collect()
    }

    /// The connection of a channel is gone: nothing fits until its log was read over a new one.
    pub(super) fn cut(&self, channel: &Bytes) {
        if let Some(State::Open { stale, .. }) =
            self.table.lock().slots.get_mut(channel).map(|slot| &mut slot.state)
        {
            *stale = true;
        }
    }

    /// The channel is subscribed. Answers the topic when it still has to be opened.
    pub(super) fn confirmed(&self, channel: &Bytes, anew: bool) -> Option<(Arc<Topic>, u64)> {
        let mut table = self.table.lock();
        let slot = table.slots.get(channel)?;
        match &slot.state {
            State::Opening { .. } => return Some((slot.topic.clone(), slot.life)),
            State::Open { .. } if anew => table.mark_interrupted(channel),
            State::Open { .. } => {}
        }
        drop(table);
        self.wake.notify_one();
        None
    }

    /// Lets a topic deliver everything behind `cursor`, which was read after the channel was subscribed.
    pub(super) fn open(&self, channel: &Bytes, life: u64, cursor: Cursor) {
        let mut table = self.table.lock();
        let Some(slot) = table.slots.get_mut(channel).filter(|slot| slot.life == life) else { return };
        let missed = cursor.number;
        let opened = State::Open { cursor, stale: false, interrupted: false };
        let State::Opening { seen, waiting } = std::mem::replace(&mut slot.state, opened) else { return };
        if seen > missed {
            table.mark_stale(channel);
        }
        table.opened.extend(waiting);
        drop(table);
        self.wake.notify_one();
    }

    /// Delivers for as long as the shard lives.
    pub(super) async fn run(self: Arc<Self>, mut arrivals: mpsc::Receiver<Arrival>, outlet: Arc<Outlet>) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut retry = false;
        loop {
            tokio::select! {
                taken = arrivals.recv_many(&mut batch, BATCH) => if taken == 0 { return },
                () = self.wake.notified() => {}
                () = tokio::time::sleep(RETRY), if retry => {}
            }
            for arrival in batch.drain(..) {
                self.take(&arrival, &outlet);
            }
            self.answer_opened();
            retry = self.catch_up_all(&outlet).await.is_err();
        }
    }

    fn take(&self, arrival: &Arrival, outlet: &Outlet) {
        let position = match codec::position(&arrival.payload) {
            Ok(position) => position,
            // Nothing of chatd's: the log would have it otherwise, and the next number shows the hole.
            Err(error) => return tracing::error!(%error, "on the bus"),
        };
        let topic = self.table.lock().admit(&arrival.channel, position.as_ref());
        if let Some(topic) = topic {
            deliver(outlet, &topic, codec::event(&topic, &arrival.payload));
        }
    }

    fn answer_opened(&self) {
        let opened = std::mem::take(&mut self.table.lock().opened);
        for waiter in opened {
            // One that left has no use for the answer.
            let _ = waiter.send(());
        }
    }

    async fn catch_up_all(&self, outlet: &Outlet) -> Result<(), LinkError> {
        let work = self.table.lock().take_stale();
        for (index, chunk) in work.chunks(PAGE).enumerate() {
            self.answer_opened();
            if let Err(error) = self.catch_up_some(chunk, outlet).await {
                let mut table = self.table.lock();
                // Some of the chunk may be up to date already: then the next reading finds nothing for them.
                work[index * PAGE..].iter().for_each(|behind| table.mark_stale(&behind.channel));
                return Err(error);
            }
        }
        Ok(())
    }

    async fn catch_up_some(&self, chunk: &[Behind], outlet: &Outlet) -> Result<(), LinkError> {
        let topics: Vec<&Topic> = chunk.iter().map(|behind| &*behind.topic).collect();
        let heads = outlet.logs.heads(&topics).await?;
        for (behind, head) in chunk.iter().zip(heads) {
            // What is damaged must not keep the others from what they missed.
            let done = match head {
                Ok(head) => self.catch_up(behind, head, outlet).await,
                Err(error) => Err(error),
            };
            match done {
                Err(LinkError::Corrupt(error)) => {
                    tracing::error!(topic = ?behind.topic, error, "its log cannot be read");
                    self.lose(behind, Cursor::start(), outlet);
                }
                done => done?,
            }
        }
        Ok(())
    }

    /// Delivers what the log holds behind the cursor, or tells that it does not hold all of it.
    async fn catch_up(&self, behind: &Behind, head: Cursor, outlet: &Outlet) -> Result<(), LinkError> {
        let mut cursor = behind.cursor.clone();
        if !cursor.epoch.is_empty()
            && cursor.epoch != head.epoch
            && !outlet.logs.goes_on(&behind.topic, &cursor).await?
        {
            self.lose(behind, head, outlet);
            return Ok(());
        }
        let forked = head.number < cursor.number
            || (head.number == cursor.number && head.number > 0 && head.time != cursor.time);
        if forked {
            return self.lose_forked(behind, outlet).await;
        }
        while cursor.number < head.number {
            // The entry at the cursor is read again: if it is another one, the log lost its end and grew anew.
            let entries = outlet.logs.tail(&behind.topic, cursor.number, PAGE).await?;
            let before = cursor.number;
            for Kept { at, payload } in entries {
                if at.number == cursor.number {
                    if at.time != cursor.time {
                        return self.lose_forked(behind, outlet).await;
                    }
                } else if at.number == cursor.number + 1
                    && let Some(payload) = payload
                {
                    // In the epoch in which it was written, by which it is known after the next one has begun.
                    cursor = at;
                    outlet.counters.gap_fills.add(1);
                    deliver(outlet, &behind.topic, codec::kept_event(&behind.topic, &payload));
                } else {
                    self.lose(behind, head, outlet);
                    return Ok(());
                }
            }
            if cursor.number == before {
                self.lose(behind, head, outlet);
                return Ok(());
            }
            if !self.advance(behind, &cursor) {
                return Ok(());
            }
        }
        if cursor.number == head.number {
            cursor.epoch = head.epoch;
        }
        self.settle(behind, cursor, outlet);
        Ok(())
    }

    async fn lose_forked(&self, behind: &Behind, outlet: &Outlet) -> Result<(), LinkError> {
        tracing::error!(topic = ?behind.topic, "a log lost its end; it gets a new epoch");
        let head = outlet.logs.fork(&behind.topic, &behind.cursor.epoch).await?;
        self.lose(behind, head, outlet);
        Ok(())
    }

    fn lose(&self, behind: &Behind, head: Cursor, outlet: &Outlet) {
        if self.settle(behind, head, outlet) {
            outlet.sink.lost(&behind.topic);
        }
    }

    /// Remembers how far the log was delivered; false when the subscription has ended.
    fn advance(&self, behind: &Behind, reached: &Cursor) -> bool {
        match self.table.lock().state_of(behind) {
            Some(State::Open { cursor, .. }) => {
                *cursor = reached.clone();
                true
            }
            _ => false,
        }
    }

    /// Goes on from `reached` with what the bus brings; false when the subscription has ended.
    fn settle(&self, behind: &Behind, reached: Cursor, outlet: &Outlet) -> bool {
        let interruption = {
            let mut table = self.table.lock();
            let again = table.stale.contains(&behind.channel);
            let Some(State::Open { cursor, stale, interrupted }) = table.state_of(behind) else {
                return false;
            };
            (*cursor, *stale) = (reached, again);
            std::mem::take(interrupted)
        };
        if interruption {
            outlet.sink.interrupted(&behind.topic);
        }
        true
    }
}

fn deliver(outlet: &Outlet, topic: &Topic, event: Result<Event, Malformed>) {
    match event {
        Ok(event) => outlet.sink.deliver(topic, &event),
        Err(error) => {
            tracing::error!(%error, ?topic, "cannot be delivered");
            outlet.sink.lost(topic);
        }
    }
}
