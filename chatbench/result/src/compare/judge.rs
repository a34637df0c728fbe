//! From the rounds of two sides to a verdict on each metric.
//!
//! Invariant: worse or better is said only of a difference that is both unlikely by chance and as large as asked for, and
//! unchanged only of one that is certainly smaller.

use super::comparison::{Change, LEVEL, MIN_ROUNDS, MetricChange};
use crate::measure::{Better, Measure};
use crate::statistics::blocks::{Block, align, median};
use crate::statistics::bootstrap::{self, Ratio};
use crate::statistics::ranks::{RankTest, holm, rank_test};

/// A metric that is asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Which.
    pub measure: Measure,
    /// The smallest change that matters: 0.05 for 5 %.
    pub min_effect: f64,
}

/// A metric with the values of its rounds.
#[derive(Debug)]
pub struct Sampled {
    /// What was asked for.
    pub asked: Asked,
    /// What was measured.
    pub blocks: Vec<Block>,
}

/// What the numbers say of one metric.
#[derive(Debug, Clone, Copy)]
struct Evidence {
    ratio: Ratio,
    test: RankTest,
}

/// Judges all metrics together: the more of them, the stronger each one's evidence must be.
#[must_use]
pub fn judge(metrics: Vec<Sampled>, seed: u64) -> Vec<MetricChange> {
    let evidence: Vec<Option<Evidence>> = metrics
        .iter()
        .map(|metric| {
            let aligned =
                align(&metric.blocks).filter(|_| rounds(metric).iter().all(|rounds| *rounds > 1))?;
            Some(Evidence { ratio: bootstrap::ratio(&aligned, seed), test: rank_test(&aligned) })
        })
        .collect();
    let ps: Vec<f64> = evidence.iter().flatten().map(|evidence| evidence.test.p).collect();
    let mut corrected = holm(&ps).into_iter();
    let tested = ps.len();
    metrics
        .into_iter()
        .zip(evidence)
        .map(|(metric, evidence)| {
            let found = evidence.and_then(|evidence| Some((evidence, corrected.next()?)));
            change(metric, found, tested)
        })
        .collect()
}

/// Rounds of base and head. One round does not tell how much rounds differ: no interval and no p comes of it.
fn rounds(metric: &Sampled) -> [usize; 2] {
    let sum = |of: fn(&Block) -> usize| metric.blocks.iter().map(of).sum();
    [sum(|block| block.base.len()), sum(|block| block.head.len())]
}

fn change(metric: Sampled, found: Option<(Evidence, f64)>, tested: usize) -> MetricChange {
    let base: Vec<f64> = metric.blocks.iter().flat_map(|block| block.base.clone()).collect();
    let head: Vec<f64> = metric.blocks.iter().flat_map(|block| block.head.clone()).collect();
    let Asked { measure, min_effect } = metric.asked;
    let single = base.len().min(head.len()) == 1;
    let (verdict, reason) = match found {
        _ if base.len().min(head.len()) < MIN_ROUNDS => (
            Change::Inconclusive,
            match single {
                true => format!("one round: no interval; each side needs {MIN_ROUNDS}"),
                false => format!("{} and {} rounds; each side needs {MIN_ROUNDS}", base.len(), head.len()),
            },
        ),
        None if base.iter().chain(&head).all(|value| *value == 0.0) => {
            (Change::Unchanged, "0 in every round".to_owned())
        }
        None => {
            (Change::Inconclusive, "0 in some round, so there is no ratio; use --threshold for it".to_owned())
        }
        Some((evidence, p)) => weigh(&evidence, p, tested, &measure, min_effect),
    };
    let evidence = found.map(|(evidence, _)| evidence);
    MetricChange {
        metric: measure.to_string(),
        unit: measure.unit(),
        better: measure.better(),
        verdict,
        reason,
        min_effect,
        base: median(&base),
        head: median(&head),
        ratio: match evidence {
            Some(evidence) => Some(evidence.ratio.ratio),
            None => Some(median(&head) / median(&base))
                .filter(|ratio| single && ratio.is_finite() && *ratio > 0.0),
        },
        interval: evidence.map(|evidence| evidence.ratio.interval),
        u: evidence.map(|evidence| evidence.test.u),
        p: evidence.map(|evidence| evidence.test.p),
        p_corrected: found.map(|(_, p)| p),
        base_values: base,
        head_values: head,
    }
}

fn weigh(evidence: &Evidence, p: f64, tested: usize, measure: &Measure, min_effect: f64) -> (Change, String) {
    let Ratio { ratio, interval: [low, high] } = evidence.ratio;
    let bound = 1.0 + min_effect;
    let apart = p <= LEVEL && !(low..=high).contains(&1.0);
    let large = ratio >= bound || ratio <= 1.0 / bound;
    let percent = |ratio: f64| format!("{:+.1} %", (ratio - 1.0) * 100.0);
    if apart && large {
        let worse = (ratio > 1.0) == (measure.better() == Better::Lower);
        let change = if worse { Change::Regressed } else { Change::Improved };
        return (change, format!("{}, p {}", percent(ratio), p_text(p)));
    }
    if low > 1.0 / bound && high < bound {
        return (Change::Unchanged, format!("within {:.0} % either way", min_effect * 100.0));
    }
    let least = evidence.test.least_p * tested as f64;
    if least > LEVEL {
        return (
            Change::Inconclusive,
            format!(
                "too few rounds, or too many equal ones, for {tested} metrics: p cannot come below {}",
                p_text(least.min(1.0))
            ),
        );
    }
    let between = format!("{} to {}", percent(low), percent(high));
    (Change::Inconclusive, format!("the difference may be {between}; take more or longer rounds"))
}

/// A probability for a reader.
#[must_use]
pub fn p_text(p: f64) -> String {
    if p < 0.001 { "<0.001".to_owned() } else { format!("{p:.3}") }
}
