//! A look at the dead letters, by a connection of its own.
//!
//! Invariant: nobody else looks meanwhile, for a letter in the hands of one is hidden from the others. When the
//! connection ends, however it ends, what it held and did not acknowledge is in the queue again, in its old order.

use std::time::Duration;

use chat_protocol::backoff::Backoff;
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use lapin::message::{BasicGetMessage, Delivery};
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicGetOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection};
use tokio::sync::MutexGuard;
use tokio::time::{Instant, sleep, timeout_at};

use super::consuming::acknowledgements;
use super::link::{ANSWER_TIMEOUT, Live, Purpose, Server, dial_any, unreachable};
use crate::money::settlement::QueueError;

/// Longest wait for others who look.
const PATIENCE: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const MAX_PAUSE: Duration = Duration::from_millis(200);
/// Letters RabbitMQ hands out at once.
const WINDOW: u16 = 1000;

/// A turn at the dead letters.
pub(super) struct Look<'a> {
    live: Live<Looking>,
    channel: Channel,
    queue: &'a str,
    first: Option<Delivery>,
    /// Letters that are there behind the ones that were handed out.
    left: u64,
    windows: u32,
    _turn: MutexGuard<'a, ()>,
}

struct Looking;

impl Purpose for Looking {
    async fn begin(_: &Connection) -> lapin::Result<Self> {
        Ok(Self)
    }
}

/// Dead letters there are. Waits until they are in nobody's hands.
pub(super) async fn untouched<P>(live: &Live<P>, queue: &str) -> Result<u64, QueueError> {
    Wait::begin().until_untouched(live, queue).await
}

impl<'a> Look<'a> {
    /// Waits for its turn.
    pub(super) async fn begin(server: &'a Server) -> Result<Self, QueueError> {
        let (mut wait, queue) = (Wait::begin(), server.names.dead.as_str());
        let turn = timeout_at(wait.end, server.turn.lock()).await.map_err(|_| taken())?;
        let live = dial_any::<Looking>(server, 0).await.map_err(|error| unreachable(&error))?;
        let channel = loop {
            let channel = live.answer(ANSWER_TIMEOUT, live.connection.create_channel()).await?;
            if live.answer(ANSWER_TIMEOUT, server.names.take_turn(&channel)).await? {
                break channel;
            }
            wait.pause().await?;
        };
        // Who was killed may leave their turn before their letters are back.
        wait.until_untouched(&live, queue).await?;
        let mut look = Self { live, channel, queue, first: None, left: 0, windows: 0, _turn: turn };
        // Other ways to count miss letters when RabbitMQ is slow.
        if let Some(BasicGetMessage { delivery, message_count, .. }) = look.get().await? {
            (look.first, look.left) = (Some(delivery), message_count.into());
        }
        Ok(look)
    }

    /// The next letters, the oldest first, until none is left of those that were there when the look began.
    pub(super) async fn more(&mut self) -> Result<Vec<Delivery>, QueueError> {
        let mut letters: Vec<Delivery> = self.first.take().into_iter().collect();
        let count = u16::try_from(self.left).map_or(WINDOW, |left| left.min(WINDOW));
        if count == 0 {
            return Ok(letters);
        }
        // RabbitMQ returns what a channel held consumer by consumer, as their names are ordered. The letter that was
        // got first is held by a consumer named 1.
        let name = format!("1-{:05}", self.windows);
        let consumer = async {
            self.channel.basic_qos(count, BasicQosOptions::default()).await?;
            let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
            self.channel.basic_consume(self.queue.into(), name.as_str().into(), options, none).await
        };
        let mut consumer = self.live.answer(ANSWER_TIMEOUT, consumer).await?;
        for _ in 0..count {
            let next = async {
                let letter = consumer.next().await.map(|letter| letter.map_err(|error| error.to_string()));
                letter.unwrap_or_else(|| Err("it hands out no more dead letters".to_owned()))
            };
            letters.push(self.live.answer(ANSWER_TIMEOUT, next).await?);
        }
        // It would be handed more letters for those that are acknowledged.
        let cancel = self.channel.basic_cancel(name.as_str().into(), BasicCancelOptions::default());
        self.live.answer(ANSWER_TIMEOUT, cancel).await?;
        self.left -= u64::from(count);
        self.windows += 1;
        Ok(letters)
    }

    /// Takes letters out of the queue, once [`Look::settle`] has returned.
    pub(super) async fn acknowledge(&self, ids: Vec<u64>, first_left: Option<u64>) -> Result<(), QueueError> {
        let acks = acknowledgements(ids, first_left).into_iter();
        let acks = acks.map(|(id, options)| self.channel.basic_ack(id, options));
        self.live.answer(ANSWER_TIMEOUT, try_join_all(acks)).await.map(drop)
    }

    /// Returns once everything that was acknowledged has left the queue. The channel inside RabbitMQ holds back what
    /// exceeds 32 commands, lets it go when it hears that these are done, and forgets it when it is closed. A letter is
    /// got behind all that was let go, and whatever was done by then is heard of before the answer: the second
    /// time, nothing is held back any more.
    pub(super) async fn settle(&self) -> Result<(), QueueError> {
        for _ in 0..2 {
            self.get().await?;
        }
        Ok(())
    }

    /// Ends the turn; whoever has the next finds all letters in the queue.
    pub(super) async fn end(self) {
        let closed = self.live.connection.close(200, "done".into());
        if let Err(error) = self.live.answer(ANSWER_TIMEOUT, closed).await {
            tracing::debug!(%error, "close");
        }
    }

    async fn get(&self) -> Result<Option<BasicGetMessage>, QueueError> {
        let got = self.channel.basic_get(self.queue.into(), BasicGetOptions::default());
        self.live.answer(ANSWER_TIMEOUT, got).await
    }
}

/// For others who look.
struct Wait {
    end: Instant,
    backoff: Backoff,
}

impl Wait {
    fn begin() -> Self {
        Self { end: Instant::now() + PATIENCE, backoff: Backoff::half(FIRST_PAUSE, MAX_PAUSE) }
    }

    async fn pause(&mut self) -> Result<(), QueueError> {
        if Instant::now() >= self.end {
            return Err(taken());
        }
        sleep(self.backoff.pause(rand::random())).await;
        Ok(())
    }

    async fn until_untouched<P>(&mut self, live: &Live<P>, queue: &str) -> Result<u64, QueueError> {
        loop {
            match live.look(queue).await? {
                (letters, 0) => return Ok(letters),
                _ => self.pause().await?,
            }
        }
    }
}

fn taken() -> QueueError {
    unreachable("somebody else looks at the dead letters")
}
