//! What the clients of one process did since the last look at them.
//!
//! Invariant: counts and times of all looks together are those of the run; nothing is in two of them.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use futures_util::future::BoxFuture;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::ledger::flow::Flow;
use crate::watch::process::Sample;
use crate::watch::sampler::Source;
use chatbench_result::hdr;
use chatbench_result::hdr::histogram;

/// Counts and times since the last look.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pulse {
    /// Logged-in connections that read, now.
    pub clients: u64,
    /// Messages sent.
    pub sent: u64,
    /// Messages answered 200.
    pub accepted: u64,
    /// Deliveries.
    pub delivered: u64,
    /// Times from the due time to the delivery, of the measured part.
    #[serde(with = "hdr")]
    pub response: Histogram<u64>,
    /// Longest delay of the probe, in microseconds.
    pub delay_max_us: u64,
    /// CPU time so far and memory now, of the worker processes looked at together.
    pub own: Option<Sample>,
}

/// Looks at a flow again and again.
#[derive(Debug, Default)]
pub struct Looks {
    sent: u64,
    accepted: u64,
    delivered: u64,
}

/// The clients of this process, as a source of the time series.
#[derive(Debug)]
pub struct Own {
    flow: Arc<Flow>,
    looks: Looks,
}

impl Own {
    /// Those of this flow.
    pub fn of(flow: &Arc<Flow>) -> Box<dyn Source> {
        Box::new(Self { flow: Arc::clone(flow), looks: Looks::default() })
    }
}

impl Source for Own {
    fn pulse(&mut self) -> BoxFuture<'_, Pulse> {
        Box::pin(ready(self.looks.look(&self.flow)))
    }

    fn offered(&self) -> Option<u64> {
        self.flow.offered()
    }
}

impl Looks {
    /// What happened since the last look.
    pub fn look(&mut self, flow: &Flow) -> Pulse {
        let now = Looks {
            sent: flow.sent.load(Relaxed),
            accepted: flow.accepted.load(Relaxed),
            delivered: flow.deliveries(),
        };
        let pulse = Pulse {
            clients: flow.open.load(Relaxed),
            sent: now.sent - self.sent,
            accepted: now.accepted - self.accepted,
            delivered: now.delivered - self.delivered,
            response: flow.take_recent(),
            delay_max_us: flow.delay_max_us.swap(0, Relaxed),
            own: None,
        };
        *self = now;
        pulse
    }
}

impl Pulse {
    /// Nothing at all.
    pub fn none() -> Self {
        Self {
            clients: 0,
            sent: 0,
            accepted: 0,
            delivered: 0,
            response: histogram(),
            delay_max_us: 0,
            own: None,
        }
    }

    /// Adds what other clients did in the same time.
    pub fn merge(&mut self, other: &Pulse) {
        self.clients += other.clients;
        self.sent += other.sent;
        self.accepted += other.accepted;
        self.delivered += other.delivered;
        // All have the same bounds.
        let _ = self.response.add(&other.response);
        self.delay_max_us = self.delay_max_us.max(other.delay_max_us);
        self.own = match (self.own, other.own) {
            (Some(mine), Some(theirs)) => Some(mine + theirs),
            (mine, theirs) => mine.or(theirs),
        };
    }
}
