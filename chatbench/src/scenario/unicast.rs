//! One-to-one messages: each client has a sender of its own.
//!
//! Invariant: each accepted message is expected once, at the sender's peer, and nowhere else.

use crate::args::{TrafficArgs, Via};
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::plan::{Plan, Shape};
use crate::report::result::Report;
use crate::scenario::{app, exchange, run_name, seed};
use crate::wire::payload::Payload;

/// Runs it.
///
/// # Errors
/// [`Failure`] when there is nothing to report.
pub async fn run(args: &TrafficArgs, interrupt: Interrupt) -> Result<Report, Failure> {
    let (run, seed) = (run_name(), seed(&args.common));
    let plan = Plan {
        payload: Payload::new(&run, args.payload, seed),
        run,
        app: app(&args.common),
        shape: Shape::Pairs,
        receivers: args.common.clients(),
        senders: args.common.clients(),
        groups: 1,
        senders_connected: args.via == Via::Ws,
        trouble: args.trouble()?,
    };
    exchange::run("unicast", args, plan, seed, interrupt).await
}
