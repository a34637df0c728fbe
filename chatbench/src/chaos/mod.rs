//! Trouble on purpose: the one task that cuts connections and tells slow readers to stop reading.
//!
//! Invariant: who is troubled, and when, follows from the plan and the seed alone.

mod cuts;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::ledger::flow::Flow;
use crate::net::control::Control;

/// When the parts of the run begin.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// The first message is due.
    pub start: Instant,
    /// The measured part begins.
    pub measure: Instant,
    /// How long it is.
    pub duration: Duration,
}

/// The running task.
#[derive(Debug)]
pub struct Conductor(JoinHandle<()>);

impl Conductor {
    /// Starts to trouble the clients behind `controls`, of which only the receiving ones are touched.
    pub fn start(flow: Arc<Flow>, controls: Vec<(u32, Arc<Control>)>, seed: u64, times: Times) -> Self {
        Self(tokio::spawn(async move {
            tokio::join!(cuts::cut(&flow, &controls, seed, times), stop_reading(&flow, &controls, times));
        }))
    }

    /// No further trouble.
    pub fn end(self) {
        self.0.abort();
    }
}

async fn stop_reading(flow: &Flow, controls: &[(u32, Arc<Control>)], times: Times) {
    tokio::time::sleep_until(times.measure).await;
    for (_, control) in controls.iter().filter(|(number, _)| flow.plan.is_slow(*number)) {
        control.stop_reading();
    }
}
