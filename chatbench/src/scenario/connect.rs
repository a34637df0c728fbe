//! Connects and logs in, measures both, closes in order.

use serde::{Deserialize, Serialize};

use crate::phases::spec::Common;
use crate::scenario::kind::{Asked, Scenario};

/// What it is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Connect(pub Common);

impl Scenario for Connect {
    fn name(&self) -> &'static str {
        "connect"
    }

    fn asked(&self) -> Asked<'_> {
        Asked::Silent(&self.0)
    }
}
