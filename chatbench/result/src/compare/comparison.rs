//! What came of a comparison, for people and programs.
//!
//! Invariant: it says with which method, on which rounds and for which smallest effect every verdict was found.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::round::RoundName;
use crate::measure::Better;
use crate::model::{Unit, lenient};
use crate::statistics::bootstrap::{CONFIDENCE, RESAMPLES};

/// Name and version of the format.
pub const SCHEMA: &str = "chatbench.comparison/v1";
/// A difference as large as this between equal sides is seen in one comparison of twenty.
pub const LEVEL: f64 = 0.05;
/// Fewer rounds on a side decide nothing.
pub const MIN_ROUNDS: usize = 5;

/// How the head stands to the base, the gravest last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Any difference is smaller than the smallest effect.
    Unchanged,
    /// Better, by at least the smallest effect.
    Improved,
    /// The rounds do not tell.
    #[default]
    Inconclusive,
    /// Worse, by at least the smallest effect.
    Regressed,
}

/// A comparison of two sides. What is not what it should be is as good as absent.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Comparison {
    /// [`SCHEMA`].
    #[serde(deserialize_with = "lenient::member")]
    pub schema: String,
    /// Name of the scenario.
    #[serde(deserialize_with = "lenient::member")]
    pub scenario: String,
    /// The gravest of the metrics.
    #[serde(deserialize_with = "lenient::member")]
    pub verdict: Change,
    /// What is compared with.
    #[serde(deserialize_with = "lenient::member")]
    pub base: Side,
    /// What is compared.
    #[serde(deserialize_with = "lenient::member")]
    pub head: Side,
    /// How.
    #[serde(deserialize_with = "lenient::member")]
    pub method: Method,
    /// What was found.
    #[serde(deserialize_with = "lenient::member")]
    pub metrics: Vec<MetricChange>,
    /// What a reader should know before believing it.
    #[serde(deserialize_with = "lenient::member")]
    pub warnings: Vec<String>,
}

/// One side.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Side {
    /// For a reader.
    pub label: String,
    /// The rounds that count.
    pub rounds: Vec<RoundName>,
    /// Where they took place.
    pub environment: BTreeMap<String, Value>,
}

/// How sides are compared.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Method {
    /// The test behind the p values.
    pub test: String,
    /// The correction of the p values for the number of metrics.
    pub correction: String,
    /// A corrected p value above this decides nothing.
    pub level: f64,
    /// The estimate of the interval.
    pub interval: String,
    /// Confidence of the interval.
    pub confidence: f64,
    /// How often rounds were drawn for it.
    pub resamples: usize,
    /// Seed of the drawing.
    pub seed: u64,
    /// Rounds a side needs.
    pub min_rounds: usize,
    /// Blocks of rounds measured close together; 1 when the order of the rounds is not known.
    pub blocks: usize,
}

/// One metric.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct MetricChange {
    /// Its name.
    pub metric: String,
    /// Unit of its values.
    pub unit: Unit,
    /// Which way it should go.
    pub better: Better,
    /// What was found.
    pub verdict: Change,
    /// Why.
    pub reason: String,
    /// A ratio nearer to 1 than this part of it is no effect.
    pub min_effect: f64,
    /// Median of the base's rounds.
    pub base: f64,
    /// Median of the head's rounds.
    pub head: f64,
    /// Head to base, after the levels of the blocks were taken away; none where a value is 0.
    pub ratio: Option<f64>,
    /// Bounds of the ratio; none when a side has one round.
    pub interval: Option<[f64; 2]>,
    /// Mann and Whitney's U of the base.
    pub u: Option<f64>,
    /// Two-sided, exact.
    pub p: Option<f64>,
    /// The same, corrected for the number of metrics.
    pub p_corrected: Option<f64>,
    /// By round.
    pub base_values: Vec<f64>,
    /// By round.
    pub head_values: Vec<f64>,
}

impl Change {
    /// The word for a reader.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Change::Unchanged => "unchanged",
            Change::Improved => "improved",
            Change::Inconclusive => "inconclusive",
            Change::Regressed => "regressed",
        }
    }
}

impl Method {
    /// As it is, over this many blocks.
    #[must_use]
    pub fn new(seed: u64, blocks: usize) -> Self {
        Self {
            test: if blocks > 1 {
                "aligned ranks, exact, within blocks (Hodges-Lehmann)"
            } else {
                "Mann-Whitney U, exact"
            }
            .to_owned(),
            correction: "Holm".to_owned(),
            level: LEVEL,
            interval: "bootstrap of the ratio of medians".to_owned(),
            confidence: CONFIDENCE,
            resamples: RESAMPLES,
            seed,
            min_rounds: MIN_ROUNDS,
            blocks,
        }
    }
}

impl Comparison {
    /// The metrics with this verdict.
    pub fn with(&self, verdict: Change) -> impl Iterator<Item = &MetricChange> {
        self.metrics.iter().filter(move |metric| metric.verdict == verdict)
    }

    /// The verdict with the metrics it comes from.
    #[must_use]
    pub fn verdict_text(&self) -> String {
        let names: Vec<&str> = self.with(self.verdict).map(|metric| metric.metric.as_str()).collect();
        match self.verdict {
            Change::Unchanged => "unchanged".to_owned(),
            verdict => format!("{}: {}", verdict.text(), names.join(", ")),
        }
    }
}
