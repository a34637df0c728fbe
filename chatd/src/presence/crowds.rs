//! Tells crowded rooms once a second at most who came and went, with how many are online then.
//!
//! Invariant: one timer for the node; the store is asked about rooms only of which something is due to be told, about
//! each once at a time, and a room that takes long to count keeps no other from being told.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chat_protocol::AppId;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Semaphore;

use super::Presence;
use crate::hub::Hub;

/// Rooms asked about at the same time.
const AT_ONCE: usize = 16;

/// Until the task is ended.
pub async fn tell(hub: Arc<Hub>, presence: Arc<dyn Presence>) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let places = Semaphore::new(AT_ONCE);
    // Bounded by the rooms in which somebody moved of late.
    let (mut asked, mut telling) = (HashSet::new(), FuturesUnordered::new());
    loop {
        tokio::select! {
            _ = tick.tick() => {
                for app in hub.crowded() {
                    if asked.insert(app) {
                        telling.push(tell_one(&hub, &*presence, &places, app));
                    }
                }
            }
            Some(app) = telling.next() => {
                asked.remove(&app);
            }
        }
    }
}

/// Counts the users of a room and tells it; gives the room.
async fn tell_one(hub: &Hub, presence: &dyn Presence, places: &Semaphore, app: AppId) -> AppId {
    // Is never closed.
    let _place = places.acquire().await;
    match presence.count(app).await {
        Ok(count) => hub.tell_crowd(app, count.users, count.since),
        // What waits is bounded, and told when the store is back.
        Err(error) => tracing::debug!(%error, app, "how many are online is not known"),
    }
    app
}
