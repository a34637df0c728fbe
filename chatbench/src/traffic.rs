//! The sending part of a run: warm-up, measured part, drain.
//!
//! Invariant: nothing here waits for a single message; the schedule runs on its own and the drain has a deadline.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::Instant;

use crate::args::TrafficArgs;
use crate::chaos::conductor::{self, Conductor};
use crate::client::control::Control;
use crate::clock::{nanos, now_ns};
use crate::failure::Failure;
use crate::plan::MAX_SEQUENCE;
use crate::probe::Probe;
use crate::process::{self, Observed, Sample};
use crate::schedule::Schedule;
use crate::stage::Stage;

/// From the decision to start to the first message, so that the schedule's thread is there in time.
const RUN_UP: Duration = Duration::from_millis(20);
/// After the last message is due, for senders that were just released.
const GRACE: Duration = Duration::from_millis(50);
/// After the last expected delivery, for those that nobody expects.
const LINGER: Duration = Duration::from_millis(250);
const TICK: Duration = Duration::from_millis(20);

/// How the sending went.
#[derive(Debug)]
pub struct Driven {
    /// Messages the schedule wanted in the measured part; none without a schedule.
    pub offered: Option<u64>,
    /// The rate of the schedule.
    pub offered_per_s: Option<f64>,
    /// Delay of the probe in microseconds.
    pub probe: Histogram<u64>,
    /// The generator at the start of the measured part and after the drain.
    pub own: [Sample; 2],
    /// The processes of `--pid` at the same two moments.
    pub servers: Observed,
    /// From the start of the measured part to the last send, in nanoseconds.
    pub sending_ns: u64,
    /// From the start of the measured part to the end of the drain, in nanoseconds.
    pub measured_ns: u64,
}

/// Sends through the senders behind `controls` and troubles the clients behind `clients` meanwhile.
///
/// # Errors
/// [`Failure::CouldNotRun`] when there is no thread for the schedule.
pub async fn drive(
    stage: &mut Stage,
    args: &TrafficArgs,
    controls: &[Arc<Control>],
    clients: &[Arc<Control>],
) -> Result<Driven, Failure> {
    let flow = Arc::clone(&stage.flow);
    let start = Instant::now() + RUN_UP;
    let start_ns = now_ns() + nanos(RUN_UP);
    let measure_ns = start_ns + nanos(args.warmup);
    flow.start_ns.store(start_ns, Relaxed);
    flow.measure_ns.store(measure_ns, Relaxed);
    let probe = Probe::start(Arc::clone(&flow));
    let schedule = Schedule::start(Arc::clone(&flow), controls.to_vec())
        .map_err(|error| Failure::could_not_run(format!("no thread: {error}"), "check `ulimit -u`"))?;
    let times = conductor::Times { start, measure: start + args.warmup, duration: args.time() };
    let trouble = Conductor::start(Arc::clone(&flow), clients.to_vec(), stage.seed, times);
    let interrupted = stage.interrupt.within(start).await;
    if args.closed && !interrupted {
        controls.iter().for_each(|control| control.release(MAX_SEQUENCE));
    }
    hold(stage, "warm-up", start + args.warmup).await;
    let before = (process::own()?, process::samples(&stage.common.pid).ok());
    hold(stage, "measure", start + args.warmup + args.time()).await;
    let sending_ns = now_ns().saturating_sub(measure_ns);
    if !args.closed && !stage.interrupt.came() {
        tokio::time::sleep(GRACE).await;
    }
    trouble.end();
    controls.iter().for_each(|control| control.end_sending());
    schedule.end();
    drain(stage, args.drain).await;
    let deadline_ns = now_ns();
    flow.deadline_ns.store(deadline_ns, Relaxed);
    let measured_ns = deadline_ns.saturating_sub(measure_ns);
    let own = [before.0, process::own()?];
    let offered = flow.timetable.total().map(|total| total - flow.timetable.due_before(args.warmup));
    Ok(Driven {
        offered,
        offered_per_s: offered.map(|offered| offered as f64 / args.time().as_secs_f64()),
        probe: probe.end().await,
        own,
        servers: process::observed(&stage.common.pid, before.1),
        sending_ns,
        measured_ns,
    })
}

async fn hold(stage: &mut Stage, part: &'static str, until: Instant) {
    let begun = Instant::now();
    stage.begin(part, until.saturating_duration_since(begun).as_secs());
    while Instant::now() < until && stage.flow.live.load(Relaxed) > 0 {
        let tick = (Instant::now() + 10 * TICK).min(until);
        if stage.interrupt.within(tick).await {
            return;
        }
        let flow = &stage.flow;
        stage.progress.at_time(begun.elapsed(), || {
            format!("s, {} sent, {} delivered", flow.sent.load(Relaxed), flow.deliveries())
        });
    }
}

async fn drain(stage: &mut Stage, longest: Duration) {
    if stage.flow.sent.load(Relaxed) == 0 {
        return;
    }
    stage.begin("drain", longest.as_secs());
    let begun = Instant::now();
    // Who interrupted the sending still gets exact books; who interrupts the drain does not want to wait.
    let sending_interrupted = stage.interrupt.came();
    while begun.elapsed() < longest && !stage.flow.complete() && stage.flow.live.load(Relaxed) > 0 {
        tokio::time::sleep(TICK).await;
        if !sending_interrupted && stage.interrupt.came() {
            return;
        }
        stage.progress.at_time(begun.elapsed(), || "s".to_owned());
    }
    tokio::time::sleep(LINGER).await;
}
