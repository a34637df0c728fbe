//! The result of a run.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::books::{Books, Rates};
use super::chaos::Chaos;
use super::context::{Floor, Part, Validity};
use super::drift::Drift;
use super::environment::{Environment, Options};
use super::history::Pages;
use super::lenient;
use super::processes::Processes;
use super::red_packets::RedPackets;
use super::series::Series;
use super::threshold::Judged;
use super::times::{TIMES, TimeSummary};
use crate::hdr;
use crate::units::count_text;
use crate::verdict::Verdict;

/// Name and version of the format.
pub const SCHEMA: &str = "chatbench.result/v1";

/// Everything there is to say about a run. A part that is absent, or is not what it should be, is none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunResult {
    /// [`SCHEMA`].
    #[serde(deserialize_with = "lenient::member")]
    pub schema: String,
    /// Name of the scenario.
    #[serde(deserialize_with = "lenient::member")]
    pub scenario: String,
    /// Name of the run.
    #[serde(deserialize_with = "lenient::member")]
    pub run: String,
    /// Unix milliseconds.
    #[serde(deserialize_with = "lenient::member")]
    pub started_unix_ms: u64,
    /// Whether times and rates are a measurement of the server.
    #[serde(deserialize_with = "lenient::member")]
    pub valid: bool,
    /// Whether the run was cut short.
    #[serde(deserialize_with = "lenient::member")]
    pub partial: bool,
    /// How it ended; none for an end this version does not know.
    #[serde(deserialize_with = "lenient::member")]
    pub verdict: Option<Verdict>,
    /// Its exit code.
    #[serde(deserialize_with = "lenient::member")]
    pub exit_code: u64,
    /// Why it ended so, in words.
    #[serde(deserialize_with = "lenient::member")]
    pub reasons: Vec<String>,
    /// As they took effect.
    #[serde(deserialize_with = "lenient::member")]
    pub options: Option<Options>,
    /// Where it took place.
    #[serde(deserialize_with = "lenient::member")]
    pub environment: Option<Environment>,
    /// What the server said of itself.
    #[serde(deserialize_with = "lenient::member")]
    pub server_state: ServerState,
    /// How the connections fared.
    #[serde(deserialize_with = "lenient::member")]
    pub connections: Option<Connections>,
    /// What was measured, by name.
    #[serde(deserialize_with = "lenient::entries")]
    pub times: BTreeMap<String, TimeSummary>,
    /// Of scenarios that send.
    #[serde(deserialize_with = "lenient::member")]
    pub ledger: Option<Books>,
    /// Of scenarios that send.
    #[serde(deserialize_with = "lenient::member")]
    pub rates: Option<Rates>,
    /// Of scenarios whose connections were troubled on purpose.
    #[serde(deserialize_with = "lenient::member")]
    pub chaos: Option<Chaos>,
    /// Of `history`.
    #[serde(deserialize_with = "lenient::member")]
    pub history: Option<Pages>,
    /// Of `redpacket`.
    #[serde(deserialize_with = "lenient::member")]
    pub red_packets: Option<RedPackets>,
    /// CPU and memory.
    #[serde(deserialize_with = "lenient::member")]
    pub processes: Option<Processes>,
    /// Of `idle`.
    #[serde(deserialize_with = "lenient::member")]
    pub idle: Option<Idle>,
    /// Whether the times are those of the server.
    #[serde(deserialize_with = "lenient::member")]
    pub validity: Option<Validity>,
    /// The same run against a relay.
    #[serde(deserialize_with = "lenient::member")]
    pub floor: Option<Floor>,
    /// Of `mixed`.
    #[serde(deserialize_with = "lenient::member")]
    pub parts: Option<Vec<Part>>,
    /// Of `soak`.
    #[serde(deserialize_with = "lenient::member")]
    pub drift: Option<Drift>,
    /// The course of the run.
    #[serde(deserialize_with = "lenient::member")]
    pub series: Option<Series>,
    /// The conditions.
    #[serde(deserialize_with = "lenient::member")]
    pub thresholds: Vec<Judged>,
}

/// What the server said of itself after the last connection and before the first, in its own words.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerState {
    /// After the last.
    pub after: Option<Value>,
    /// Before the first.
    pub before: Option<Value>,
}

/// How the connections fared.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Connections {
    /// Asked for.
    pub wanted: u32,
    /// Logged in.
    pub connected: u32,
    /// The others by cause.
    pub failed: BTreeMap<String, u64>,
    /// From the first attempt to the last result.
    pub opening_ms: f64,
    /// Logged in per second of that time.
    pub opened_per_s: f64,
    /// Closed by the server, by close code (1006: broke).
    pub closed_by_server: BTreeMap<u16, u64>,
    /// Closed by the client at the end without an answer of the server.
    pub unanswered_closes: u64,
    /// Signs of life sent.
    pub heartbeats: u64,
}

/// Result of `idle`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Idle {
    /// How long the connections were held.
    pub held_ms: u64,
    /// Memory of the generator for each client.
    pub generator_bytes_per_client: Option<f64>,
    /// Memory of the servers for each connection.
    pub server_bytes_per_connection: Option<f64>,
}

impl ServerState {
    /// What a server said, if it did.
    #[must_use]
    pub fn said(state: Option<impl Serialize>) -> Option<Value> {
        serde_json::to_value(state?).ok()
    }
}

impl Connections {
    /// The connections the server closed, in words.
    #[must_use]
    pub fn closed_text(&self) -> String {
        let total: u64 = self.closed_by_server.values().sum();
        let codes = self.closed_by_server.iter().map(|(code, count)| format!("code {code}: {count}"));
        let codes = codes.collect::<Vec<_>>().join(", ");
        format!("the server closed {} connections ({codes})", count_text(total))
    }
}

impl RunResult {
    /// The times that were measured, in the order they are named.
    pub fn measured(&self) -> impl Iterator<Item = (&'static str, &TimeSummary)> {
        let known = TIMES.iter().filter_map(|name| Some((*name, self.times.get(*name)?)));
        known.filter(|(_, times)| times.count > 0)
    }

    /// The whole distribution of a time, in microseconds; none without a sample.
    ///
    /// # Errors
    /// When there is one that cannot be read.
    pub fn histogram(&self, name: &str) -> Result<Option<Histogram<u64>>, String> {
        let Some(text) = self.times.get(name).and_then(|times| times.hdr.as_ref()) else { return Ok(None) };
        let whole = hdr::decode(text).map_err(|error| format!("times.{name}.hdr: {error}"))?;
        Ok(Some(whole).filter(|whole| !whole.is_empty()))
    }

    /// From the first connection's attempt to the end of the last interval, in milliseconds.
    #[must_use]
    pub fn length_ms(&self) -> u64 {
        let course = self.series.as_ref().and_then(|series| series.points.last()).map(|point| point.t_ms);
        let traffic = self.options.as_ref().and_then(|options| options.traffic.as_ref());
        course
            .or_else(|| traffic.map(|traffic| traffic.warmup_ms.saturating_add(traffic.duration_ms)))
            .unwrap_or(0)
    }
}
