//! Tells crowded rooms once a second who came and went, with how many are online then.
//!
//! Invariant: one timer for the node; the store is asked about rooms only in which more came and went than is told
//! singly.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;

use super::Presence;
use crate::hub::Hub;

/// Rooms asked about at the same time.
const AT_ONCE: usize = 16;

/// Until the task is ended.
pub async fn tell(hub: Arc<Hub>, presence: Arc<dyn Presence>) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let told = stream::iter(hub.crowded()).for_each_concurrent(AT_ONCE, async |(app, movements)| {
            match presence.list(app, None, 0).await {
                Ok(online) => hub.tell_crowd(app, online.count, movements),
                // What waits is bounded, and told when the store is back.
                Err(error) => tracing::debug!(%error, app, "how many are online is not known"),
            }
        });
        told.await;
    }
}
