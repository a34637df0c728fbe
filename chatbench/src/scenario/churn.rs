//! As broadcast, while clients leave and come back all the time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::ledger::flow::Flow;
use crate::ledger::plan::trouble::{Chaos, Trouble};
use crate::phases::identity::Identity;
use crate::phases::spec::{Traffic, trouble};
use crate::phases::text;
use crate::scenario::kind::{Asked, Scenario, world_flow};

/// What it is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Churn {
    /// Clients that leave each second.
    #[serde(with = "text::one")]
    pub rate: f64,
    /// How long who left stays away.
    pub away: Duration,
    /// How messages are sent; of trouble only slow readers and comings back.
    pub traffic: Traffic,
}

impl Churn {
    /// The comings and goings together with other trouble.
    ///
    /// # Errors
    /// [`Failure::Usage`] when that cuts connections too.
    pub fn trouble(&self) -> Result<Trouble, Failure> {
        let cuts = |chaos: &&Chaos| !matches!(chaos, Chaos::SlowReader { .. } | Chaos::Reconnect);
        if let Some(cuts) = self.traffic.chaos.iter().find(cuts) {
            let words = format!(
                "--chaos {cuts}: churn lets the clients come and go itself; only slow-reader and reconnect go with it"
            );
            return Err(Failure::Usage(words));
        }
        let churn = Chaos::Churn { rate: self.rate, offline: self.away };
        let all: Vec<Chaos> = std::iter::once(churn).chain(self.traffic.chaos.iter().copied()).collect();
        trouble(&all, self.traffic.time())
    }
}

impl Scenario for Churn {
    fn name(&self) -> &'static str {
        "churn"
    }

    fn asked(&self) -> Asked<'_> {
        Asked::Sends(&self.traffic)
    }

    fn flow(&self, identity: &Identity) -> Result<Flow, Failure> {
        let mut flow = world_flow(&self.traffic, identity)?;
        flow.plan.trouble = self.trouble()?;
        Ok(flow)
    }
}
