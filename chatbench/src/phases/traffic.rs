//! The sending part of a run: warm-up, measured part, drain.
//!
//! Invariant: nothing here waits for a single message; the schedule runs on its own and the drain has a deadline.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::Instant;

use crate::chaos::{self, Conductor};
use crate::clock::{nanos, now_ns, until};
use crate::failure::Failure;
use crate::ledger::plan::MAX_SEQUENCE;
use crate::net::control::Control;
use crate::phases::harvest::Effort;
use crate::phases::lockstep::Lockstep;
use crate::phases::schedule::Schedule;
use crate::phases::spec::Traffic;
use crate::phases::stage::Stage;
use crate::watch::probe::Probe;
use crate::watch::process;
use chatbench_result::units::{count_text, micros_text};

/// After the last message is due, for senders that were just released.
const GRACE: Duration = Duration::from_millis(50);
/// After the last expected delivery, for those that nobody expects.
const LINGER: Duration = Duration::from_millis(250);
/// Longest wait for deliveries and answers when the operator has stopped the sending.
const AFTER_INTERRUPTION: Duration = Duration::from_secs(5);
/// How much longer a worker waits for the conductor's word than the conductor for the last delivery.
const WORKERS_PATIENCE: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(20);
/// Longest time without any connection: clients that come back are in again by then, unless the server is gone.
const ALONE: Duration = Duration::from_secs(10);

/// Sends through the senders behind `controls` and troubles the clients behind `clients` meanwhile.
///
/// # Errors
/// [`Failure::CouldNotRun`] when there is no thread for the schedule, or another process of the run is gone.
pub async fn drive(
    stage: &mut Stage,
    traffic: &Traffic,
    controls: &[Arc<Control>],
    clients: &[(u32, Arc<Control>)],
    lockstep: &Lockstep,
    effort: &mut Effort,
) -> Result<(), Failure> {
    let flow = Arc::clone(&stage.flow);
    let start_ns = lockstep.start().await?;
    let start = until(start_ns);
    let measure_ns = start_ns + nanos(traffic.warmup);
    flow.start_ns.store(start_ns, Relaxed);
    flow.measure_ns.store(measure_ns, Relaxed);
    let schedule = Schedule::start(Arc::clone(&flow), controls.to_vec())
        .map_err(|error| Failure::could_not_run(format!("no thread: {error}"), "check `ulimit -u`"))?;
    let times = chaos::Times { start, measure: start + traffic.warmup, duration: traffic.time() };
    let trouble = Conductor::start(Arc::clone(&flow), clients.to_vec(), stage.seed, times);
    let interrupted = stage.interrupt.within(start).await;
    if traffic.is_closed() && !interrupted {
        controls.iter().for_each(|control| control.release(MAX_SEQUENCE));
    }
    hold(stage, "warm-up", start + traffic.warmup, lockstep).await?;
    let probe = Probe::start(Arc::clone(&flow));
    effort.own[1] = process::own()?;
    let before = stage.servers.look().await;
    hold(stage, "measure", start + traffic.warmup + traffic.time(), lockstep).await?;
    effort.sending_ns = now_ns().saturating_sub(measure_ns);
    if !traffic.is_closed() && !stage.interrupt.came() {
        tokio::time::sleep(GRACE).await;
    }
    trouble.end();
    controls.iter().for_each(|control| control.end_sending());
    schedule.end();
    lockstep.end_sending();
    drain(stage, traffic.drain, lockstep).await?;
    lockstep.end_drain()?;
    let deadline_ns = now_ns();
    flow.deadline_ns.store(deadline_ns, Relaxed);
    effort.measured_ns = deadline_ns.saturating_sub(measure_ns);
    effort.own[2] = process::own()?;
    effort.servers = stage.servers.look_again(before).await;
    effort.probe = probe.end().await;
    Ok(())
}

/// Waits, with an eye on the operator, the other processes and the clients.
///
/// # Errors
/// [`Failure::CouldNotRun`] when another process of the run is gone.
pub async fn hold(
    stage: &mut Stage,
    part: &'static str,
    until: Instant,
    lockstep: &Lockstep,
) -> Result<(), Failure> {
    let begun = Instant::now();
    let seconds = until.saturating_duration_since(begun).as_secs_f64().round();
    stage.begin(part, seconds as u64);
    let patience = ALONE + stage.flow.plan.trouble.offline();
    let (mut in_touch, mut counted) = (begun, None);
    while stage.ended_early.is_none() && Instant::now() < until {
        let tick = (Instant::now() + 10 * TICK).min(until);
        if stage.interrupt.within(tick).await {
            return Ok(());
        }
        let flow = &stage.flow;
        let standing = lockstep.standing(flow).await?;
        if standing.open > 0 || stage.flow.plan.connections() == 0 {
            in_touch = Instant::now();
        }
        let forsaken = match lockstep {
            // It does not know by itself whether others go on.
            Lockstep::Worker(link) => link.forsaken(),
            Lockstep::Alone(_) | Lockstep::Crew(..) => {
                (standing.live == 0 && standing.sending == 0) || in_touch.elapsed() > patience
            }
        };
        if forsaken {
            lockstep.forsake()?;
            stage.ended_early = Some("no client was connected any more, so the run ended early".to_owned());
        }
        let (since, before) = *counted.get_or_insert((Instant::now(), standing.sent));
        stage.progress.time(begun.elapsed(), || {
            let rate = (standing.sent - before) as f64 / since.elapsed().as_secs_f64().max(1e-3);
            let p99 = stage.p99_now().map_or("-".to_owned(), micros_text);
            let missing = count_text(standing.expected.saturating_sub(standing.delivered));
            format!("s, {} open, {rate:.1}/s, p99 {p99}, {missing} missing", count_text(standing.open))
        });
    }
    Ok(())
}

async fn drain(stage: &mut Stage, longest: Duration, lockstep: &Lockstep) -> Result<(), Failure> {
    stage.begin("drain", longest.as_secs());
    let begun = Instant::now();
    // Who interrupted the sending still gets exact books, of what comes soon; who interrupts the drain does not want to
    // wait.
    let sending_interrupted = stage.interrupt.came();
    let works = matches!(lockstep, Lockstep::Worker(_));
    let longest = match works {
        true => longest + WORKERS_PATIENCE,
        false if sending_interrupted => longest.min(AFTER_INTERRUPTION),
        false => longest,
    };
    while begun.elapsed() < longest && !lockstep.drained(&stage.flow).await? {
        tokio::time::sleep(TICK).await;
        if !sending_interrupted && !works && stage.interrupt.came() {
            return Ok(());
        }
        stage.progress.time(begun.elapsed(), || "s".to_owned());
    }
    if !works && lockstep.standing(&stage.flow).await?.sent > 0 {
        tokio::time::sleep(LINGER).await;
    }
    Ok(())
}
