//! Waiting for a condition with a deadline, instead of sleeping and hoping.

use std::time::Duration;

use tokio::time::Instant;

/// Longest wait for something that should happen soon, generous because machines are shared.
pub const SOON: Duration = Duration::from_secs(20);

/// Asks again and again until the answer is yes.
///
/// # Panics
/// When the answer is still no after `limit`; the message names `what`.
pub async fn until(what: &str, limit: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !holds().await {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A rest between two steps of something that repeats, such as a source of load. What comes after it must not rely
/// on anything having happened meanwhile.
pub async fn pace(rest: Duration) {
    tokio::time::sleep(rest).await;
}
