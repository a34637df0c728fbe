//! The course of a run in one process, from the first connection to the closed books.
//!
//! Invariant: every connection that was opened is closed and in the books, also when the run ends early.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::Instant;

use crate::chaos::{self, Conductor};
use crate::clock::{now_ns, until};
use crate::failure::Failure;
use crate::ledger;
use crate::phases::crowd::Crowd;
use crate::phases::harvest::{Effort, Harvest};
use crate::phases::lockstep::Lockstep;
use crate::phases::posting::Posting;
use crate::phases::spec::Traffic;
use crate::phases::stage::Stage;
use crate::phases::traffic;
use crate::watch::probe::{self, Probe};
use crate::watch::process;

/// Longest wait of an idle run for clients that may come back.
const RETURN: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(20);

/// What the clients do once they are in.
#[derive(Debug)]
pub enum Work<'a> {
    /// They leave again.
    Connect,
    /// They stay.
    Idle(Duration),
    /// Some send, all receive.
    Traffic(&'a Traffic),
}

/// Runs all kinds of a run at once, each with its work.
///
/// # Errors
/// As [`run`].
pub async fn run_all(
    stages: &mut [Stage],
    works: &[Work<'_>],
    locksteps: impl Iterator<Item = Lockstep>,
) -> Result<Vec<Harvest>, Failure> {
    let courses = stages
        .iter_mut()
        .zip(works)
        .zip(locksteps)
        .map(|((stage, work), lockstep)| async move { run(stage, work, &lockstep).await });
    futures_util::future::try_join_all(courses).await
}

/// Runs one kind.
///
/// # Errors
/// [`Failure`] when another process of the run is gone, or this one lacks a thread. Clients that did not get in are in
/// [`Harvest::opening`].
async fn run(stage: &mut Stage, work: &Work<'_>, lockstep: &Lockstep) -> Result<Harvest, Failure> {
    let flow = Arc::clone(&stage.flow);
    let (crowd, mut opening) = stage.open().await;
    lockstep.opened(&mut opening).await?;
    stage.opened = Some(opening.clone());
    let wanted = opening.is_enough(&flow.plan) && !matches!(work, Work::Connect);
    let missing = lockstep.goes_on(wanted, &opening.missing).await?;
    let goes_on = missing.is_some();
    flow.leave_out(&missing.unwrap_or_default());
    let mut effort = Effort::new(stage.own);
    effort.threads = match lockstep {
        Lockstep::Crew(..) => 0,
        _ => u32::try_from(tokio::runtime::Handle::current().metrics().num_workers()).unwrap_or(1),
    };
    let (mut unsettled, mut senders) = (None, Vec::new());
    if goes_on {
        let probe = Probe::start(Arc::clone(&flow));
        unsettled = crowd.settle(&mut stage.interrupt).await;
        lockstep.settled(&mut unsettled).await?;
        effort.probe_before = probe.end().await;
        match work {
            Work::Connect => {}
            Work::Idle(time) => idle(stage, *time, &crowd, lockstep, &mut effort).await?,
            Work::Traffic(wanted) => {
                senders = send(stage, wanted, &crowd, lockstep, &mut effort).await?;
            }
        }
        effort.probe_after = probe::for_a_moment(&flow).await;
    }
    let mut farewell = stage.close(crowd).await;
    senders.append(&mut farewell.senders);
    if goes_on {
        senders = lockstep.exchange(senders).await?;
    }
    let receipts = ledger::receipts(&flow, &senders, &farewell.outcomes);
    let mut harvest = Harvest {
        opening,
        unsettled,
        effort,
        senders,
        receipts,
        journal: std::mem::take(&mut *flow.journal()),
        rest: None,
        outcomes: farewell.outcomes.len() as u64,
        unanswered_closes: farewell.unanswered_closes,
        heartbeats: farewell.heartbeats,
    };
    lockstep.bring_in(&mut harvest).await?;
    Ok(harvest)
}

async fn send(
    stage: &mut Stage,
    wanted: &Traffic,
    crowd: &Crowd,
    lockstep: &Lockstep,
    effort: &mut Effort,
) -> Result<Vec<crate::ledger::sender::Sender>, Failure> {
    let posting = Posting::start(stage, wanted)?;
    let controls = posting.controls(crowd, &stage.flow);
    traffic::drive(stage, wanted, &controls, crowd.present(), lockstep, effort).await?;
    Ok(posting.stop().await)
}

async fn idle(
    stage: &mut Stage,
    time: Duration,
    crowd: &Crowd,
    lockstep: &Lockstep,
    effort: &mut Effort,
) -> Result<(), Failure> {
    let start_ns = lockstep.start().await?;
    let start = until(start_ns);
    let times = chaos::Times { start, measure: start, duration: time };
    let trouble = Conductor::start(Arc::clone(&stage.flow), crowd.present().to_vec(), stage.seed, times);
    stage.interrupt.within(until(start_ns)).await;
    let before = stage.servers.look().await;
    effort.own[1] = process::own()?;
    let probe = Probe::start(Arc::clone(&stage.flow));
    let begun = now_ns();
    // Nobody sends, so a run whose connections are all gone is over.
    lockstep.end_sending();
    traffic::hold(stage, "idle", until(start_ns) + time, lockstep).await?;
    trouble.end();
    effort.measured_ns = now_ns().saturating_sub(begun);
    effort.own[2] = process::own()?;
    effort.servers = stage.servers.look_again(before).await;
    effort.probe = probe.end().await;
    // Who was cut just now needs a turn to notice.
    tokio::time::sleep(TICK).await;
    await_returns(stage).await;
    Ok(())
}

/// Who was cut last needs a moment to come back.
async fn await_returns(stage: &mut Stage) {
    let flow = Arc::clone(&stage.flow);
    let deadline = Instant::now() + flow.plan.trouble.offline() + RETURN;
    let all_back = || flow.open.load(Relaxed) >= flow.live.load(Relaxed);
    while !all_back() && Instant::now() < deadline && !stage.interrupt.within(Instant::now() + TICK).await {}
}
