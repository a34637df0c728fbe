//! The load generator of chatd: it measures how long messages take and counts every single one.
//!
//! Invariant: a run says "pass" only when every expected delivery was seen, once and in order; and it never says a time
//! that the generator itself spoilt without saying so.
//!
//! | module | holds |
//! |---|---|
//! | `args` | the command line |
//! | `scenario` | what a run does, one file each |
//! | `course`, `stage`, `crowd`, `opening`, `login`, `traffic`, `posting` | the steps of a run: check, connect, send and drain, close |
//! | `lockstep`, `crew`, `share`, `standing`, `harvest` | the same in several processes: in step, divided, how far, brought together |
//! | `identity`, `plan`, `flow` | who sends what to whom; the live state all parts share |
//! | `timetable`, `schedule`, `probe`, `clock` | when messages are due; whether the generator keeps up |
//! | `client` | one client: its task, what it receives, what it sends, how it comes back |
//! | `floor` | the same run against a relay that only writes |
//! | `chaos` | trouble on purpose: who is cut and when, and what came of it |
//! | `wire`, `sources` | socket, frames, the text inside them; addresses to connect from |
//! | `recorder`, `spread`, `bitset`, `packed`, `ledger` | times and marks, and the books made of them |
//! | `pulse`, `sampler`, `watch` | the course of a run, second by second: clients, servers, Redis, kernel |
//! | `process`, `limits` | CPU, memory and open files |
//! | `failure`, `report` | how it ended: what no result can hold, and the result, of types of `chatbench-result` |
//! | `output` | results as files, in the formats of `chatbench-result` |
//! | `gate` | several runs: compared, kept as a baseline, in turns, searching the limit |
//! | `screen`, `progress`, `interrupt` | the person at the terminal |

mod args;
mod bitset;
mod chaos;
mod client;
mod clock;
mod course;
mod crew;
mod crowd;
mod failure;
mod floor;
mod flow;
mod gate;
mod harvest;
mod identity;
mod interrupt;
mod ledger;
mod limits;
mod lockstep;
mod login;
mod opening;
mod output;
mod packed;
mod plan;
mod posting;
mod probe;
mod process;
mod progress;
mod pulse;
mod recorder;
mod report;
mod sampler;
mod scenario;
mod schedule;
mod screen;
mod share;
mod sources;
mod spread;
mod stage;
mod standing;
mod timetable;
mod traffic;
mod watch;
mod wire;

use std::ffi::OsString;
use std::io::Write;

use chatbench_result::model::RunResult;
use chatbench_result::output::findings::Findings;
use chatbench_result::verdict::Verdict;
use clap::Parser;
use clap::error::ErrorKind;

use crate::args::{Args, Command, Scenario};
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::screen::Screen;
use chatbench_result::output::human;

/// The runtime of the program: half of the cores work, so that a server on the same machine has the other half.
/// `TOKIO_WORKER_THREADS` sets another number.
///
/// # Errors
/// When the system gives no threads.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if std::env::var_os("TOKIO_WORKER_THREADS").is_none() {
        builder
            .worker_threads(std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)));
    }
    builder.enable_all().build()
}

/// Runs one command line, program name first. Ctrl-C, SIGTERM and SIGHUP end the run early, with a report; the second one at
/// once, without.
///
/// The summary goes to `out`, everything else to `err`. Gives the exit code: 0 pass, 1 could not run, 2 usage,
/// 96 run invalid, 97 an invariant broke, 98 regressed, 99 a threshold failed, 130 interrupted.
pub async fn run<A: Into<OsString> + Clone>(
    args: impl IntoIterator<Item = A>,
    out: &mut (dyn Write + Send),
    err: &mut (dyn Write + Send),
) -> u8 {
    let mut wish = match interrupt::Wish::listen() {
        Ok(wish) => wish,
        Err(error) => {
            let _ = writeln!(err, "chatbench: no signal can be heard: {error}");
            return 1;
        }
    };
    run_until(args, out, err, async move {
        wish.said().await;
        tokio::spawn(async move {
            // Whoever asks twice does not want to wait for the report either.
            wish.said().await;
            std::process::exit(130);
        });
    })
    .await
}

/// As [`run`], but `interrupt` takes the place of Ctrl-C.
pub async fn run_until<A: Into<OsString> + Clone>(
    args: impl IntoIterator<Item = A>,
    out: &mut (dyn Write + Send),
    err: &mut (dyn Write + Send),
    interrupt: impl Future<Output = ()> + Send + 'static,
) -> u8 {
    let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
    if args.get(1).is_some_and(|first| first == "worker") {
        return scenario::worker::run().await;
    }
    if args.get(1).is_some_and(|first| first == "relay") {
        return floor::relay::run().await;
    }
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(error) => return usage(&error, out, err),
    };
    let mut screen = Screen { out, err, untold: false };
    let outcome = match &args.command {
        Command::Scenario(scenario) => run_scenario(scenario, Interrupt::on(interrupt), &mut screen).await,
        Command::Compare(args) => gate::ab::compare(args, &mut screen),
        Command::Report(args) => output::report::run(args, &mut screen),
        Command::Ab(args) => Box::pin(gate::ab::run(args, &Interrupt::on(interrupt), &mut screen)).await,
        Command::Capacity(args) => {
            Box::pin(gate::capacity::run(args, &Interrupt::on(interrupt), &mut screen)).await
        }
    };
    match outcome {
        Ok(0) if screen.untold => 1,
        Ok(code) => code,
        Err(failure) => {
            screen.note(&failure.to_string());
            failure.exit_code()
        }
    }
}

async fn run_scenario(
    scenario: &Scenario,
    interrupt: Interrupt,
    screen: &mut Screen<'_>,
) -> Result<u8, Failure> {
    scenario.check()?;
    output::save::check_writable("--out", &scenario.common().out)?;
    if scenario.common().gate.is_used() {
        return Box::pin(gate::repeat::run(scenario, &interrupt, screen)).await;
    }
    let result = Box::pin(perform(scenario, interrupt)).await?;
    let saved = save(scenario, &result);
    let text = if scenario.common().quiet { human::verdict(&result) } else { human::text(&result) };
    screen.tell(&text);
    let code = result.verdict.map_or(1, Verdict::exit_code);
    if let Err(failure) = saved {
        screen.note(&failure.to_string());
        // What came of the run says more than that it could not be kept.
        return Ok(if code == 0 { 1 } else { code });
    }
    Ok(code)
}

async fn perform(scenario: &Scenario, interrupt: Interrupt) -> Result<RunResult, Failure> {
    let report = match scenario {
        _ if scenario.common().floor => floor::run(scenario, interrupt).await,
        Scenario::History(args) => scenario::history::run(args, interrupt).await,
        Scenario::Redpacket(args) => scenario::redpacket::run(args, interrupt).await,
        _ => scenario::run::run(scenario, interrupt).await,
    };
    report.map(|report| report.result())
}

/// Writes the result to every file of `--out`.
fn save(scenario: &Scenario, result: &RunResult) -> Result<(), Failure> {
    let findings = Findings::of(result.clone()).map_err(|error| {
        Failure::could_not_run(format!("the result cannot be written: {error}"), "run it again")
    })?;
    output::save::save(&scenario.common().out, &findings)
}

fn usage(error: &clap::Error, out: &mut (dyn Write + Send), err: &mut (dyn Write + Send)) -> u8 {
    let text = error.render();
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let _ = write!(out, "{text}");
        return 0;
    }
    let _ = write!(err, "{text}");
    2
}
