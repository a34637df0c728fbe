//! The result of a run, member by member.
//!
//! Invariant: every number has its unit in its name, one without is a count; `schema/result.v1.json` describes all of it.
//! A file of an earlier version is read as well: what came later has a default here.
//!
//! | module | holds |
//! |---|---|
//! | `result` | the whole |
//! | `books`, `paths` | the ledger, and the ways of it that have faults |
//! | `environment` | where and how: machine, options |
//! | `times` | distributions of times |
//! | `series` | the course, interval by interval |
//! | `processes` | CPU and memory |
//! | `chaos`, `history`, `red_packets` | what single scenarios find |
//! | `context`, `drift` | validity, floor, the parts of a mixed run; what grew |
//! | `threshold` | conditions with what was found |
//! | `lenient` | reading what others wrote |

mod books;
mod chaos;
mod context;
mod drift;
mod environment;
mod history;
pub(crate) mod lenient;
mod paths;
mod processes;
mod red_packets;
mod result;
mod series;
#[cfg(test)]
pub(crate) mod tests;
mod threshold;
mod times;

pub use books::{Books, Line, Rates};
pub use chaos::{Chaos, SlowReaders};
pub use context::{Floor, FloorRound, Part, Validity};
pub use drift::Drift;
pub use environment::{Environment, Options, Traffic};
pub use history::Pages;
pub use paths::{Path, Paths};
pub use processes::{Processes, Usage};
pub use red_packets::{Discrepancy, Fairness, RedPackets, Tenth};
pub use result::{Connections, Idle, RunResult, SCHEMA, ServerState};
pub use series::{HostPoint, Point, RedisPoint, Series, ServerPoint};
pub use threshold::{Judged, Unit};
pub use times::{TIMES, TimeSummary};
