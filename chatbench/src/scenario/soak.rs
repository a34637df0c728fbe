//! As broadcast, for hours: tells whether memory, open files or response times grow.

use chat_client::Server;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::phases::harvest::Harvest;
use crate::phases::spec::Traffic;
use crate::phases::stage::Stage;
use crate::scenario::conclude::add_traffic;
use crate::scenario::kind::{Asked, Scenario, bare};
use crate::scenario::report::result::Report;

/// What it is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Soak(pub Traffic);

impl Scenario for Soak {
    fn name(&self) -> &'static str {
        "soak"
    }

    fn asked(&self) -> Asked<'_> {
        Asked::Sends(&self.0)
    }

    fn add(&self, report: &mut Report, stage: &Stage, harvest: Harvest) {
        report.tells_drift = true;
        add_traffic(report, stage, &self.0, harvest);
    }

    fn against(&self, relay: &Server) -> Result<Box<dyn Scenario>, Failure> {
        Ok(Box::new(Self(bare(&self.0, relay)?)))
    }
}
