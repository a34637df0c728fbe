//! Rounds: an ordinary run of a scenario that is one of several.
//!
//! Invariant: a round that has ended is kept, whatever happens to the next one.

use std::ffi::OsString;

use chatbench_result::compare::comparison::{Change, Comparison};
use chatbench_result::compare::round::Round;
use chatbench_result::compare::rules::Incomparable;
use chatbench_result::compare::text;
use chatbench_result::verdict::Verdict;
use clap::Parser;

use crate::cli::args::gate::RuleArgs;
use crate::cli::args::{Args, Command, Scenario};
use crate::cli::gate::files;
use crate::cli::output::save;
use crate::cli::screen::Screen;
use crate::failure::Failure;
use crate::phases::operator::Interrupt;

/// Reads what stands behind `--`.
///
/// # Errors
/// [`Failure::Usage`] when it is no scenario that can be a round.
pub fn scenario_of(words: &[OsString]) -> Result<Scenario, Failure> {
    let line = std::iter::once(OsString::from("chatbench")).chain(words.iter().cloned());
    let args = Args::try_parse_from(line).map_err(|error| {
        Failure::Usage(format!("the scenario after --: {}", error.render().to_string().trim_end()))
    })?;
    let Command::Scenario(scenario) = args.command else {
        return Err(Failure::Usage("after -- stands a scenario such as broadcast or connect".to_owned()));
    };
    if scenario.common().gate.is_used() {
        return Err(Failure::Usage("after --: leave out --runs and --baseline".to_owned()));
    }
    scenario.check()?;
    save::check_writable("--out", &scenario.common().out)?;
    Ok(*scenario)
}

/// Plays one round, whose files get `label` into their names.
///
/// # Errors
/// [`Failure`] when it did not take place or its files cannot be written.
pub async fn play(scenario: &Scenario, label: &str, interrupt: &Interrupt) -> Result<Round, Failure> {
    let mut scenario = scenario.clone();
    for path in &mut scenario.common_mut().out {
        *path = files::numbered(path, label);
    }
    let result = Box::pin(crate::cli::perform(&scenario, interrupt.clone())).await?;
    let failed = |error: &dyn std::fmt::Display| {
        Failure::could_not_run(format!("round {label}: {error}"), "check the --out files of the scenario")
    };
    crate::cli::save(&scenario, &result).map_err(|error| failed(&error))?;
    Ok(Round::new(result, format!("round {label}")))
}

/// What it means that a round did not take place after others did: an operator who stops a session may meet it between two
/// rounds, where nothing is to be reported.
pub fn unplayed(interrupt: &Interrupt) -> Verdict {
    if interrupt.came() { Verdict::Interrupted } else { Verdict::CouldNotRun }
}

/// As [`play`], but a round that is no measurement is played again while `spare` rounds are left.
///
/// # Errors
/// As [`play`].
pub async fn play_valid(
    scenario: &Scenario,
    label: &str,
    interrupt: &Interrupt,
    spare: &mut u32,
    screen: &mut Screen<'_>,
) -> Result<Round, Failure> {
    loop {
        let played = play(scenario, label, interrupt).await?;
        if played.verdict() != Verdict::Invalid || *spare == 0 || interrupt.came() {
            return Ok(played);
        }
        *spare -= 1;
        screen
            .note_round(&format!("round {label} is no measurement and is played again: {}", played.reason()));
    }
}

/// Tells a comparison, writes its files, and gives its verdict.
///
/// # Errors
/// [`Failure`] when a file cannot be written.
pub fn tell(comparison: &Comparison, rules: &RuleArgs, screen: &mut Screen<'_>) -> Result<Verdict, Failure> {
    let text = if rules.quiet { text::verdict(comparison) } else { text::text(comparison) };
    files::save_comparison(&rules.out, comparison).map_err(|error| {
        Failure::could_not_run(format!("{error:#}"), "name a file in a directory that exists")
    })?;
    screen.tell(&text);
    let regressed = comparison.verdict == Change::Regressed && rules.fail_on_regression.is_some();
    Ok(if regressed { Verdict::Regressed } else { Verdict::Pass })
}

/// As [`tell`] of what came of the comparison after rounds that were just played: too few valid ones are a verdict and
/// not the end of all.
///
/// # Errors
/// As [`tell`], and when the rounds cannot be compared.
pub fn conclude(
    compared: Result<Comparison, Incomparable>,
    rules: &RuleArgs,
    screen: &mut Screen<'_>,
) -> Result<Verdict, Failure> {
    match compared {
        Ok(comparison) => tell(&comparison, rules, screen),
        Err(Incomparable::NothingValid(why)) => {
            screen.note(&why);
            Ok(Verdict::Invalid)
        }
        Err(other) => Err(other.into()),
    }
}
