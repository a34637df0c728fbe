//! Holds connections without traffic: memory, CPU, unexpected closes.

use std::time::Duration;

use chatbench_result::model;
use chatbench_result::verdict::Verdict;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::ledger::flow::Flow;
use crate::ledger::plan::trouble::{Chaos, Trouble};
use crate::phases::course::Work;
use crate::phases::harvest::Harvest;
use crate::phases::identity::Identity;
use crate::phases::spec::{Common, trouble};
use crate::phases::stage::Stage;
use crate::phases::text;
use crate::scenario::conclude::judge_connections;
use crate::scenario::kind::{Asked, Scenario, silent_flow};
use crate::scenario::report::processes::costs;
use crate::scenario::report::result::Report;

/// What it is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Idle {
    /// What every run is asked for.
    pub common: Common,
    /// How long to hold the connections.
    pub duration: Duration,
    /// Whether connections that the server closes break nothing.
    pub allow_disconnects: bool,
    /// Trouble for the clients.
    #[serde(with = "text")]
    pub chaos: Vec<Chaos>,
}

impl Idle {
    /// All trouble together.
    ///
    /// # Errors
    /// [`Failure::Usage`] when two kinds of it contradict each other, or one makes no sense without messages.
    pub fn trouble(&self) -> Result<Trouble, Failure> {
        let trouble = trouble(&self.chaos, self.duration)?;
        if trouble.slow_permille > 0 {
            let words =
                "--chaos slow-reader: nobody sends in an idle run, so there is nothing to read; leave it out";
            return Err(Failure::Usage(words.to_owned()));
        }
        Ok(trouble)
    }
}

impl Scenario for Idle {
    fn name(&self) -> &'static str {
        "idle"
    }

    fn asked(&self) -> Asked<'_> {
        Asked::Silent(&self.common)
    }

    fn flow(&self, identity: &Identity) -> Result<Flow, Failure> {
        let mut flow = silent_flow(&self.common, identity);
        flow.plan.trouble = self.trouble()?;
        Ok(flow)
    }

    fn work(&self) -> Work<'_> {
        Work::Idle(self.duration)
    }

    fn add(&self, report: &mut Report, stage: &Stage, harvest: Harvest) {
        let connections = u64::from(harvest.opening.connected);
        let costs = costs(stage, &harvest.effort);
        let ledger = harvest.receipts.ledger;
        *stage.flow.journal() = harvest.journal;
        report.options.chaos = stage.flow.plan.trouble.words();
        report.add_chaos(&stage.flow, &ledger, 0);
        report.found.idle = Some(model::Idle {
            held_ms: harvest.effort.measured_ns / 1_000_000,
            generator_bytes_per_client: costs.processes.own_growth(connections),
            server_bytes_per_connection: costs.processes.server_growth(connections),
        });
        let notes = harvest.unsettled.into_iter().chain(costs.missing);
        notes.for_each(|note| report.judgement.add(Verdict::Pass, note));
        report.found.processes = Some(costs.processes);
        judge_connections(report, self.allow_disconnects, &ledger);
    }
}
