//! What is looked at again and again while a node serves: connections, topics, and what waits for readers in all.
//!
//! Invariant: one timer for all of them, and none of a connection's own.

use std::sync::Arc;
use std::time::Duration;

use chat_protocol::Span;

use crate::auth::Auth;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::hub::{Deadlines, Hub};
use crate::listener::Patience;
use crate::listener::places::Places;
use crate::membership::subscriptions::Subscriptions;
use crate::quota::Quotas;
use crate::tls::Keeper;
use crate::transport::queued;

/// Pause after readers were given up, until what waited for them is gone.
const RELIEF: Duration = Duration::from_millis(20);
/// Pause between two looks at the files of the certificate, which are small.
const LOOK: Duration = Duration::from_secs(2);

/// How long a connection may be silent, and how long its reader may take nothing.
pub(super) fn deadlines(config: &Config) -> Deadlines {
    Deadlines {
        heartbeat_s: config.limits.heartbeat_timeout.whole_seconds(),
        login_s: config.limits.login_timeout.whole_seconds(),
        ping_s: config.limits.ping_interval.whole_seconds(),
        stall_s: config.limits.stall_timeout.whole_seconds(),
    }
}

/// How long a connection that speaks HTTP may be quiet, or take nothing of its answers.
pub(super) fn patience(config: &Config) -> Patience {
    Patience { idle: config.limits.keep_alive.get(), stalled: config.limits.stall_timeout.get() }
}

/// Looks at every connection, at every topic without readers, and at whom there is a quota for, once a second.
pub(super) async fn sweep(
    hub: Arc<Hub>,
    subscriptions: Arc<Subscriptions>,
    quotas: Arc<Quotas>,
    deadlines: Deadlines,
) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        hub.sweep(deadlines);
        subscriptions.sweep().await;
        quotas.sweep();
    }
}

/// Ends sessions whose token or key is over, once a second; on an open node there are none.
pub(super) async fn end_terms(hub: Arc<Hub>, auth: Arc<Auth>, warning: Span) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while let Some(is_live) = auth.live() {
        let now_s = u32::try_from(SystemClock.now_ms() / 1000).unwrap_or(u32::MAX);
        hub.end_terms(now_s, warning.whole_seconds(), is_live);
        tick.tick().await;
    }
}

/// Looks for a new certificate in its files, again and again.
pub(super) async fn look_at(keeper: Arc<Keeper>) {
    keeper.tell();
    loop {
        tokio::time::sleep(LOOK).await;
        let looking = keeper.clone();
        // It reads files. Where it fails, the next look finds the same.
        let _ = tokio::task::spawn_blocking(move || looking.look()).await;
    }
}

/// Gives up the readers for whom most waits whenever too much waits in all.
pub(super) async fn relieve(hub: Arc<Hub>, places: Arc<Places>) {
    loop {
        queued::exceeded().await;
        let bytes = queued::excess();
        // Who holds less than half an equal share of the limit is not the cause, whatever the moment looks like.
        let least = queued::limit() / (2 * places.taken().max(1));
        if places.most_held() > hub.most_waiting() {
            places.shed(bytes, least);
        } else {
            hub.shed(bytes, least);
        }
        tokio::time::sleep(RELIEF).await;
    }
}
