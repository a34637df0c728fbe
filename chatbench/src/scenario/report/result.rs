//! The result of a run.
//!
//! Invariant: whatever the scenario, it ends in a `RunResult`, and only that is written, compared and shown.

use std::collections::BTreeMap;

use chat_protocol::system::StateResponse;
use chatbench_result::model::{
    Books, Chaos, Connections, Drift, Environment, Floor, Idle, Judged, Options, Pages, Part, Processes,
    Rates, RedPackets, RunResult, SCHEMA, Series, ServerState, TIMES, TimeSummary, Validity,
};
use chatbench_result::verdict::{Judgement, Verdict};
use hdrhistogram::Histogram;

use crate::failure::Failure;
use crate::ledger::Ledger;
use crate::ledger::flow::Flow;
use crate::ledger::times::{Censored, Times};
use crate::phases::harvest::Harvest;
use crate::phases::opening::Opening;
use crate::phases::stage::Stage;
use crate::scenario::report::{chaos, environment};
use chatbench_result::hdr::histogram;

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
    pub chaos: Option<Chaos>,
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
    /// Whether to tell what grew.
    pub tells_drift: bool,
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
            options: environment::options(&stage.common, &stage.flow.plan, stage.seed),
            environment: environment::environment(stage),
            server_state: [stage.state.clone(), None],
            connections: connections(opening),
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
            tells_drift: false,
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
        self.chaos = chaos::trouble(flow, ledger, slow);
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
        if self.tells_drift {
            self.drift = self.series.as_ref().and_then(Drift::of);
        }
        if let (Some(processes), Some(series)) = (&mut self.processes, &self.series) {
            processes.derive(series, u64::from(self.connections.connected));
        }
        self.server_state[1] = stage.state_now().await;
        stage.progress.clear();
        let result = self.result();
        let judged = stage.common.thresholds.iter().map(|threshold| threshold.judge(&result));
        self.thresholds = judged.collect();
        for judged in self.thresholds.iter().filter(|judged| !judged.ok) {
            self.judgement.add(Verdict::ThresholdFailed, judged.words());
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

    /// As it is written, compared and shown.
    pub fn result(&self) -> RunResult {
        let summary = |(name, times): (&&'static str, &Histogram<u64>)| {
            ((*name).to_owned(), TimeSummary::new(times, self.censored_in(name)))
        };
        let said = |state: &Option<StateResponse>| serde_json::to_value(state.as_ref()?).ok();
        let [before, after] = &self.server_state;
        RunResult {
            schema: SCHEMA.to_owned(),
            scenario: self.scenario.to_owned(),
            run: self.run.clone(),
            started_unix_ms: self.started_unix_ms,
            valid: self.judgement.valid,
            partial: self.partial,
            verdict: Some(self.judgement.verdict),
            exit_code: u64::from(self.judgement.verdict.exit_code()),
            reasons: self.judgement.reasons.clone(),
            options: Some(self.options.clone()),
            environment: Some(self.environment.clone()),
            server_state: ServerState { after: said(after), before: said(before) },
            connections: Some(self.connections.clone()),
            times: self.distributions.iter().map(summary).collect(),
            ledger: self.ledger.clone(),
            rates: self.rates.clone(),
            chaos: self.chaos.clone(),
            history: self.history.clone(),
            red_packets: self.red_packets.clone(),
            processes: self.processes.clone(),
            idle: self.idle.clone(),
            validity: self.validity.clone(),
            floor: self.floor.clone(),
            parts: self.parts.clone(),
            drift: self.drift.clone(),
            series: self.series.clone(),
            thresholds: self.thresholds.clone(),
        }
    }
}

/// How the connections were opened.
fn connections(opening: &Opening) -> Connections {
    let seconds = opening.wall.as_secs_f64().max(1e-6);
    let tenths = |value: f64| (value * 10.0).round() / 10.0;
    Connections {
        wanted: opening.wanted,
        connected: opening.connected,
        failed: opening.failures.clone(),
        opening_ms: tenths(seconds * 1e3),
        opened_per_s: tenths(f64::from(opening.connected) / seconds),
        ..Connections::default()
    }
}

/// How they ended.
pub fn add_farewell(connections: &mut Connections, harvest: &Harvest) {
    connections.unanswered_closes = harvest.unanswered_closes;
    connections.heartbeats = harvest.heartbeats;
}
