//! The result of a run.
//!
//! Invariant: whatever the scenario, it ends in a `RunResult`, and only that is written, compared and shown.

use std::collections::BTreeMap;

use chatbench_result::model::{
    Connections, Drift, Options, Pages, RunResult, SCHEMA, ServerState, TIMES, TimeSummary,
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
    /// What was found so far, but for the rest of this.
    pub found: RunResult,
    /// The verdict with its reasons.
    pub judgement: Judgement,
    /// As they took effect.
    pub options: Options,
    /// How the connections fared.
    pub connections: Connections,
    /// Whether to tell what grew.
    pub tells_drift: bool,
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
        let found = RunResult {
            schema: SCHEMA.to_owned(),
            scenario: stage.scenario.to_owned(),
            run: stage.flow.plan.run.clone(),
            started_unix_ms: stage.started_ms,
            partial: stage.interrupt.came(),
            environment: Some(environment::environment(stage)),
            server_state: ServerState { after: None, before: ServerState::said(stage.state.as_ref()) },
            ..RunResult::default()
        };
        Self {
            found,
            judgement: Judgement::new(),
            options: environment::options(&stage.common, &stage.flow.plan, stage.seed),
            connections: connections(opening),
            tells_drift: false,
            distributions: times,
            censored: Censored::default(),
        }
    }

    /// What is left of a run that `failure` ended: its connections and its course until then.
    pub async fn cut_short(stage: &mut Stage, verdict: Verdict, failure: &Failure) -> Self {
        let opening = stage.opened.take().unwrap_or_else(|| Opening::new(stage.flow.plan.connections()));
        let mut report = Self::new(stage, &opening);
        if !matches!(failure, Failure::Stopped) {
            report.judgement.add(verdict, failure.reason());
        }
        report.found.partial = true;
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
        self.found.chaos = chaos::trouble(flow, ledger, slow);
        self.distributions.insert("recovery_time", flow.journal().recovery.clone());
        self.distributions.insert("reconnect_time", flow.journal().reconnect.clone());
        self.distributions.insert("back_time", chaos::back_time(flow, ledger));
    }

    /// Adds what came of reading the history.
    pub fn add_pages(&mut self, pages: Pages, times: Histogram<u64>) {
        self.distributions.insert("page_time", times);
        self.found.history = Some(pages);
    }

    /// The last steps: the server's state, the conditions, the interruption.
    pub async fn finish(&mut self, stage: &mut Stage) {
        self.found.series = stage.take_series().await;
        if self.tells_drift {
            self.found.drift = self.found.series.as_ref().and_then(Drift::of);
        }
        if let (Some(processes), Some(series)) = (&mut self.found.processes, &self.found.series) {
            processes.derive(series, u64::from(self.connections.connected));
        }
        self.found.server_state.after = ServerState::said(stage.state_now().await);
        stage.progress.clear();
        let result = self.result();
        let judged = stage.common.thresholds.iter().map(|threshold| threshold.judge(&result));
        self.found.thresholds = judged.collect();
        for judged in self.found.thresholds.iter().filter(|judged| !judged.ok) {
            self.judgement.add(Verdict::ThresholdFailed, judged.words());
        }
        if let Some(why) = stage.ended_early.take() {
            self.found.partial = true;
            self.judgement.add(Verdict::Invalid, why);
        }
        if self.found.partial && stage.interrupt.came() {
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
        RunResult {
            valid: self.judgement.valid,
            verdict: Some(self.judgement.verdict),
            exit_code: u64::from(self.judgement.verdict.exit_code()),
            reasons: self.judgement.reasons.clone(),
            options: Some(self.options.clone()),
            connections: Some(self.connections.clone()),
            times: self.distributions.iter().map(summary).collect(),
            ..self.found.clone()
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
