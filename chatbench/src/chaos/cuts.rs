//! Who is cut when.
//!
//! Invariant: the times of the cuts follow from the seed and the client's number; a client that is away when its cut
//! is due is not cut.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::chaos::Times;
use crate::ledger::flow::Flow;
use crate::ledger::plan::trouble::Chaos;
use crate::net::control::Control;

/// Clients told before the others get a turn.
const AT_ONCE: usize = 200;

/// Cuts the receiving clients behind `controls` that read, for ever.
pub async fn cut(flow: &Flow, controls: &[(u32, Arc<Control>)], seed: u64, times: Times) {
    let clients = controls
        .iter()
        .enumerate()
        .filter(|(_, (number, _))| *number < flow.plan.receivers && !flow.plan.is_slow(*number));
    match flow.plan.trouble.cuts {
        Some(Chaos::Jitter { mean, offline }) => {
            let first =
                |(place, (number, _)): (usize, &(u32, _))| Reverse((pause(seed, *number, 0, mean), place, 0));
            let mut due: BinaryHeap<_> = clients.map(first).collect();
            while let Some(Reverse((after, place, round))) = due.pop() {
                let (number, control) = &controls[place];
                tokio::time::sleep_until(times.start + after).await;
                control.cut();
                let next = after + offline + pause(seed, *number, round + 1, mean);
                due.push(Reverse((next, place, round + 1)));
            }
        }
        Some(Chaos::Avalanche { at, .. }) => {
            tokio::time::sleep_until(times.measure + at.unwrap_or(times.duration / 2)).await;
            for (position, (_, control)) in clients {
                control.cut();
                if position % AT_ONCE == AT_ONCE - 1 {
                    tokio::task::yield_now().await;
                }
            }
        }
        Some(Chaos::Churn { rate, .. }) => {
            let clients: Vec<&Arc<Control>> = clients.map(|(_, (_, control))| control).collect();
            if clients.is_empty() {
                return;
            }
            // Of several processes each lets its share of the clients go.
            let share = flow.share.receivers.len() as f64 / f64::from(flow.plan.receivers);
            let every = Duration::from_secs_f64(1.0 / (rate * share));
            for (turn, control) in (1..).zip(clients.iter().cycle()) {
                tokio::time::sleep_until(times.measure + every * turn).await;
                control.leave();
            }
        }
        _ => {}
    }
}

/// A draw from the exponential distribution; each client and round has its own.
fn pause(seed: u64, number: u32, round: u32, mean: Duration) -> Duration {
    let place = (u64::from(number) << 32 | u64::from(round)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let uniform: f64 = StdRng::seed_from_u64(seed ^ place).random();
    // The draw is below 1, so the logarithm is finite.
    mean.mul_f64(-(1.0 - uniform).ln())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_exponential_and_repeat_with_the_seed() {
        let mean = Duration::from_secs(15);
        let pauses: Vec<Duration> = (0..20_000).map(|number| pause(7, number, 0, mean)).collect();
        let average = pauses.iter().sum::<Duration>().as_secs_f64() / 20_000.0;
        assert!((14.0..16.0).contains(&average), "{average}");
        let above = pauses.iter().filter(|pause| **pause > mean).count();
        assert!((6_900..7_800).contains(&above), "{above} of 20000 are above the mean");
        assert_eq!(pause(7, 3, 1, mean), pause(7, 3, 1, mean));
        assert_ne!(pause(7, 3, 1, mean), pause(8, 3, 1, mean));
        assert_ne!(pause(7, 3, 1, mean), pause(7, 3, 2, mean));
    }
}
