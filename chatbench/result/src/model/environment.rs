//! Where and how a run took place.

use serde::{Deserialize, Serialize};

/// The machine and the program.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// The processor as the kernel names it; empty when it does not.
    pub cpu_model: String,
    /// Cores this process may use.
    pub cores: usize,
    /// Release of the kernel.
    pub kernel: String,
    /// Version of this program.
    pub chatbench_version: String,
    /// Whether the program was built with optimisation.
    pub optimised_build: bool,
    /// The limit on open files.
    pub open_files_limit: u64,
    /// Addresses of the servers, with commas between them.
    pub server: String,
}

/// The options as they took effect.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// The app used.
    pub app: u32,
    /// Receiving clients.
    pub clients: u32,
    /// New connections per second; null for as fast as possible.
    pub connect_rate_per_s: Option<f64>,
    /// Interval of the signs of life.
    pub heartbeat_ms: u64,
    /// Seed of the texts.
    pub seed: u64,
    /// Kinds of trouble of a scenario that does not send, as `--chaos` names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chaos: Vec<String>,
    /// Options of the scenarios that send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,
}

/// Options of the scenarios that send.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// `ws`, `http` or `grpc`.
    pub via: String,
    /// Connections of each process to each server that the calls share; none when the messages are no calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc_connections: Option<u32>,
    /// Senders.
    pub senders: u32,
    /// Groups; null when the messages go elsewhere.
    pub groups: Option<u32>,
    /// Kinds of trouble, as `--chaos` names them.
    pub chaos: Vec<String>,
    /// Messages per second of all senders; null when each waits for its answer.
    pub rate_per_s: Option<f64>,
    /// Rates one after the other, as `--stages` names them; null without.
    pub stages: Option<String>,
    /// `constant` or `poisson`; null when each message waits for an answer.
    pub arrival: Option<String>,
    /// Pause between an answer and the next message; null at a rate.
    pub think_time_ms: Option<u64>,
    /// Unanswered messages of one sender.
    pub window: u32,
    /// Text of a message.
    pub payload_bytes: usize,
    /// Uncounted time at the start.
    pub warmup_ms: u64,
    /// Measured time.
    pub duration_ms: u64,
    /// Longest wait after the last message.
    pub drain_ms: u64,
    /// Bound above which a delivery is late.
    pub late_ms: u64,
}
