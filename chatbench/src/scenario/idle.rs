//! Connections without traffic: what they cost and whether they stay.
//!
//! Invariant: memory is compared with the moment before the first connection, CPU with the moment after the last.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::Instant;

use crate::args::IdleArgs;
use crate::clock::{micros, now_ns};
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::ledger;
use crate::process;
use crate::report::processes::Processes;
use crate::report::result::{Idle, Report};
use crate::scenario::{seed, silent_flow};
use crate::stage::Stage;
use crate::verdict::Verdict;

/// Runs it.
///
/// # Errors
/// [`Failure`] when a client did not get in.
pub async fn run(args: &IdleArgs, interrupt: Interrupt) -> Result<Report, Failure> {
    let seed = seed(&args.common);
    let flow = silent_flow(&args.common, seed);
    let mut stage = Stage::prepare("idle", &args.common, seed, flow, interrupt).await?;
    let (crowd, opening) = stage.open().await;
    if let Some(failure) = opening.failure() {
        stage.close(crowd).await;
        return Err(failure);
    }
    let unsettled = crowd.settle(&mut stage.interrupt).await;
    let before = (process::own()?, process::samples(&args.common.pid).ok());
    let begun = now_ns();
    hold(&mut stage, args.duration).await;
    let held_ns = now_ns() - begun;
    let after = (process::own()?, process::observed(&args.common.pid, before.1));
    let flow = Arc::clone(&stage.flow);
    let farewell = stage.close(crowd).await;
    let books = ledger::receipts(&flow, &[], &farewell.outcomes).ledger;

    let mut report = Report::new(&stage, &opening);
    report.connections.add_farewell(&farewell);
    report.connections.closed_by_server = books.closed_by_code.clone();
    let connections = u64::from(opening.connected);
    let processes = Processes::new(&stage, [before.0, after.0], after.1, held_ns);
    report.idle = Some(Idle {
        held_ms: held_ns / 1_000_000,
        generator_bytes_per_client: processes.own_growth(connections),
        server_bytes_per_connection: processes.server_growth(connections),
    });
    if let Some(missing) = processes.missing(&stage) {
        report.judgement.add(Verdict::Pass, missing);
    }
    report.processes = Some(processes);
    if let Some(unsettled) = unsettled {
        report.judgement.add(Verdict::Pass, unsettled);
    }
    if !args.allow_disconnects && books.closed_by_server() > 0 {
        report.judgement.add(Verdict::InvariantBroken, report.connections.closed_text());
    }
    report.finish(&mut stage).await;
    Ok(report)
}

async fn hold(stage: &mut Stage, duration: Duration) {
    let begun = Instant::now();
    let until = begun + duration;
    stage.begin("idle", micros(duration) / 1_000_000);
    while Instant::now() < until {
        let tick = (Instant::now() + Duration::from_millis(200)).min(until);
        if stage.interrupt.within(tick).await {
            return;
        }
        let open = stage.flow.open.load(Relaxed);
        stage.progress.at_time(begun.elapsed(), || format!("s, {open} open"));
    }
}
