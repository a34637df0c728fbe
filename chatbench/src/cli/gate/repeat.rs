//! A scenario run several times, kept as a baseline or compared with one.
//!
//! Invariant: a baseline is written only when every round was asked for, took place and passed.

use std::path::Path;

use chatbench_result::compare::round::{Round, differences};
use chatbench_result::compare::sides::{self, Turn};
use chatbench_result::measure::Measure;

use crate::cli::args::Scenario;
use crate::cli::args::gate::GateArgs;
use crate::cli::gate::files;
use crate::cli::gate::play::{conclude, play, play_valid, unplayed};
use crate::cli::output::save;
use crate::cli::screen::Screen;
use crate::failure::Failure;
use crate::phases::operator::Interrupt;
use chatbench_result::fold::folded;
use chatbench_result::output::human;
use chatbench_result::statistics::blocks::median;
use chatbench_result::verdict::Verdict;

/// What the table of several rounds shows.
const SHOWN: [&str; 8] = [
    "connect_time:p(99)",
    "ack_time:p(50)",
    "ack_time:p(99)",
    "e2e_time:p(50)",
    "e2e_time:p(99)",
    "page_time:p(99)",
    "deliveries_per_s",
    "server_cpu_per_delivery",
];

/// Runs it; gives the exit code.
///
/// # Errors
/// [`Failure`] when nothing took place, or when the baseline is of something else.
pub async fn run(scenario: &Scenario, interrupt: &Interrupt, screen: &mut Screen<'_>) -> Result<u8, Failure> {
    let gate = scenario.common().gate.clone();
    files::check_comparison_names(&gate.comparison, "--comparison")?;
    check_files(scenario, &gate)?;
    let baseline = match &gate.baseline {
        Some(path) if !gate.save_baseline => {
            if !path.exists() {
                let cause = format!("there is no baseline {}", path.display());
                return Err(Failure::could_not_run(
                    cause,
                    "make one with --save-baseline and the same options",
                ));
            }
            Some((path.as_path(), files::rounds(path)?))
        }
        _ => None,
    };
    let (played, mut verdict) =
        rounds(scenario, &gate, baseline.as_ref().map(|(_, rounds)| &**rounds), interrupt, screen).await?;
    if gate.runs > 1 && !scenario.common().quiet {
        screen.tell(&table(&played));
    }
    let complete = played.len() == gate.runs as usize;
    let head = played;
    if let (Some(path), true) = (&gate.baseline, gate.save_baseline) {
        save_baseline(path, &head, complete && verdict == Verdict::Pass, screen)?;
    }
    if let Some((path, base)) = baseline {
        let mut rules = gate.rules();
        rules.quiet = scenario.common().quiet;
        let label = path.display().to_string();
        let compared = sides::compare([&label, "this run"], vec![Turn { base, head }], &rules.rules(), false);
        verdict = verdict.max(conclude(compared, &rules, screen)?);
    }
    Ok(verdict.exit_code())
}

/// What is found out after the last round is found out too late.
fn check_files(scenario: &Scenario, gate: &GateArgs) -> Result<(), Failure> {
    let out = &scenario.common().out;
    for number in (1..=gate.runs).filter(|_| gate.runs > 1) {
        let own = out.iter().map(|path| files::numbered(path, &number.to_string()));
        save::check_writable("--out", &own.collect::<Vec<_>>())?;
    }
    save::check_writable("--comparison", &gate.comparison)?;
    let baseline = gate.baseline.iter().filter(|_| gate.save_baseline);
    save::check_writable("--baseline", &baseline.collect::<Vec<_>>())
}

async fn rounds(
    scenario: &Scenario,
    gate: &GateArgs,
    baseline: Option<&[Round]>,
    interrupt: &Interrupt,
    screen: &mut Screen<'_>,
) -> Result<(Vec<Round>, Verdict), Failure> {
    let quiet = scenario.common().quiet;
    let mut played: Vec<Round> = Vec::new();
    let mut verdict = Verdict::Pass;
    let mut spare = gate.runs;
    for number in 1..=gate.runs {
        let single = gate.runs == 1;
        let outcome = if single {
            once(scenario, interrupt).await
        } else {
            play_valid(scenario, &number.to_string(), interrupt, &mut spare, screen).await
        };
        let round = match outcome {
            Ok(round) => round,
            Err(failure) if played.is_empty() => return Err(failure),
            Err(failure) => {
                screen.note(&failure.to_string());
                verdict = verdict.max(unplayed(interrupt));
                break;
            }
        };
        if let Some(first) = baseline.and_then(|rounds| rounds.first()) {
            same(first, &round)?;
        }
        verdict = verdict.max(round.verdict());
        if single {
            let text = if quiet { human::verdict(&round.result) } else { human::text(&round.result) };
            screen.tell(&text);
        } else if !quiet {
            screen.note_round(&format!("round {number} of {}: {}", gate.runs, round.line()));
        }
        played.push(round);
        if interrupt.came() {
            verdict = verdict.max(Verdict::Interrupted);
            break;
        }
    }
    Ok((played, verdict))
}

/// The only round keeps the names of its files.
async fn once(scenario: &Scenario, interrupt: &Interrupt) -> Result<Round, Failure> {
    let mut unwritten = scenario.clone();
    let out = std::mem::take(&mut unwritten.common_mut().out);
    let played = play(&unwritten, "1", interrupt).await?;
    unwritten.common_mut().out = out;
    crate::cli::save(&unwritten, &played.result)?;
    Ok(played)
}

/// Better known after the first round than after the last.
fn same(base: &Round, round: &Round) -> Result<(), Failure> {
    let different = differences(&base.settings, &round.settings);
    if base.result.scenario == round.result.scenario && different.is_empty() {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "the baseline is of {} with other settings than this {}: {}\n  next: run with its options, or make a new one with \
         --save-baseline",
        base.result.scenario,
        round.result.scenario,
        different.join("; ")
    )))
}

fn save_baseline(
    path: &Path,
    rounds: &[Round],
    passed: bool,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    if !passed {
        screen.note(&format!(
            "the baseline {} was not written: only rounds that all passed make one",
            path.display()
        ));
        return Ok(());
    }
    let saved_unix_ms = rounds.first().map_or(0, |round| round.result.started_unix_ms);
    files::save_baseline(path, rounds, saved_unix_ms).map_err(|error| {
        Failure::could_not_run(format!("{error:#}"), "name a file in a directory that exists")
    })?;
    screen.note(&format!("the baseline {} holds {} rounds", path.display(), rounds.len()));
    Ok(())
}

fn table(played: &[Round]) -> String {
    let mut text = format!("{} rounds: median (smallest … largest)\n", played.len());
    for measure in SHOWN.iter().filter_map(|name| name.parse::<Measure>().ok()) {
        let values: Vec<f64> = played.iter().filter_map(|played| played.value(&measure)).collect();
        if values.is_empty() {
            continue;
        }
        let [low, high] =
            [values.iter().copied().fold(f64::MAX, f64::min), values.iter().copied().fold(0.0, f64::max)];
        let [middle, low, high] = measure.unit().texts([median(&values), low, high]);
        text += &format!("  {:<24} {middle} ({low} … {high})\n", measure.to_string());
    }
    let ends = played.iter().map(|played| played.verdict().text()).collect::<Vec<_>>();
    text + &folded("  ", 2, &ends.join(", "))
}
