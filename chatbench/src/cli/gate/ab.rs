//! Two servers measured in turns: A B B A A B B A …
//!
//! Invariant: in every turn of four each side is on average at the same time, so a steady drift favours neither.

use chatbench_result::compare::round::Round;
use chatbench_result::compare::sides::{self, Turn};
use chatbench_result::verdict::Verdict;

use crate::cli::args::Scenario;
use crate::cli::args::gate::{AbArgs, CompareArgs};
use crate::cli::gate::files;
use crate::cli::gate::play::{conclude, play_valid, scenario_of, tell, unplayed};
use crate::cli::output::save;
use crate::cli::screen::Screen;
use crate::failure::Failure;
use crate::phases::operator::Interrupt;

/// Whether the rounds of a turn are B's.
const TURN: [bool; 4] = [false, true, true, false];

/// Runs `ab`; gives the exit code.
///
/// # Errors
/// [`Failure`] when there is nothing to compare.
pub async fn run(args: &AbArgs, interrupt: &Interrupt, screen: &mut Screen<'_>) -> Result<u8, Failure> {
    files::check_comparison_names(&args.rules.out, "--out")?;
    save::check_writable("--out", &args.rules.out)?;
    let scenario = scenario_of(&args.scenario)?;
    if !scenario.common().pid.is_empty() {
        return Err(Failure::Usage("after --: name processes with --a-pid and --b-pid".to_owned()));
    }
    let sides = [side(&scenario, &args.a, &args.a_pid), side(&scenario, &args.b, &args.b_pid)];
    let mut turns: Vec<Turn> = Vec::new();
    let mut played = [0; 2];
    let mut verdict = Verdict::Pass;
    // A machine that spoils more rounds than it leaves is not worth waiting for.
    let mut spare = 2 * args.rounds;
    for (position, is_b) in TURN.iter().cycle().take(2 * args.rounds as usize).enumerate() {
        let which = usize::from(*is_b);
        played[which] += 1;
        let label = format!("{}{}", ["a", "b"][which], played[which]);
        let round = match play_valid(&sides[which], &label, interrupt, &mut spare, screen).await {
            Ok(round) => round,
            Err(failure) if turns.is_empty() => return Err(failure),
            Err(failure) => {
                screen.note(&format!("round {label}: {failure}"));
                verdict = verdict.max(unplayed(interrupt));
                break;
            }
        };
        if !args.rules.quiet {
            let name = [&args.a_name, &args.b_name][which];
            let of = 2 * args.rounds;
            screen.note_round(&format!("round {} of {of}, {name}: {}", position + 1, round.line()));
        }
        verdict = verdict.max(worst(&round));
        if position % TURN.len() == 0 {
            turns.push(Turn::default());
        }
        if let Some(turn) = turns.last_mut() {
            if *is_b { turn.head.push(round) } else { turn.base.push(round) }
        }
        if interrupt.came() {
            verdict = verdict.max(Verdict::Interrupted);
            break;
        }
    }
    let compared = sides::compare([&args.a_name, &args.b_name], turns, &args.rules.rules(), false);
    Ok(verdict.max(conclude(compared, &args.rules, screen)?).exit_code())
}

/// A round that is no measurement is left out of the comparison, which says so; it does not spoil the others.
fn worst(round: &Round) -> Verdict {
    if round.verdict() == Verdict::Invalid { Verdict::Pass } else { round.verdict() }
}

fn side(scenario: &Scenario, servers: &[chat_client::Server], pids: &[i32]) -> Scenario {
    let mut scenario = scenario.clone();
    let common = scenario.common_mut();
    // The key of a context is not for other servers.
    common.context = None;
    common.server = servers.to_vec();
    common.pid = pids.to_vec();
    scenario
}

/// Runs `compare`; gives the exit code.
///
/// # Errors
/// [`Failure`] when the files cannot be compared.
pub fn compare(args: &CompareArgs, screen: &mut Screen<'_>) -> Result<u8, Failure> {
    files::check_comparison_names(&args.rules.out, "--out")?;
    let (base, head) = match (args.files.as_slice(), args.base.as_slice(), args.head.as_slice()) {
        ([base, head], [], []) => (std::slice::from_ref(base), std::slice::from_ref(head)),
        ([base], [], head @ [_, ..]) => (std::slice::from_ref(base), head),
        ([], base @ [_, ..], head @ [_, ..]) => (base, head),
        _ => {
            return Err(Failure::Usage(
                "compare: give two files, or --base FILE… and --head FILE…; see chatbench compare --help"
                    .to_owned(),
            ));
        }
    };
    let read = |paths: &[std::path::PathBuf]| -> Result<Vec<Round>, Failure> {
        let rounds = paths.iter().map(|path| files::rounds(path)).collect::<Result<Vec<_>, _>>()?.concat();
        if rounds.len() > MOST {
            Err(Failure::Usage(format!("compare: more than {MOST} rounds on a side")))
        } else {
            Ok(rounds)
        }
    };
    let turn = Turn { base: read(base)?, head: read(head)? };
    let labels = [label(base), label(head)];
    let comparison = sides::compare([&labels[0], &labels[1]], vec![turn], &args.rules.rules(), args.force)?;
    Ok(tell(&comparison, &args.rules, screen)?.exit_code())
}

/// Most rounds of a side: the exact test counts labellings, and more rounds need no exactness.
const MOST: usize = 100;

fn label(paths: &[std::path::PathBuf]) -> String {
    let first = paths.first().map(|path| path.display().to_string()).unwrap_or_default();
    if paths.len() > 1 { format!("{first} and {} more", paths.len() - 1) } else { first }
}
