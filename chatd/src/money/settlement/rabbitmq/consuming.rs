//! The link that reads queues.
//!
//! Invariant: a delivery is acknowledged at most once and only on the channel it came by; what a channel had handed out
//! when it ended is delivered again. Nothing is consumed before the first receive.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::link::{ANSWER_TIMEOUT, Live, Purpose, unreachable};
use crate::money::settlement::{Delivery, QueueError, Tag};

/// Deliveries RabbitMQ sends ahead of their acknowledgements.
const PREFETCH: u16 = 2000;
/// Longest wait for a delivery.
const IDLE: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Consuming {
    channel: Channel,
    inbox: tokio::sync::Mutex<Option<Inbox>>,
    unacknowledged: Arc<Mutex<BTreeSet<u64>>>,
    turn: tokio::sync::Mutex<()>,
}

struct Inbox {
    deliveries: mpsc::Receiver<(u64, Bytes)>,
    _pump: AbortOnDropHandle<()>,
}

impl Purpose for Consuming {
    async fn begin(connection: &Connection) -> lapin::Result<Self> {
        let channel = connection.create_channel().await?;
        channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
        Ok(Self {
            channel,
            inbox: tokio::sync::Mutex::default(),
            unacknowledged: Arc::default(),
            turn: tokio::sync::Mutex::default(),
        })
    }
}

impl Consuming {
    fn start(&self, queue: &str) -> Inbox {
        let (sender, deliveries) = mpsc::channel(usize::from(PREFETCH));
        let (channel, unacknowledged) = (self.channel.clone(), self.unacknowledged.clone());
        let pump = tokio::spawn(pump(channel, queue.to_owned(), unacknowledged, sender));
        Inbox { deliveries, _pump: AbortOnDropHandle::new(pump) }
    }
}

impl Live<Consuming> {
    pub(super) async fn receive(&self, queue: &str, max: usize) -> Result<Vec<Delivery>, QueueError> {
        if max == 0 {
            return Ok(Vec::new());
        }
        for _ in 0..2 {
            let mut batch = Vec::new();
            let received = async {
                let mut inbox = self.purpose.inbox.lock().await;
                let inbox = inbox.get_or_insert_with(|| self.purpose.start(queue));
                inbox.deliveries.recv_many(&mut batch, max).await
            };
            let lost = timeout(IDLE, received).await == Ok(0);
            if lost {
                self.reject();
                return Err(unreachable("the connection was lost"));
            }
            let idle = batch.is_empty() && self.unacknowledged() < u64::from(PREFETCH);
            if !idle || self.ready(queue).await? == 0 {
                return Ok(batch.into_iter().map(|(id, body)| self.delivery(id, body)).collect());
            }
        }
        // A queue that is deleted and declared again can leave its consumers behind without a word.
        self.reject();
        Err(unreachable("it does not deliver what is ready"))
    }

    fn delivery(&self, id: u64, body: Bytes) -> Delivery {
        Delivery { tag: Tag { lane: self.lane, id: id.to_string() }, body }
    }

    /// Of tags that were acknowledged before, or came by another channel, nothing is left to do.
    pub(super) async fn acknowledge(&self, tags: &[Tag]) -> Result<(), QueueError> {
        // One after the other: an acknowledgement that covers another must not overtake it.
        let _turn = self.purpose.turn.lock().await;
        let acks = {
            let mut unacknowledged = self.purpose.unacknowledged.lock();
            let mine = tags.iter().filter(|tag| tag.lane == self.lane);
            let ids = mine.filter_map(|tag| tag.id.parse().ok()).filter(|id| unacknowledged.remove(id));
            acknowledgements(ids.collect(), unacknowledged.first().copied())
        };
        let channel = &self.purpose.channel;
        let acks = acks.into_iter().map(|(id, options)| channel.basic_ack(id, options));
        self.answer(ANSWER_TIMEOUT, try_join_all(acks)).await.map(drop)
    }

    /// Whether the delivery came by this channel and is not yet acknowledged.
    pub(super) fn holds(&self, tag: &Tag) -> bool {
        let held = |id| self.purpose.unacknowledged.lock().contains(&id);
        tag.lane == self.lane && tag.id.parse().is_ok_and(held)
    }

    pub(super) fn unacknowledged(&self) -> u64 {
        self.purpose.unacknowledged.lock().len() as u64
    }
}

/// How to acknowledge these: all before the first delivery that is left at once. RabbitMQ holds back the many when
/// they come one by one, and forgets them when the channel ends.
pub(super) fn acknowledgements(mut ids: Vec<u64>, first_left: Option<u64>) -> Vec<(u64, BasicAckOptions)> {
    ids.sort_unstable();
    let before = ids.partition_point(|id| first_left.is_none_or(|left| *id < left));
    let all_before = ids[..before].last().map(|id| (*id, BasicAckOptions { multiple: true }));
    let single = ids[before..].iter().map(|id| (*id, BasicAckOptions { multiple: false }));
    all_before.into_iter().chain(single).collect()
}

/// Ends with the channel; whoever receives then finds the inbox closed.
async fn pump(
    channel: Channel,
    queue: String,
    unacknowledged: Arc<Mutex<BTreeSet<u64>>>,
    sender: mpsc::Sender<(u64, Bytes)>,
) {
    let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
    let consumer = channel.basic_consume(queue.as_str().into(), "".into(), options, none).await;
    let mut consumer = match consumer {
        Ok(consumer) => consumer,
        Err(error) => return tracing::debug!(%error, "consume"),
    };
    while let Some(Ok(delivery)) = consumer.next().await {
        unacknowledged.lock().insert(delivery.delivery_tag);
        if sender.send((delivery.delivery_tag, delivery.data.into())).await.is_err() {
            return;
        }
    }
}
