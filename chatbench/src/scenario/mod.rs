//! The scenarios, one file each, and what those that send have in common.

pub mod broadcast;
pub mod connect;
pub mod exchange;
pub mod group;
pub mod history;
pub mod idle;
pub mod redpacket;
pub mod unicast;

use std::time::Duration;

use crate::args::CommonArgs;
use crate::chaos::Trouble;
use crate::flow::Flow;
use crate::plan::{Plan, Shape};
use crate::timetable::Timetable;
use crate::wire::payload::{MIN_BYTES, Payload};

/// The state of a run without senders.
pub(crate) fn silent_flow(common: &CommonArgs, seed: u64) -> Flow {
    let run = run_name();
    let plan = Plan {
        payload: Payload::new(&run, MIN_BYTES, seed),
        run,
        app: app(common),
        shape: Shape::World,
        receivers: common.clients(),
        senders: 0,
        groups: 1,
        senders_connected: false,
        trouble: Trouble::default(),
    };
    Flow::new(plan, 0, 0, Timetable::Closed { think: Duration::ZERO })
}

/// A name no other run has: it is in every user and message id, and the server remembers those for a day.
pub(crate) fn run_name() -> String {
    format!("{:016x}", rand::random::<u64>())
}

/// The app asked for, or one that nobody else uses.
pub(crate) fn app(common: &CommonArgs) -> u32 {
    common.app.unwrap_or_else(|| rand::random_range(1_000_000_000..u32::MAX))
}

/// The seed asked for, or any.
pub(crate) fn seed(common: &CommonArgs) -> u64 {
    common.seed.unwrap_or_else(rand::random)
}
