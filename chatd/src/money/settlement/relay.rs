//! Carries settlements from the outbox of this engine to the queue the workers read.
//!
//! Invariant: a settlement leaves the outbox only after the far queue has it for certain. It may get there twice;
//! whoever applies it knows it by its transfer id.

use std::sync::Arc;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::retry::Pauses;
use super::{BATCH, Deliveries, Publish, Tag};
use crate::counters::Counter;

/// From one queue to the other, batch by batch.
pub struct Relay {
    near: Arc<dyn Deliveries>,
    far: Arc<dyn Publish>,
    pub(super) pauses: Pauses,
    moved: Counter,
}

impl Relay {
    /// Moves from `near` to `far`.
    #[must_use]
    pub fn new(near: Arc<dyn Deliveries>, far: Arc<dyn Publish>) -> Self {
        Self { near, far, pauses: Pauses::default(), moved: Counter::default() }
    }

    /// Works until `stop`. What is under way then is moved again by the next relay.
    pub async fn run(&self, stop: CancellationToken) {
        while self.step(&stop).await.is_some() {}
    }

    /// Settlements moved since the start.
    #[must_use]
    pub fn moved(&self) -> u64 {
        self.moved.get()
    }

    async fn step(&self, stop: &CancellationToken) -> Option<()> {
        let batch = self.pauses.until_done("reading the outbox", stop, || self.near.receive(BATCH)).await?;
        if batch.is_empty() {
            return Some(());
        }
        let (tags, bodies): (Vec<Tag>, Vec<Bytes>) =
            batch.into_iter().map(|delivery| (delivery.tag, delivery.body)).unzip();
        self.pauses.until_done("publishing", stop, || self.far.publish(&bodies)).await?;
        self.moved.add(bodies.len() as u64);
        self.pauses.until_done("emptying the outbox", stop, || self.near.done(&tags)).await
    }
}
