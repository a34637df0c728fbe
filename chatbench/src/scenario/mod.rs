//! The scenarios: who sends what to whom, one file or folder each, and how their results are judged.
//!
//! Invariant: each is an implementation of [`kind::Scenario`], and the steps of a run know them by that alone.
//!
//! | module | holds |
//! |---|---|
//! | `kind` | what every scenario is |
//! | `connect`, `idle`, `broadcast`, `unicast`, `group`, `churn`, `mixed`, `soak` | those that take the steps of all |
//! | `history`, `redpacket` | those that run apart |
//! | `run`, `worker` | a run from its options to its result; a part of its clients in another process |
//! | `floor` | the same run against a relay that only writes |
//! | `conclude`, `report` | verdicts, and the result, of types of `chatbench-result` |

pub mod broadcast;
pub mod churn;
mod conclude;
pub mod connect;
pub mod floor;
pub mod group;
pub mod history;
pub mod idle;
pub mod kind;
pub mod mixed;
pub mod redpacket;
pub mod report;
pub mod run;
pub mod soak;
pub mod unicast;
pub mod worker;

use serde::Deserialize;

use broadcast::Broadcast;
use churn::Churn;
use connect::Connect;
use group::Group;
use idle::Idle;
use kind::Scenario;
use mixed::Mixed;
use soak::Soak;
use unicast::Unicast;

/// The scenario of this name with what [`kind::Written`] wrote of it, of those that can be divided among processes.
///
/// # Errors
/// When there is none, or its text is of something else.
pub fn read(name: &str, options: &str) -> Result<Box<dyn Scenario>, String> {
    match name {
        "connect" => of::<Connect>(options),
        "idle" => of::<Idle>(options),
        "broadcast" => of::<Broadcast>(options),
        "unicast" => of::<Unicast>(options),
        "group" => of::<Group>(options),
        "mixed" => of::<Mixed>(options),
        "churn" => of::<Churn>(options),
        "soak" => of::<Soak>(options),
        other => Err(format!("{other} is not divided among processes")),
    }
}

fn of<'a, S: Scenario + Deserialize<'a> + 'static>(options: &'a str) -> Result<Box<dyn Scenario>, String> {
    serde_json::from_str::<S>(options)
        .map(|scenario| Box::new(scenario) as _)
        .map_err(|error| error.to_string())
}
