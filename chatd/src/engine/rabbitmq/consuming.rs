//! The link that reads queues.
//!
//! Invariant: a delivery is acknowledged at most once and only on the channel it came by; what a channel had handed out
//! when it ended is delivered again. Nothing is consumed before the first receive.
//!
//! A subscription that brings nothing is not trusted: a queue that is deleted and declared again at once can take over
//! its old consumer, hand messages to it, and never tell the channel. Nothing is ready then, and nothing comes. So an
//! idle subscription is renewed; the end of its channel gives back what it was handed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::link::{ANSWER_TIMEOUT, Live, Purpose, unreachable};
use crate::money::settlement::{Delivery, QueueError, Tag};

/// Deliveries RabbitMQ sends ahead of their acknowledgements.
const PREFETCH: u16 = 2000;
/// Longest wait for a delivery.
const IDLE: Duration = Duration::from_secs(1);
/// A subscription that brought nothing for so long, and of which nothing is held, is renewed.
const TRUSTED: Duration = Duration::from_secs(5);

/// The subscription that deliveries come by.
#[derive(Default)]
pub(super) struct Consuming {
    inbox: tokio::sync::Mutex<Option<Inbox>>,
    /// The subscription deliveries are acknowledged on.
    current: Mutex<Option<Arc<Subscription>>>,
}

/// A channel that consumes, and what came by it.
struct Subscription {
    /// Which of this connection's, from 1: RabbitMQ counts deliveries anew on each channel.
    number: u64,
    channel: Channel,
    unacknowledged: Mutex<BTreeSet<u64>>,
    turn: tokio::sync::Mutex<()>,
}

struct Inbox {
    subscription: Arc<Subscription>,
    deliveries: mpsc::Receiver<(u64, Bytes)>,
    /// When something came last, or else the subscription began.
    brought: Instant,
    _pump: AbortOnDropHandle<()>,
}

impl Purpose for Consuming {
    async fn begin(_: &Connection) -> lapin::Result<Self> {
        Ok(Self::default())
    }
}

impl Live<Consuming> {
    pub(super) async fn receive(&self, queue: &str, max: usize) -> Result<Vec<Delivery>, QueueError> {
        if max == 0 {
            return Ok(Vec::new());
        }
        for _ in 0..2 {
            let mut inbox = self.purpose.inbox.lock().await;
            let inbox = match &mut *inbox {
                Some(inbox) => inbox,
                none => none.insert(self.subscribe(queue, 1).await?),
            };
            let number = inbox.subscription.number;
            let mut batch = Vec::new();
            if timeout(IDLE, inbox.deliveries.recv_many(&mut batch, max)).await == Ok(0) {
                self.reject();
                return Err(unreachable("the connection was lost"));
            }
            let held = self.unacknowledged();
            if !batch.is_empty() || held >= u64::from(PREFETCH) {
                inbox.brought = Instant::now();
                return Ok(batch.into_iter().map(|(id, body)| self.delivery(number, id, body)).collect());
            }
            if held == 0 && inbox.brought.elapsed() >= TRUSTED {
                let renewed = self.subscribe(queue, number + 1).await?;
                self.close(&std::mem::replace(inbox, renewed)).await?;
            }
            if self.ready(queue).await? == 0 {
                return Ok(Vec::new());
            }
        }
        self.reject();
        Err(unreachable("it does not deliver what is ready"))
    }

    async fn subscribe(&self, queue: &str, number: u64) -> Result<Inbox, QueueError> {
        let begin = async {
            let channel = self.connection.create_channel().await?;
            channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
            let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
            let consumer = channel.basic_consume(queue.into(), "".into(), options, none).await?;
            Ok::<_, lapin::Error>((channel, consumer))
        };
        let (channel, consumer) = self.answer(ANSWER_TIMEOUT, begin).await?;
        let (unacknowledged, turn) = (Mutex::default(), tokio::sync::Mutex::default());
        let subscription = Arc::new(Subscription { number, channel, unacknowledged, turn });
        let (sender, deliveries) = mpsc::channel(usize::from(PREFETCH));
        let pump = tokio::spawn(pump(consumer, subscription.clone(), sender));
        *self.purpose.current.lock() = Some(subscription.clone());
        let _pump = AbortOnDropHandle::new(pump);
        Ok(Inbox { subscription, deliveries, brought: Instant::now(), _pump })
    }

    /// Ends a subscription of which nothing was taken out that is not acknowledged.
    async fn close(&self, left: &Inbox) -> Result<(), QueueError> {
        self.answer(ANSWER_TIMEOUT, left.subscription.channel.close(200, "idle".into())).await
    }

    fn delivery(&self, subscription: u64, id: u64, body: Bytes) -> Delivery {
        Delivery { tag: Tag { lane: self.lane, id: format!("{subscription}.{id}") }, body }
    }

    fn current(&self) -> Option<Arc<Subscription>> {
        self.purpose.current.lock().clone()
    }

    /// Of tags that were acknowledged before, or came by another channel, nothing is left to do.
    pub(super) async fn acknowledge(&self, tags: &[Tag]) -> Result<(), QueueError> {
        let Some(subscription) = self.current() else { return Ok(()) };
        // One after the other: an acknowledgement that covers another must not overtake it.
        let _turn = subscription.turn.lock().await;
        let acks = {
            let mut unacknowledged = subscription.unacknowledged.lock();
            let ids = tags.iter().filter_map(|tag| self.id(&subscription, tag));
            let ids = ids.filter(|id| unacknowledged.remove(id)).collect();
            acknowledgements(ids, unacknowledged.first().copied())
        };
        let acks = acks.into_iter().map(|(id, options)| subscription.channel.basic_ack(id, options));
        self.answer(ANSWER_TIMEOUT, try_join_all(acks)).await.map(drop)
    }

    /// Number of a delivery on this subscription, if it came by it.
    fn id(&self, subscription: &Subscription, tag: &Tag) -> Option<u64> {
        let (number, id) = tag.id.split_once('.')?;
        let mine = tag.lane == self.lane && number.parse() == Ok(subscription.number);
        mine.then(|| id.parse().ok()).flatten()
    }

    /// Whether the delivery came by this channel and is not yet acknowledged.
    pub(super) fn holds(&self, tag: &Tag) -> bool {
        self.current().is_some_and(|subscription| {
            let id = self.id(&subscription, tag);
            id.is_some_and(|id| subscription.unacknowledged.lock().contains(&id))
        })
    }

    pub(super) fn unacknowledged(&self) -> u64 {
        self.current().map_or(0, |subscription| subscription.unacknowledged.lock().len() as u64)
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
async fn pump(mut consumer: Consumer, subscription: Arc<Subscription>, sender: mpsc::Sender<(u64, Bytes)>) {
    while let Some(Ok(delivery)) = consumer.next().await {
        subscription.unacknowledged.lock().insert(delivery.delivery_tag);
        if sender.send((delivery.delivery_tag, delivery.data.into())).await.is_err() {
            return;
        }
    }
}
