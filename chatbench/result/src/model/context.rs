//! What puts the numbers of a run into their place.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::books::Line;
use super::times::TimeSummary;

/// Whether the times are those of the server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Validity {
    /// Sent messages as a share of the offered ones; null without a schedule.
    pub achieved_share: Option<f64>,
    /// Offered messages that were never sent; null without a schedule.
    pub dropped: Option<u64>,
    /// CPU time of the generator as a share of what its threads could have had.
    pub generator_cpu_share: f64,
    /// Delay of a task that should run at a set time, at p99, before the first message.
    pub delay_before_p99_us: Option<u64>,
    /// The same while messages were sent and came.
    pub delay_p99_us: Option<u64>,
    /// The same after the last one.
    pub delay_after_p99_us: Option<u64>,
}

/// What a relay makes of the same run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Floor {
    /// Rounds against the relay, half of them before the server's and half after.
    pub rounds: Vec<FloorRound>,
    /// The server's value divided by the relay's, by name of the value.
    pub server_to_floor: BTreeMap<String, f64>,
}

/// One round against the relay.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FloorRound {
    /// Name of the run.
    pub run: String,
    /// Whether its times can be used.
    pub valid: bool,
    /// Half of the deliveries took no longer.
    pub e2e_p50_us: Option<u64>,
    /// 99 % of them took no longer.
    pub e2e_p99_us: Option<u64>,
    /// Deliveries.
    pub deliveries_per_s: Option<f64>,
    /// CPU time of the relay for each delivery.
    pub server_cpu_us_per_delivery: Option<f64>,
    /// CPU time of the generator for each delivery.
    pub generator_cpu_us_per_delivery: Option<f64>,
}

/// One kind of messages of a mixed run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// The scenario it is by itself.
    pub scenario: String,
    /// Clients that receive.
    pub clients: u32,
    /// Its books of the measured part.
    pub measured: Line,
    /// Its response times.
    pub e2e_time: TimeSummary,
}
