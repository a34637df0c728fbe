//! How a run ended, in one word and one exit code.
//!
//! Invariant: of several verdicts the gravest wins; a broken invariant stays one even when the run was too slow
//! to be a measurement.

use serde::{Deserialize, Serialize};

/// The end of a run, from the mildest to the gravest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything held.
    Pass,
    /// A `--threshold` failed.
    ThresholdFailed,
    /// Worse than what it was compared with; never the end of a single run.
    Regressed,
    /// The generator or the offered rate was not what was asked for: the times mean nothing.
    Invalid,
    /// A message was lost, doubled, out of order …
    InvariantBroken,
    /// The run did not get going.
    CouldNotRun,
    /// Stopped by Ctrl-C; the report holds what there was.
    Interrupted,
}

impl Verdict {
    /// The exit code of the process.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Verdict::Pass => 0,
            Verdict::CouldNotRun => 1,
            Verdict::Invalid => 96,
            Verdict::InvariantBroken => 97,
            Verdict::Regressed => 98,
            Verdict::ThresholdFailed => 99,
            Verdict::Interrupted => 130,
        }
    }

    /// The word for a reader.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::CouldNotRun => "could not run",
            Verdict::Invalid => "run invalid",
            Verdict::InvariantBroken => "invariant broken",
            Verdict::Regressed => "regressed",
            Verdict::ThresholdFailed => "threshold failed",
            Verdict::Interrupted => "interrupted",
        }
    }
}

/// The verdict so far, with every reason that was given.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// The gravest verdict.
    pub verdict: Verdict,
    /// Whether the times and rates can be used.
    pub valid: bool,
    /// Why, in words.
    pub reasons: Vec<String>,
}

impl Default for Judgement {
    fn default() -> Self {
        Self::new()
    }
}

impl Judgement {
    /// Nothing wrong yet.
    #[must_use]
    pub fn new() -> Self {
        Self { verdict: Verdict::Pass, valid: true, reasons: Vec::new() }
    }

    /// Adds a finding.
    pub fn add(&mut self, verdict: Verdict, reason: impl Into<String>) {
        self.verdict = self.verdict.max(verdict);
        if matches!(verdict, Verdict::Invalid | Verdict::CouldNotRun) {
            self.valid = false;
        }
        self.reasons.push(reason.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gravest_wins_and_all_reasons_stay() {
        let mut judgement = Judgement::new();
        judgement.add(Verdict::InvariantBroken, "lost 1");
        judgement.add(Verdict::Invalid, "too slow");
        judgement.add(Verdict::ThresholdFailed, "p99");
        assert_eq!(judgement.verdict.exit_code(), 97);
        assert!(!judgement.valid);
        assert_eq!(judgement.reasons.len(), 3);
    }
}
