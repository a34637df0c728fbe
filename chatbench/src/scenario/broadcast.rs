//! World messages to every client of one app.

use chat_client::Server;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::phases::spec::Traffic;
use crate::scenario::kind::{Asked, Scenario, bare};

/// What it is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Broadcast(pub Traffic);

impl Scenario for Broadcast {
    fn name(&self) -> &'static str {
        "broadcast"
    }

    fn asked(&self) -> Asked<'_> {
        Asked::Sends(&self.0)
    }

    fn against(&self, relay: &Server) -> Result<Box<dyn Scenario>, Failure> {
        Ok(Box::new(Self(bare(&self.0, relay)?)))
    }
}
