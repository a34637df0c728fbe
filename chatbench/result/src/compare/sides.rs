//! Two sets of rounds that are to be compared: whether they can be, and what comes of it.
//!
//! Invariant: only rounds that are measurements of the same thing are compared; whatever was left out or differs is said.

use std::collections::{BTreeMap, BTreeSet};

use super::comparison::{Change, Comparison, Method, SCHEMA, Side};
use super::judge::{Asked, Sampled, judge};
use super::round::{Round, differences};
use super::rules::{Incomparable, Rules};
use crate::measure::Measure;
use crate::statistics::blocks::Block;

/// What is compared when nobody names a metric, if the rounds have it.
const OF_MESSAGES: [&str; 10] = [
    "e2e_time:p(50)",
    "e2e_time:p(99)",
    "ack_time:p(50)",
    "ack_time:p(99)",
    "page_time:p(50)",
    "page_time:p(99)",
    "grab_won_time:p(50)",
    "grab_won_time:p(99)",
    "settlement_time:p(99)",
    "server_cpu_per_delivery",
];
/// The same of scenarios without messages.
const OF_CONNECTIONS: [&str; 5] = [
    "connect_time:p(50)",
    "login_time:p(50)",
    "login_time:p(99)",
    "connected_per_s",
    "server_memory_per_connection",
];

/// Rounds of both sides that were measured close together.
#[derive(Debug, Clone, Default)]
pub struct Turn {
    /// Of the base.
    pub base: Vec<Round>,
    /// Of the head.
    pub head: Vec<Round>,
}

/// Compares. Rounds without a known order are one turn; `force` compares what has different settings.
///
/// # Errors
/// [`Incomparable`] when they are not comparable, or when no valid round is left.
pub fn compare(
    labels: [&str; 2],
    turns: Vec<Turn>,
    rules: &Rules,
    force: bool,
) -> Result<Comparison, Incomparable> {
    let mut warnings = Vec::new();
    no_round_twice(&turns)?;
    let turns = usable(turns, &mut warnings);
    let [base, head] = [|turn: &Turn| turn.base.clone(), |turn: &Turn| turn.head.clone()]
        .map(|side| turns.iter().flat_map(side).collect::<Vec<Round>>());
    let (Some(first), Some(_)) = (base.first(), head.first()) else {
        let lines = warnings.join("\n  ");
        return Err(Incomparable::NothingValid(format!(
            "a side has no valid round, so there is nothing to compare\n  {lines}"
        )));
    };
    same_settings(first, base.iter().chain(&head), force, &mut warnings)?;
    let rounds: Vec<&Round> = base.iter().chain(&head).collect();
    let asked = metrics(rules, &rounds, &mut warnings)?;
    let metrics = judge(asked.into_iter().map(|asked| sample(asked, &turns)).collect(), rules.seed);
    let verdict = metrics.iter().map(|metric| metric.verdict).max().unwrap_or(Change::Inconclusive);
    let side = |label: &str, rounds: &[Round]| Side {
        label: label.to_owned(),
        rounds: rounds.iter().map(Round::name).collect(),
        environment: rounds.first().map_or_else(BTreeMap::new, |round| round.machine.clone()),
    };
    Ok(Comparison {
        schema: SCHEMA.to_owned(),
        scenario: first.result.scenario.clone(),
        verdict,
        base: side(labels[0], &base),
        head: side(labels[1], &head),
        method: Method::new(rules.seed, turns.len()),
        metrics,
        warnings,
    })
}

/// The same run counted twice would look like certainty.
fn no_round_twice(turns: &[Turn]) -> Result<(), Incomparable> {
    let mut seen = BTreeMap::new();
    for round in turns.iter().flat_map(|turn| turn.base.iter().chain(&turn.head)) {
        if let Some(first) = seen.insert(&round.result.run, &round.source) {
            return Err(Incomparable::Different(format!(
                "{first} and {} are the same run ({}); give each run once",
                round.source, round.result.run
            )));
        }
    }
    Ok(())
}

/// Without the rounds that are no measurement, and without the turns in which one side has none left.
fn usable(turns: Vec<Turn>, warnings: &mut Vec<String>) -> Vec<Turn> {
    let mut keep = |rounds: Vec<Round>| -> Vec<Round> {
        let look = |round: &Round| {
            if !round.is_usable() {
                warnings.push(format!("{}: left out, it is no valid run: {}", round.source, round.reason()));
            } else if round.result.exit_code == 97 {
                warnings.push(format!("{}: an invariant broke in it: {}", round.source, round.reason()));
            }
            round.is_usable()
        };
        rounds.into_iter().filter(look).collect()
    };
    let turns: Vec<Turn> =
        turns.into_iter().map(|turn| Turn { base: keep(turn.base), head: keep(turn.head) }).collect();
    let several = turns.len() > 1;
    let whole = |turn: &Turn| !several || !turn.base.is_empty() && !turn.head.is_empty();
    let lonely = turns.iter().filter(|turn| !whole(turn)).flat_map(|turn| turn.base.iter().chain(&turn.head));
    warnings.extend(lonely.map(|round| format!("{}: left out, its turn has no other side", round.source)));
    turns.into_iter().filter(whole).collect()
}

fn same_settings<'a>(
    first: &Round,
    rounds: impl Iterator<Item = &'a Round> + Clone,
    force: bool,
    warnings: &mut Vec<String>,
) -> Result<(), Incomparable> {
    let mut told = BTreeSet::new();
    for round in rounds {
        if round.result.scenario != first.result.scenario {
            return Err(Incomparable::Different(format!(
                "{} is a run of {} and {} of {}; only runs of the same scenario can be compared",
                first.source, first.result.scenario, round.source, round.result.scenario
            )));
        }
        let settings = differences(&first.settings, &round.settings);
        if !settings.is_empty() {
            let text = format!("different settings: {}", settings.join("; "));
            if !force {
                return Err(Incomparable::Different(format!(
                    "{} and {} have {text}\n  next: run both with the same options, or compare all the same with \
                     --force",
                    first.source, round.source
                )));
            }
            told.insert(text);
        }
        let machine = differences(&first.machine, &round.machine);
        if !machine.is_empty() {
            told.insert(format!("measured in different places: {}", machine.join("; ")));
        }
    }
    warnings.extend(told);
    Ok(())
}

fn metrics(rules: &Rules, rounds: &[&Round], warnings: &mut Vec<String>) -> Result<Vec<Asked>, Incomparable> {
    let missing = |measure: &Measure| rounds.iter().find(|round| round.value(measure).is_none());
    let asked: Vec<Asked> = rules
        .metrics
        .iter()
        .map(|metric| Asked {
            measure: metric.measure.clone(),
            min_effect: metric.min_effect.unwrap_or(rules.min_effect),
        })
        .collect();
    for metric in &asked {
        if let Some(round) = missing(&metric.measure) {
            return Err(Incomparable::Different(format!(
                "--metric {}: {} has no sample of it; leave it out, or measure it in every round",
                metric.measure, round.source
            )));
        }
    }
    if !asked.is_empty() {
        return Ok(asked);
    }
    let mut found = Vec::new();
    for name in defaults(rounds) {
        let Ok(measure) = name.parse::<Measure>() else { continue };
        let have = rounds.iter().filter(|round| round.value(&measure).is_some()).count();
        if have == rounds.len() {
            found.push(Asked { measure, min_effect: rules.min_effect });
        } else if have > 0 {
            warnings.push(format!("{name}: left out, only {have} of {} rounds have it", rounds.len()));
        }
    }
    if found.is_empty() {
        return Err(Incomparable::Different(
            "the rounds have no metric in common; name one with --metric".to_owned(),
        ));
    }
    Ok(found)
}

fn defaults(rounds: &[&Round]) -> Vec<&'static str> {
    let of_messages = |round: &&Round| !matches!(round.result.scenario.as_str(), "connect" | "idle");
    if !rounds.iter().all(of_messages) {
        return OF_CONNECTIONS.to_vec();
    }
    // At a set rate the rate is no finding.
    let free = rounds.iter().all(|round| round.is_closed_loop());
    OF_MESSAGES.into_iter().chain(free.then_some("deliveries_per_s")).collect()
}

fn sample(asked: Asked, turns: &[Turn]) -> Sampled {
    let values = |rounds: &[Round]| rounds.iter().filter_map(|round| round.value(&asked.measure)).collect();
    let blocks =
        turns.iter().map(|turn| Block { base: values(&turn.base), head: values(&turn.head) }).collect();
    Sampled { asked, blocks }
}
