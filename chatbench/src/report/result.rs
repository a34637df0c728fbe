//! The result of a run.
//!
//! Invariant: what is serialized here is what `schema/result.v1.json` requires, for every scenario.

use std::collections::BTreeMap;

use chat_protocol::system::StateResponse;
use hdrhistogram::Histogram;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::failure::Failure;
use crate::floor::Floor;
use crate::flow::Flow;
use crate::harvest::Harvest;
use crate::ledger::Ledger;
use crate::ledger::times::{Censored, Times};
use crate::opening::Opening;
use crate::recorder::histogram;
use crate::report::books::{Books, Rates};
use crate::report::chaos::{self, ChaosReport};
use crate::report::drift::Drift;
use crate::report::environment::{Environment, Options};
use crate::report::processes::Processes;
use crate::report::series::Series;
use crate::report::times::TimeSummary;
use crate::report::validity::Validity;
use crate::scenario::history::Pages;
use crate::scenario::mixed::Part;
use crate::scenario::redpacket::outcome::RedPackets;
use crate::stage::Stage;
use crate::threshold::{Judged, TIMES};
use crate::units::count_text;
use crate::verdict::{Judgement, Verdict};

/// Name and version of the format.
pub const SCHEMA: &str = "chatbench.result/v1";

/// Everything there is to say about a run.
#[derive(Debug)]
pub struct Report {
    /// Name of the scenario.
    pub scenario: &'static str,
    /// Name of the run.
    pub run: String,
    /// Unix milliseconds.
    pub started_unix_ms: u64,
    /// Whether the run was cut short.
    pub partial: bool,
    /// The verdict with its reasons.
    pub judgement: Judgement,
    /// As they took effect.
    pub options: Options,
    /// Where it took place.
    pub environment: Environment,
    /// What the server said of itself before and after.
    pub server_state: [Option<StateResponse>; 2],
    /// How the connections fared.
    pub connections: Connections,
    /// Of scenarios that send.
    pub ledger: Option<Books>,
    /// Of scenarios that send.
    pub rates: Option<Rates>,
    /// Of scenarios whose connections were troubled on purpose.
    pub chaos: Option<ChaosReport>,
    /// Of `history`.
    pub history: Option<Pages>,
    /// Of `redpacket`.
    pub red_packets: Option<RedPackets>,
    /// CPU and memory.
    pub processes: Option<Processes>,
    /// Of `idle`.
    pub idle: Option<Idle>,
    /// Whether the times are those of the server.
    pub validity: Option<Validity>,
    /// The same run against a relay.
    pub floor: Option<Floor>,
    /// Of `mixed`.
    pub parts: Option<Vec<Part>>,
    /// Of `soak`.
    pub drift: Option<Drift>,
    /// The course of the run.
    pub series: Option<Series>,
    /// The conditions.
    pub thresholds: Vec<Judged>,
    /// What was measured, by name, in microseconds.
    pub distributions: BTreeMap<&'static str, Histogram<u64>>,
    censored: Censored,
}

/// How the connections fared.
#[derive(Debug, Serialize)]
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
#[derive(Debug, Serialize)]
pub struct Idle {
    /// How long the connections were held.
    pub held_ms: u64,
    /// Memory of the generator for each client.
    pub generator_bytes_per_client: Option<f64>,
    /// Memory of the servers for each connection.
    pub server_bytes_per_connection: Option<f64>,
}

impl Connections {
    fn new(opening: &Opening) -> Self {
        let seconds = opening.wall.as_secs_f64().max(1e-6);
        let tenths = |value: f64| (value * 10.0).round() / 10.0;
        Self {
            wanted: opening.wanted,
            connected: opening.connected,
            failed: opening.failures.clone(),
            opening_ms: tenths(seconds * 1e3),
            opened_per_s: tenths(f64::from(opening.connected) / seconds),
            closed_by_server: BTreeMap::new(),
            unanswered_closes: 0,
            heartbeats: 0,
        }
    }

    /// How they ended.
    pub fn add_farewell(&mut self, harvest: &Harvest) {
        self.unanswered_closes = harvest.unanswered_closes;
        self.heartbeats = harvest.heartbeats;
    }

    /// The connections the server closed, in words.
    pub fn closed_text(&self) -> String {
        let total: u64 = self.closed_by_server.values().sum();
        let codes = self.closed_by_server.iter().map(|(code, count)| format!("code {code}: {count}"));
        let codes = codes.collect::<Vec<_>>().join(", ");
        format!("the server closed {} connections ({codes})", count_text(total))
    }
}

impl Report {
    /// The result so far, after the connections were opened.
    pub fn new(stage: &Stage, opening: &Opening) -> Self {
        let mut times: BTreeMap<&'static str, Histogram<u64>> = TIMES.map(|name| (name, histogram())).into();
        times.insert("connect_time", opening.connect.clone());
        times.insert("login_time", opening.login.clone());
        Self {
            scenario: stage.scenario,
            run: stage.flow.plan.run.clone(),
            started_unix_ms: stage.started_ms,
            partial: stage.interrupt.came(),
            judgement: Judgement::new(),
            options: Options::new(&stage.common, &stage.flow.plan, stage.seed),
            environment: Environment::new(stage),
            server_state: [stage.state.clone(), None],
            connections: Connections::new(opening),
            ledger: None,
            rates: None,
            chaos: None,
            history: None,
            red_packets: None,
            processes: None,
            idle: None,
            validity: None,
            floor: None,
            parts: None,
            drift: None,
            series: None,
            censored: Censored::default(),
            thresholds: Vec::new(),
            distributions: times,
        }
    }

    /// What is left of a run that `failure` ended: its connections and its course until then.
    pub async fn cut_short(stage: &mut Stage, verdict: Verdict, failure: &Failure) -> Self {
        let opening = stage.opened.take().unwrap_or_else(|| Opening::new(stage.flow.plan.connections()));
        let mut report = Self::new(stage, &opening);
        if !matches!(failure, Failure::Stopped) {
            report.judgement.add(verdict, failure.reason());
        }
        report.partial = true;
        report.finish(stage).await;
        report
    }

    /// Adds the times of the messages.
    pub fn add_times(&mut self, times: Times) {
        self.censored = times.censored;
        self.distributions.extend([
            ("ack_time", times.ack),
            ("e2e_time", times.e2e),
            ("service_time", times.service),
            ("send_lag_time", times.lag),
            ("fanout_first_time", times.first),
            ("fanout_median_time", times.median),
            ("fanout_time", times.fanout),
            ("fanout_skew_time", times.skew),
        ]);
    }

    /// Adds what happened to the connections: their ends, their ways back, and how long those took. So many clients
    /// stopped reading.
    pub fn add_chaos(&mut self, flow: &Flow, ledger: &Ledger, slow: u64) {
        self.connections.closed_by_server = ledger.closed_by_code.clone();
        self.chaos = ChaosReport::new(flow, ledger, slow);
        self.distributions.insert("recovery_time", flow.journal().recovery.clone());
        self.distributions.insert("reconnect_time", flow.journal().reconnect.clone());
        self.distributions.insert("back_time", chaos::back_time(flow, ledger));
    }

    /// Adds what came of reading the history.
    pub fn add_pages(&mut self, pages: Pages, times: Histogram<u64>) {
        self.distributions.insert("page_time", times);
        self.history = Some(pages);
    }

    /// The last steps: the server's state, the conditions, the interruption.
    pub async fn finish(&mut self, stage: &mut Stage) {
        self.series = stage.take_series().await;
        if self.scenario == "soak" {
            self.drift = self.series.as_ref().and_then(Drift::new);
        }
        if let (Some(processes), Some(series)) = (&mut self.processes, &self.series) {
            processes.derive(series, u64::from(self.connections.connected));
        }
        self.server_state[1] = stage.state_now().await;
        stage.progress.clear();
        let result = serde_json::to_value(&*self).unwrap_or_default();
        let judged = stage.common.thresholds.iter().map(|threshold| threshold.judge(&result));
        self.thresholds = judged.collect();
        for judged in self.thresholds.iter().filter(|judged| !judged.ok) {
            self.judgement.add(Verdict::ThresholdFailed, judged.words.clone());
        }
        if let Some(why) = stage.ended_early.take() {
            self.partial = true;
            self.judgement.add(Verdict::Invalid, why);
        }
        if self.partial && stage.interrupt.came() {
            self.judgement
                .add(Verdict::Interrupted, "stopped before the end; the numbers cover what there was");
        }
    }

    fn censored_in(&self, metric: &str) -> u64 {
        match metric {
            "ack_time" => self.censored.ack,
            "e2e_time" | "service_time" => self.censored.e2e,
            _ => 0,
        }
    }

    /// The times of one metric.
    pub fn distribution(&self, metric: &str) -> Option<&Histogram<u64>> {
        self.distributions.get(metric)
    }

    /// The times of all metrics, in the order they are named.
    pub fn times(&self) -> Vec<(&'static str, TimeSummary)> {
        let known = TIMES.iter().filter_map(|name| Some((*name, self.distributions.get(name)?)));
        known.map(|(name, times)| (name, TimeSummary::new(times, self.censored_in(name)))).collect()
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut result = serializer.serialize_struct("Report", 27)?;
        result.serialize_field("schema", SCHEMA)?;
        result.serialize_field("scenario", self.scenario)?;
        result.serialize_field("run", &self.run)?;
        result.serialize_field("started_unix_ms", &self.started_unix_ms)?;
        result.serialize_field("valid", &self.judgement.valid)?;
        result.serialize_field("partial", &self.partial)?;
        result.serialize_field("verdict", &self.judgement.verdict)?;
        result.serialize_field("exit_code", &self.judgement.verdict.exit_code())?;
        result.serialize_field("reasons", &self.judgement.reasons)?;
        result.serialize_field("options", &self.options)?;
        result.serialize_field("environment", &self.environment)?;
        let [before, after] = &self.server_state;
        result.serialize_field("server_state", &BTreeMap::from([("before", before), ("after", after)]))?;
        result.serialize_field("connections", &self.connections)?;
        result.serialize_field("times", &self.times().into_iter().collect::<BTreeMap<_, _>>())?;
        result.serialize_field("ledger", &self.ledger)?;
        result.serialize_field("rates", &self.rates)?;
        result.serialize_field("chaos", &self.chaos)?;
        result.serialize_field("history", &self.history)?;
        result.serialize_field("red_packets", &self.red_packets)?;
        result.serialize_field("processes", &self.processes)?;
        result.serialize_field("idle", &self.idle)?;
        result.serialize_field("validity", &self.validity)?;
        result.serialize_field("floor", &self.floor)?;
        result.serialize_field("parts", &self.parts)?;
        result.serialize_field("drift", &self.drift)?;
        result.serialize_field("series", &self.series)?;
        let thresholds: Vec<_> = self.thresholds.iter().map(threshold_json).collect();
        result.serialize_field("thresholds", &thresholds)?;
        result.end()
    }
}

fn threshold_json(judged: &Judged) -> serde_json::Value {
    let observed = format!("observed_{}", judged.unit.suffix());
    serde_json::json!({"expression": judged.expression, "ok": judged.ok, observed: judged.observed})
}
