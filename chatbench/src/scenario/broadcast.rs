//! World messages to every client of one app.

use chat_client::Server;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::ledger::flow::Flow;
use crate::phases::identity::Identity;
use crate::phases::spec::{Common, Traffic};
use crate::scenario::kind::{Scenario, bare, world_flow};

/// What it is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Broadcast(pub Traffic);

impl Scenario for Broadcast {
    fn name(&self) -> &'static str {
        "broadcast"
    }

    fn common(&self) -> &Common {
        &self.0.common
    }

    fn traffic(&self) -> Option<&Traffic> {
        Some(&self.0)
    }

    fn flow(&self, identity: &Identity) -> Result<Flow, Failure> {
        world_flow(&self.0, identity)
    }

    fn against(&self, relay: &Server) -> Result<Box<dyn Scenario>, Failure> {
        Ok(Box::new(Self(bare(&self.0, relay)?)))
    }
}
