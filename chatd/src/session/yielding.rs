//! Room for one more connection of a user who has as many as may be: one that vanished without an end yields.
//!
//! Invariant: nobody yields who was heard of lately, or answers when asked; whoever has room waits for nothing.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::Sessions;
use crate::hub::Silent;
use crate::model::Identity;

/// Time in which a connection that lives answers a ping.
const ANSWERS_WITHIN: Duration = Duration::from_secs(3);
/// Time in which one that is given up is not counted any more.
const LEAVES_WITHIN: Duration = Duration::from_secs(1);
/// Pause before it is looked again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Where a user has no room for one more connection beside those elsewhere, the longest silent of those here yields that
/// have been silent for the time after which a quiet one gets a ping, and do not answer one now.
pub(super) async fn make_room(shared: &Sessions, identity: &Identity, elsewhere: u64) {
    let has_room = || shared.quotas.has_room(identity, elsewhere);
    if has_room() {
        return;
    }
    let silent_s = shared.quotas.settings().ping_interval.whole_seconds();
    let silent = shared.hub.ask_silent(identity, silent_s);
    let is_settled = || has_room() || !silent.iter().any(Silent::is_silent);
    if !comes_true(is_settled, ANSWERS_WITHIN).await
        && let Some(longest) = silent.iter().find(|silent| silent.is_silent())
    {
        longest.give_up();
        comes_true(has_room, LEAVES_WITHIN).await;
    }
}

async fn comes_true(condition: impl Fn() -> bool, within: Duration) -> bool {
    let waiting = async {
        while !condition() {
            sleep(LOOK_AGAIN).await;
        }
    };
    timeout(within, waiting).await.is_ok()
}
