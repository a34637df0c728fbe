//! Connecting and logging in, and nothing else.
//!
//! Invariant: every attempt is counted, as a time or as a failure with its cause.

use crate::args::ConnectArgs;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::report::result::Report;
use crate::scenario::{seed, silent_flow};
use crate::stage::Stage;
use crate::verdict::Verdict;

/// Runs it.
///
/// # Errors
/// [`Failure`] when no client got in.
pub async fn run(args: &ConnectArgs, interrupt: Interrupt) -> Result<Report, Failure> {
    let seed = seed(&args.common);
    let flow = silent_flow(&args.common, seed);
    let mut stage = Stage::prepare("connect", &args.common, seed, flow, interrupt).await?;
    let (crowd, opening) = stage.open().await;
    let failure = opening.failure();
    if let (Some(failure), 0) = (failure.as_ref(), opening.connected) {
        stage.close(crowd).await;
        return Err(Failure::could_not_run(failure, "no client got in, so there is nothing to measure"));
    }
    let farewell = stage.close(crowd).await;
    let mut report = Report::new(&stage, &opening);
    report.connections.add_farewell(&farewell);
    if let Some(failure) = failure {
        report.judgement.add(Verdict::CouldNotRun, failure.to_string());
    }
    report.finish(&mut stage).await;
    Ok(report)
}
