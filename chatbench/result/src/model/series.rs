//! The course of a run on one axis of time: the clients, the generator, the servers, Redis.
//!
//! Invariant: counts are those of one interval, and all members of a point are of the same interval.

use serde::{Deserialize, Serialize};

/// Points of the course, at equal intervals.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Length of an interval; the last of a part may be shorter.
    pub interval_ms: u64,
    /// The kernel before the first connection.
    #[serde(default)]
    pub host_before: HostPoint,
    /// In order.
    pub points: Vec<Point>,
}

/// One interval.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Its end, from the first connection's attempt.
    pub t_ms: u64,
    /// Which part of the run it ended in.
    pub phase: String,
    /// Logged-in connections that read, at the end.
    pub clients: u64,
    /// Messages that fell due; null without a schedule.
    pub offered: Option<u64>,
    /// Messages sent.
    pub sent: u64,
    /// Messages answered 200.
    pub accepted: u64,
    /// Deliveries.
    pub delivered: u64,
    /// From the due time to the delivery, of measured messages that came in this interval.
    pub response_p50_us: Option<u64>,
    /// The same.
    pub response_p99_us: Option<u64>,
    /// The same.
    pub response_max_us: Option<u64>,
    /// CPU of the generator as a share of one core.
    pub generator_cpu_percent: Option<f64>,
    /// Memory of the generator.
    pub generator_rss_kib: Option<u64>,
    /// Longest delay of the generator's probe.
    #[serde(default)]
    pub generator_delay_max_us: u64,
    /// The watched servers, always in the same order.
    #[serde(default)]
    pub servers: Vec<ServerPoint>,
    /// Redis, when it is watched and answers.
    pub redis: Option<RedisPoint>,
    /// The host of the generator.
    #[serde(default)]
    pub host: HostPoint,
}

/// One watched server; null is what could not be read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerPoint {
    /// Its process id, when it is watched by that.
    pub pid: Option<i32>,
    /// Its address, when it is watched by what it says at `/metrics`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// CPU as a share of one core, since it was last read.
    pub cpu_percent: Option<f64>,
    /// Resident memory.
    pub rss_kib: Option<u64>,
    /// Open files.
    pub files: Option<u64>,
    /// Bytes that wait in the kernel's queues of its connections; null in the intervals that did not ask, for that would
    /// have taken more than a hundredth of a core.
    pub sockets_kib: Option<u64>,
}

/// One Redis.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct RedisPoint {
    /// Commands it performed.
    pub commands: u64,
    /// Connected clients.
    pub clients: u64,
    /// Memory it uses.
    pub used_memory_kib: u64,
    /// CPU as a share of one core.
    pub cpu_percent: Option<f64>,
}

/// The kernel's side of all connections of this host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct HostPoint {
    /// Open TCP sockets.
    pub tcp_sockets: u64,
    /// Memory of their buffers.
    pub tcp_memory_kib: u64,
    /// Memory of the kernel's objects, sockets among them.
    pub slab_kib: u64,
    /// Of these, what sockets in use take; null where the kernel does not let read it.
    pub socket_objects_kib: Option<u64>,
}
