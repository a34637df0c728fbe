//! The program at its edge: the command line, what a person sees, files, and commands made of several runs.
//!
//! Invariant: what goes further down is what a run is asked for, and never an option; only here a run ends in a file or
//! an exit code.
//!
//! | module | holds |
//! |---|---|
//! | `args` | the command line, and what it asks of a run |
//! | `gate` | several runs: compared, kept as a baseline, in turns, searching the limit |
//! | `output` | results as files, in the formats of `chatbench-result` |
//! | `screen`, `progress`, `signals` | the person at the terminal |

mod args;
mod gate;
mod output;
mod progress;
mod screen;
mod signals;

use std::ffi::OsString;
use std::io::Write;

use chat_protocol::secret;
use chatbench_result::model::RunResult;
use chatbench_result::output::findings::Findings;
use chatbench_result::output::human;
use chatbench_result::verdict::Verdict;
use clap::Parser;
use clap::error::ErrorKind;

use crate::failure::Failure;
use crate::phases::operator::{Interrupt, Operator};
use crate::scenario::{self, floor};
use args::{Args, Command, Scenario};
use screen::Screen;
use signals::Wish;

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
    let mut wish = match Wish::listen() {
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
    let operator = Operator { interrupt, progress: progress::of(scenario.common()) };
    let plain = scenario.plain();
    let report = if scenario.common().floor {
        floor::run(&*plain, operator).await
    } else {
        scenario::run::run(&*plain, operator).await
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
    // It repeats what was written, and a password may stand where no one expects it.
    let _ = write!(err, "{}", secret::hide(&text.to_string()));
    2
}
