//! One-to-one messages between pairs of clients.

use chat_client::Server;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::ledger::flow::Flow;
use crate::ledger::plan::Shape;
use crate::phases::identity::Identity;
use crate::phases::spec::Traffic;
use crate::scenario::kind::{Asked, Scenario, bare, traffic_flow};

/// What it is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Unicast(pub Traffic);

impl Scenario for Unicast {
    fn name(&self) -> &'static str {
        "unicast"
    }

    fn asked(&self) -> Asked<'_> {
        Asked::Sends(&self.0)
    }

    fn flow(&self, identity: &Identity) -> Result<Flow, Failure> {
        let clients = self.0.common.clients;
        traffic_flow(&self.0, identity, Shape::Pairs, [clients, clients, 1])
    }

    fn against(&self, relay: &Server) -> Result<Box<dyn Scenario>, Failure> {
        Ok(Box::new(Self(bare(&self.0, relay)?)))
    }
}
