//! A queue that fails at any step, before or after having done it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use super::Weather;
use crate::money::settlement::{Deliveries, Delivery, Publish, QueueError, Tag};

/// What a queue holds.
#[derive(Default)]
pub struct Held {
    waiting: VecDeque<Bytes>,
    received: BTreeMap<u64, Bytes>,
    pub dead: Vec<(String, Bytes)>,
    last: u64,
}

/// Holds settlements as long as the weather lets it.
#[derive(Default)]
pub struct FakeQueue {
    pub weather: Arc<Weather>,
    pub held: Mutex<Held>,
}

impl FakeQueue {
    pub fn new(weather: &Arc<Weather>, bodies: &[Bytes]) -> Arc<Self> {
        let held = Held { waiting: bodies.iter().cloned().collect(), ..Held::default() };
        Arc::new(Self { weather: weather.clone(), held: Mutex::new(held) })
    }

    /// The receiver is gone: what it held waits again.
    pub fn give_back(&self) {
        let mut held = self.held.lock();
        let received = std::mem::take(&mut held.received);
        held.waiting.extend(received.into_values());
    }

    pub fn is_empty(&self) -> bool {
        let held = self.held.lock();
        held.waiting.is_empty() && held.received.is_empty()
    }
}

#[async_trait]
impl Deliveries for FakeQueue {
    async fn receive(&self, max: usize) -> Result<Vec<Delivery>, QueueError> {
        tokio::task::yield_now().await;
        let receive = || {
            let mut held = self.held.lock();
            // Fewer at once than a real queue gives, so that there are many steps to fail between.
            let number = held.waiting.len().min(max).min(3);
            let bodies: Vec<Bytes> = held.waiting.drain(..number).collect();
            let mut hand_out = |body: Bytes| {
                held.last += 1;
                let (id, tag) = (held.last, Tag { lane: 1, id: held.last.to_string() });
                held.received.insert(id, body.clone());
                Delivery { tag, body }
            };
            bodies.into_iter().map(&mut hand_out).collect()
        };
        let received = self.weather.pass(receive);
        if received.is_err() {
            self.give_back();
        }
        received.map_err(QueueError::Unreachable)
    }

    async fn done(&self, tags: &[Tag]) -> Result<(), QueueError> {
        let forget =
            || tags.iter().for_each(|tag| drop(self.held.lock().received.remove(&tag.id.parse().unwrap())));
        self.weather.pass(forget).map_err(QueueError::Unreachable)
    }

    async fn bury(&self, delivery: &Delivery, reason: &str) -> Result<(), QueueError> {
        let bury = || {
            let mut held = self.held.lock();
            if held.received.remove(&delivery.tag.id.parse().unwrap()).is_some() {
                held.dead.push((reason.to_owned(), delivery.body.clone()));
            }
        };
        self.weather.pass(bury).map_err(QueueError::Unreachable)
    }

    async fn later(&self, deliveries: &[Delivery]) -> Result<(), QueueError> {
        let put_back = || {
            let mut held = self.held.lock();
            for delivery in deliveries {
                let body = held.received.remove(&delivery.tag.id.parse().unwrap());
                held.waiting.extend(body);
            }
        };
        self.weather.pass(put_back).map_err(QueueError::Unreachable)
    }
}

#[async_trait]
impl Publish for FakeQueue {
    async fn publish(&self, bodies: &[Bytes]) -> Result<(), QueueError> {
        let put = || self.held.lock().waiting.extend(bodies.iter().cloned());
        self.weather.pass(put).map_err(QueueError::Unreachable)
    }
}
