//! Verdicts on made-up rounds: noise, rounds far off, a machine that slows down, and sides that cannot be compared.

use std::collections::BTreeMap;

use serde_json::json;

use crate::compare::comparison::Change;
use crate::compare::round::Round;
use crate::compare::rules::{Incomparable, Rules};
use crate::compare::sides::{Turn, compare};
use crate::compare::tests::synthetic::{Noise, result};
use crate::model::{Books, Line, RunResult};

fn rules() -> Rules {
    Rules { metrics: vec!["e2e_time:p(50)".parse().unwrap()], min_effect: 0.05, seed: 1 }
}

fn round(run: u64, p50_us: f64) -> Round {
    Round::new(result(run, p50_us.round() as u64), format!("round {run}"))
}

/// What a machine does while rounds are measured.
#[derive(Debug, Clone, Copy)]
struct Weather {
    /// Noise of a round, as a share.
    spread: f64,
    /// How much slower the machine is at the end than at the start, as a share.
    drift: f64,
}

/// Rounds in turns of four, the head `factor` times as slow as the base.
fn session(noise: &mut Noise, rounds: u32, factor: f64, weather: Weather) -> Vec<Turn> {
    let last = f64::from(2 * rounds - 1);
    let mut turns = Vec::new();
    for position in 0..2 * rounds {
        if position % 4 == 0 {
            turns.push(Turn::default());
        }
        let level = 20_000_000.0 * (1.0 + weather.drift * f64::from(position) / last);
        let is_head = matches!(position % 4, 1 | 2);
        let p50 = noise.value(if is_head { level * factor } else { level }, weather.spread);
        let turn = turns.last_mut().unwrap();
        if is_head { &mut turn.head } else { &mut turn.base }.push(round(u64::from(position), p50));
    }
    turns
}

/// How many percent of 50 sessions end in each verdict.
fn verdicts(rounds: u32, factor: f64, weather: Weather) -> BTreeMap<Change, u32> {
    let mut noise = Noise::new(7);
    let mut counts = BTreeMap::new();
    for _ in 0..50 {
        let turns = session(&mut noise, rounds, factor, weather);
        let found = compare(["a", "b"], turns, &rules(), false).unwrap();
        *counts.entry(found.verdict).or_default() += 2;
    }
    counts
}

fn alarms(found: &BTreeMap<Change, u32>) -> u32 {
    [Change::Regressed, Change::Improved].iter().filter_map(|change| found.get(change)).sum()
}

const CALM: Weather = Weather { spread: 0.01, drift: 0.0 };
const DRIFTING: Weather = Weather { spread: 0.01, drift: 0.15 };
const ROUGH: Weather = Weather { spread: 0.08, drift: 0.2 };

#[test]
fn equal_sides_are_unchanged() {
    for weather in [CALM, DRIFTING] {
        let found = verdicts(8, 1.0, weather);
        // With one round in twenty far off, two of them on one side leave some sessions undecided; none is an alarm.
        assert!(found[&Change::Unchanged] >= 70, "{weather:?}: {found:?}");
        assert_eq!(alarms(&found), 0, "{weather:?}: {found:?}");
    }
}

#[test]
fn noise_is_inconclusive_and_hardly_ever_an_alarm() {
    let found = verdicts(8, 1.0, ROUGH);
    let alarms: u32 =
        [Change::Regressed, Change::Improved].iter().filter_map(|change| found.get(change)).sum();
    assert!(alarms <= 5, "{found:?}");
}

#[test]
fn a_tenth_more_is_a_regression_and_a_tenth_less_an_improvement() {
    for weather in [CALM, DRIFTING] {
        let slower = verdicts(8, 1.1, weather);
        assert!(slower[&Change::Regressed] >= 75, "{weather:?}: {slower:?}");
        assert_eq!(slower.get(&Change::Unchanged), None, "{weather:?}: {slower:?}");
        let faster = verdicts(8, 1.0 / 1.1, weather);
        assert!(faster[&Change::Improved] >= 75, "{weather:?}: {faster:?}");
        assert_eq!(faster.get(&Change::Regressed), None, "{weather:?}: {faster:?}");
    }
}

#[test]
fn a_change_below_the_smallest_effect_is_no_alarm() {
    let found = verdicts(8, 1.02, CALM);
    assert!(found[&Change::Unchanged] >= 60, "{found:?}");
    assert_eq!(found.get(&Change::Regressed), None, "{found:?}");
}

#[test]
fn few_rounds_decide_nothing() {
    let found = compare(["a", "b"], session(&mut Noise::new(1), 4, 2.0, CALM), &rules(), false).unwrap();
    assert_eq!(found.verdict, Change::Inconclusive);
    assert!(found.metrics[0].reason.contains("each side needs 5"), "{}", found.metrics[0].reason);
    // With enough rounds for one metric, but not for twenty of them.
    let mut many = rules();
    many.metrics = vec![many.metrics[0].clone(); 20];
    let found = compare(["a", "b"], session(&mut Noise::new(1), 6, 2.0, CALM), &many, false).unwrap();
    assert!(
        found.metrics[0].reason.contains("for 20 metrics: p cannot come below"),
        "{}",
        found.metrics[0].reason
    );
}

fn together(base: Vec<Round>, head: Vec<Round>) -> Vec<Turn> {
    vec![Turn { base, head }]
}

fn five(from: u64) -> Vec<Round> {
    (from..from + 5).map(|run| round(run, 1000.0 + run as f64)).collect()
}

fn changed(run: u64, change: impl Fn(&mut RunResult)) -> Round {
    let mut value = result(run, 1000);
    change(&mut value);
    Round::new(value, format!("round {run}"))
}

#[test]
fn what_is_not_the_same_is_refused() {
    let slower = changed(9, |value| value.options.as_mut().unwrap().clients = 200);
    let other = changed(9, |value| value.scenario = "unicast".to_owned());
    let bare = changed(9, |value| value.times.clear());
    for (round, says) in
        [(slower.clone(), "clients 100 and 200"), (other, "same scenario"), (bare, "no sample")]
    {
        let failure = compare(["a", "b"], together(five(1), vec![round]), &rules(), false).unwrap_err();
        assert!(matches!(&failure, Incomparable::Different(why) if why.contains(says)), "{failure}");
    }
    let forced = compare(["a", "b"], together(five(1), vec![slower]), &rules(), true).unwrap();
    assert!(forced.warnings[0].contains("clients 100 and 200"), "{:?}", forced.warnings);
    let failure = compare(["a", "b"], together(five(1), five(5)), &rules(), false).unwrap_err();
    assert!(failure.to_string().contains("round 5 and round 5 are the same run"), "{failure}");
}

#[test]
fn invalid_and_interrupted_rounds_are_left_out_and_told() {
    let invalid = changed(20, |value| {
        value.valid = false;
        value.reasons = vec!["the generator is saturated".to_owned()];
    });
    let partial = changed(21, |value| value.partial = true);
    let broken = changed(22, |value| value.exit_code = 97);
    let mut head = five(10);
    head.extend([invalid.clone(), partial, broken]);
    let found = compare(["a", "b"], together(five(1), head), &rules(), false).unwrap();
    assert_eq!(found.head.rounds.len(), 6, "the broken one is a measurement all the same");
    for says in [
        "round 20: left out, it is no valid run: the generator",
        "round 21: left out",
        "round 22: an invariant",
    ] {
        assert!(
            found.warnings.iter().any(|warning| warning.starts_with(says)),
            "{says}: {:?}",
            found.warnings
        );
    }
    let failure = compare(["a", "b"], together(five(1), vec![invalid.clone()]), &rules(), false).unwrap_err();
    assert!(matches!(failure, Incomparable::NothingValid(_)), "{failure}");
    let failure = compare(["a", "b"], together(vec![], five(1)), &rules(), false).unwrap_err();
    assert!(matches!(failure, Incomparable::NothingValid(_)), "{failure}");

    let mut turns = session(&mut Noise::new(1), 6, 1.0, CALM);
    turns[0].head = vec![invalid];
    let found = compare(["a", "b"], turns, &rules(), false).unwrap();
    assert_eq!((found.method.blocks, found.base.rounds.len()), (2, 4));
    assert!(found.warnings.iter().any(|warning| warning.contains("its turn has no other side")));
}

#[test]
fn another_machine_is_a_warning() {
    let elsewhere =
        |run| changed(run, |value| value.environment.as_mut().unwrap().cpu_model = "another".to_owned());
    let found =
        compare(["a", "b"], together(five(1), (10..15).map(elsewhere).collect()), &rules(), false).unwrap();
    assert_eq!(found.warnings.len(), 1, "{:?}", found.warnings);
    assert!(found.warnings[0].contains("cpu_model \"a processor\" and \"another\""), "{:?}", found.warnings);
}

#[test]
fn counts_of_zero_are_equal_and_have_no_ratio() {
    let books = |lost: u64| Some(Books { measured: Line { lost, ..Line::default() }, ..Books::default() });
    let rounds = |from: u64, lost: u64| -> Vec<Round> {
        (from..from + 5).map(|run| changed(run, |value| value.ledger = books(lost))).collect()
    };
    let mut rules = rules();
    rules.metrics = vec!["lost".parse().unwrap()];
    let same = compare(["a", "b"], together(rounds(1, 0), rounds(9, 0)), &rules, false).unwrap();
    assert_eq!((same.verdict, same.metrics[0].ratio), (Change::Unchanged, None));
    let lost = compare(["a", "b"], together(rounds(1, 0), rounds(9, 3)), &rules, false).unwrap();
    assert_eq!(lost.verdict, Change::Inconclusive);
    assert!(lost.metrics[0].reason.contains("--threshold"), "{}", lost.metrics[0].reason);
}

#[test]
fn a_comparison_reads_the_same_for_people_and_programs() {
    let mut noise = Noise::new(3);
    let found = compare(["main", "change"], session(&mut noise, 8, 1.1, CALM), &rules(), false).unwrap();
    let text = crate::compare::text::text(&found);
    for says in
        ["change (8 rounds) against main (8 rounds)", "e2e_time:p(50)", "seed 1", "regressed: e2e_time:p(50)"]
    {
        assert!(text.contains(says), "{says} in {text}");
    }
    let markdown = crate::compare::markdown::text(&found);
    assert!(markdown.contains("| e2e\\_time:p(50) |") && markdown.contains("❌ regressed"), "{markdown}");
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!((&json["schema"], &json["verdict"]), (&json!("chatbench.comparison/v1"), &json!("regressed")));
    assert_eq!(json["metrics"][0]["base_values"].as_array().unwrap().len(), 8);
    assert_eq!(json["method"]["min_rounds"], 5);
}
