//! The highest rate or number of clients at which every condition holds.
//!
//! Invariant: a round in which the generator was the limit never counts against the server, nor for it.

use chatbench_result::capacity::{Capacity, RoundAt, Vary};
use chatbench_result::compare::round::Round;
use chatbench_result::model::{Books, RunResult};
use chatbench_result::search::{Outcome, Search, Step};

use crate::cli::args::Scenario;
use crate::cli::args::gate::CapacityArgs;
use crate::cli::gate::files;
use crate::cli::gate::play::{play, scenario_of, unplayed};
use crate::cli::output::save;
use crate::cli::screen::Screen;
use crate::failure::Failure;
use crate::phases::operator::Interrupt;
use crate::watch::probe;
use chatbench_result::verdict::Verdict;

/// Runs `capacity`; gives the exit code.
///
/// # Errors
/// [`Failure`] when the first round did not take place.
pub async fn run(args: &CapacityArgs, interrupt: &Interrupt, screen: &mut Screen<'_>) -> Result<u8, Failure> {
    let scenario = scenario_of(&args.scenario)?;
    check(args, &scenario)?;
    save::check_writable("--out", &args.out)?;
    let mut search = Search::new(args.from, args.max, args.precision, args.rounds);
    let mut rounds = Vec::new();
    let mut verdict = Verdict::Pass;
    let end = loop {
        let level = match search.next() {
            Step::Try(level) => level,
            Step::Done(end) => break Some(end),
        };
        let label = (rounds.len() + 1).to_string();
        let played = match at_level(&scenario, args.vary, level) {
            Ok(scenario) => play(&scenario, &label, interrupt).await,
            Err(failure) => Err(failure),
        };
        let played = match played {
            Ok(played) => played,
            Err(failure) if rounds.is_empty() => return Err(failure),
            Err(failure) => {
                screen.note(&format!("{} stops the search: {failure}", args.vary.level_text(level)));
                verdict = verdict.max(unplayed(interrupt));
                break None;
            }
        };
        if interrupt.came() {
            verdict = Verdict::Interrupted;
            break None;
        }
        let outcome = outcome(&played);
        if breaks_promises(&played.result) {
            verdict = verdict.max(Verdict::InvariantBroken);
        }
        if !args.quiet {
            let text = args.vary.level_text(level);
            screen.note_round(&format!("round {label}, {text}: {}; {}", outcome.text(), played.line()));
        }
        search.tell(level, outcome);
        rounds.push(RoundAt {
            level,
            outcome,
            run: played.result.run.clone(),
            exit_code: played.result.exit_code,
            reasons: played.result.reasons.clone(),
        });
    };
    let capacity = Capacity {
        scenario: scenario.plain().name().to_owned(),
        vary: args.vary,
        thresholds: scenario.common().thresholds.iter().map(ToString::to_string).collect(),
        rounds,
        ..Capacity::default()
    }
    .found(&search, end);
    save_all(args, &capacity)?;
    screen.tell(&if args.quiet { capacity.answer_text() } else { capacity.text() });
    Ok(verdict.max(capacity.verdict()).exit_code())
}

fn check(args: &CapacityArgs, scenario: &Scenario) -> Result<(), Failure> {
    let usage = |text: &str| Err(Failure::Usage(text.to_owned()));
    if scenario.common().thresholds.is_empty() {
        return usage(
            "capacity: after -- at least one --threshold says what must hold, such as 'e2e_time:p(99)<50ms'",
        );
    }
    if args.from > args.max {
        return usage("--from: is above --max");
    }
    if args.out.iter().any(|path| !files::has_ending(path, "json")) {
        return usage("--out: the file name must end in .json");
    }
    at_level(scenario, args.vary, args.from).map(|_| ())
}

fn at_level(scenario: &Scenario, vary: Vary, level: u32) -> Result<Scenario, Failure> {
    let mut scenario = scenario.clone();
    match (vary, &mut scenario) {
        (Vary::Clients, other) => other.common_mut().clients = Some(level),
        (Vary::Rate, Scenario::Broadcast(args) | Scenario::Unicast(args)) if !args.closed => {
            args.rate = f64::from(level);
        }
        (Vary::Rate, Scenario::Group(args)) if !args.traffic.closed => args.traffic.rate = f64::from(level),
        (Vary::Rate, Scenario::History(args)) => args.rate = f64::from(level),
        _ => {
            return Err(Failure::Usage(
                "--vary rate: this scenario has no rate; take --vary clients, or leave --closed out"
                    .to_owned(),
            ));
        }
    }
    scenario.check()?;
    Ok(scenario)
}

fn outcome(played: &Round) -> Outcome {
    match played.verdict() {
        Verdict::Pass => Outcome::Held,
        _ if !played.is_usable() && generator_is_the_limit(&played.result) => Outcome::Saturated,
        _ => Outcome::Failed,
    }
}

/// Of an invalid run: whether its cause is the generator. Else the server did not answer, refused, let clients wait
/// outside or hung up.
fn generator_is_the_limit(result: &RunResult) -> bool {
    let hung_up = result.connections.as_ref().is_some_and(|connections| {
        !connections.closed_by_server.is_empty() || !connections.failed.is_empty()
    });
    let ledger = result.ledger.as_ref();
    let server_waits = hung_up || ledger.is_some_and(|books| books.waited_for_window > 0);
    let refused = ledger.is_some_and(|books| books.measured.refused + books.measured.unanswered > 0);
    let delay_us = result.rates.as_ref().map_or(0, |rates| rates.generator_delay_p99_us);
    delay_us > probe::MAX_P99_US || !server_waits && !refused
}

/// Whether messages were lost, doubled or out of order: too much load excuses a closed connection, but none of these.
fn breaks_promises(result: &RunResult) -> bool {
    let broken = |books: &Books| books.total(|line| line.lost + line.duplicated + line.reordered) > 0;
    result.ledger.as_ref().is_some_and(broken)
}

fn save_all(args: &CapacityArgs, capacity: &Capacity) -> Result<(), Failure> {
    let failed = |error: String| Failure::could_not_run(error, "name a file in a directory that exists");
    let json = serde_json::to_string_pretty(capacity).map_err(|error| failed(error.to_string()))? + "\n";
    for path in &args.out {
        save::replace(path, json.as_bytes())
            .map_err(|error| failed(format!("{}: {error}", path.display())))?;
    }
    Ok(())
}
