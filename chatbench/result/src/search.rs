//! The search for the highest level that holds, without the rounds themselves.
//!
//! Invariant: the answer held in two rounds and failed in at most one; the search ends after a set number of rounds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Rounds of the same kind that decide a level: two of three.
const DECIDE: u32 = 2;

/// How a round at a level came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every condition held.
    Held,
    /// A condition failed, or the server did not keep up.
    Failed,
    /// The generator could not offer this level.
    Saturated,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Play a round at this level.
    Try(u32),
    /// There is an answer.
    Done(End),
}

/// Why a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The highest level that holds lies between the answer and the limit.
    Found,
    /// The highest level that was allowed holds.
    MaxHeld,
    /// The generator could not offer more.
    GeneratorSaturated,
    /// Not even the lowest level holds.
    NothingHeld,
    /// No more rounds were allowed.
    RoundsUsedUp,
}

/// The rounds at a level.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Rounds in which all held.
    pub held: u32,
    /// Rounds in which something failed.
    pub failed: u32,
}

/// A search.
#[derive(Debug)]
pub struct Search {
    from: u32,
    max: u32,
    precision: f64,
    rounds: u32,
    /// The rounds so far, by level.
    pub tallies: BTreeMap<u32, Tally>,
    /// The level the generator could not offer.
    pub saturated: Option<u32>,
}

impl Tally {
    fn is_failed(self) -> bool {
        self.failed >= DECIDE
    }

    fn is_sure(self) -> bool {
        self.held >= DECIDE
    }

    /// One round held, and none failed; or two held.
    fn holds(self) -> bool {
        self.is_sure() || self.held > self.failed
    }
}

impl Search {
    /// From a first level up to `max`, until the answer is within `precision` of the limit or `rounds` were played.
    pub fn new(from: u32, max: u32, precision: f64, rounds: u32) -> Self {
        Self { from: from.min(max).max(1), max, precision, rounds, tallies: BTreeMap::new(), saturated: None }
    }

    /// Tells how a round came out.
    pub fn tell(&mut self, level: u32, outcome: Outcome) {
        self.rounds = self.rounds.saturating_sub(1);
        let tally = self.tallies.entry(level).or_default();
        match outcome {
            Outcome::Held => tally.held += 1,
            Outcome::Failed => tally.failed += 1,
            Outcome::Saturated => {
                self.saturated = Some(self.saturated.map_or(level, |known| known.min(level)))
            }
        }
    }

    /// The lowest level that failed.
    pub fn high(&self) -> Option<u32> {
        self.tallies.iter().find(|(_, tally)| tally.is_failed()).map(|(level, _)| *level)
    }

    /// The highest level that holds below all that failed or that the generator could not offer.
    pub fn low(&self) -> Option<u32> {
        let bound = self.high().into_iter().chain(self.saturated).min().unwrap_or(u32::MAX);
        let below = self.tallies.range(..bound).rev();
        below.filter(|(_, tally)| tally.holds()).map(|(level, _)| *level).next()
    }

    /// The highest level that held often enough to be an answer.
    pub fn answer(&self) -> Option<u32> {
        self.low().filter(|low| self.tallies[low].is_sure())
    }

    /// The next round, or the end.
    pub fn next(&self) -> Step {
        if self.rounds == 0 {
            return Step::Done(if self.saturated.is_some() {
                End::GeneratorSaturated
            } else {
                End::RoundsUsedUp
            });
        }
        if let Some(low) = self.saturated.map(|_| self.low()) {
            return self.confirm(low, End::GeneratorSaturated);
        }
        let undecided = |tally: &Tally| tally.failed > 0 && !tally.is_failed() && !tally.is_sure();
        if let Some((level, _)) = self.tallies.iter().find(|(_, tally)| undecided(tally)) {
            return Step::Try(*level);
        }
        match (self.low(), self.high()) {
            (None, None) => Step::Try(self.from),
            (None, Some(1)) => Step::Done(End::NothingHeld),
            (None, Some(high)) => Step::Try((high / 2).max(1)),
            (Some(low), None) if low >= self.max => self.confirm(Some(low), End::MaxHeld),
            (Some(low), None) => Step::Try(low.saturating_mul(2).min(self.max)),
            (Some(low), Some(high)) => {
                let middle = (f64::from(low) * f64::from(high)).sqrt().round() as u32;
                let near = f64::from(high) <= f64::from(low) * (1.0 + self.precision);
                if near || middle <= low || middle >= high {
                    self.confirm(Some(low), End::Found)
                } else {
                    Step::Try(middle)
                }
            }
        }
    }

    fn confirm(&self, low: Option<u32>, end: End) -> Step {
        match low {
            Some(low) if !self.tallies[&low].is_sure() => Step::Try(low),
            _ => Step::Done(end),
        }
    }
}

impl Outcome {
    /// For a reader.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Outcome::Held => "held",
            Outcome::Failed => "failed",
            Outcome::Saturated => "the generator is the limit",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::tests::synthetic::Noise;
    use proptest::prelude::*;

    /// Searches a server that holds up to `limit`, with a generator that reaches `reach`; gives search, end, rounds.
    fn search(mut search: Search, mut play: impl FnMut(u32) -> Outcome) -> (Search, End, u32) {
        for rounds in 0.. {
            match search.next() {
                Step::Try(level) => {
                    let outcome = play(level);
                    search.tell(level, outcome);
                }
                Step::Done(end) => return (search, end, rounds),
            }
        }
        unreachable!("a search ends")
    }

    fn until(limit: u32) -> impl FnMut(u32) -> Outcome {
        move |level| if level <= limit { Outcome::Held } else { Outcome::Failed }
    }

    #[test]
    fn the_ends_of_a_search() {
        let (found, end, _) = search(Search::new(100, 1_000_000, 0.05, 50), until(3_333));
        assert_eq!(end, End::Found);
        let (low, high) = (found.answer().unwrap(), found.high().unwrap());
        assert!(low <= 3_333 && 3_333 < high && f64::from(high) <= f64::from(low) * 1.05, "{low} to {high}");

        let (found, end, _) = search(Search::new(100, 1_000, 0.05, 50), until(u32::MAX));
        assert_eq!((found.answer(), end), (Some(1_000), End::MaxHeld));

        let (found, end, _) = search(Search::new(100, 1_000, 0.05, 50), until(0));
        assert_eq!((found.answer(), end), (None, End::NothingHeld));

        let (found, end, rounds) = search(Search::new(100, 1_000_000, 0.05, 6), until(3_333));
        assert_eq!((found.answer(), found.low(), end, rounds), (None, Some(3_200), End::RoundsUsedUp, 6));
    }

    #[test]
    fn a_saturated_generator_ends_it_with_what_held_twice() {
        let play = |level| if level <= 900 { Outcome::Held } else { Outcome::Saturated };
        let (found, end, rounds) = search(Search::new(100, 1_000_000, 0.05, 50), play);
        assert_eq!((found.answer(), found.saturated, end), (Some(800), Some(1_600), End::GeneratorSaturated));
        assert_eq!(rounds, 6, "100, 200, 400, 800, 1600, and 800 again");
        let (found, end, _) = search(Search::new(100, 1_000_000, 0.05, 50), |_| Outcome::Saturated);
        assert_eq!((found.answer(), end), (None, End::GeneratorSaturated));
    }

    #[test]
    fn one_bad_round_does_not_decide() {
        let mut first = true;
        let play = |level| {
            let spoilt = std::mem::take(&mut first);
            if level <= 3_333 && !spoilt { Outcome::Held } else { Outcome::Failed }
        };
        let (found, end, _) = search(Search::new(100, 1_000_000, 0.05, 50), play);
        assert_eq!(end, End::Found);
        assert!(found.answer().unwrap() > 3_100, "{found:?}");
    }

    proptest! {
        #[test]
        fn the_limit_lies_between_answer_and_high(
            limit in 1u32..2_000_000, from in 1u32..10_000, precision in 0.01f64..0.5,
        ) {
            let (found, end, rounds) = search(Search::new(from, 4_000_000, precision, 1000), until(limit));
            prop_assert_eq!(end, End::Found);
            let (low, high) = (found.answer().unwrap(), found.high().unwrap());
            prop_assert!(low <= limit && limit < high);
            prop_assert!(f64::from(high) <= f64::from(low) * (1.0 + precision) || high - low <= 1);
            prop_assert!(rounds < 80, "{} rounds", rounds);
        }

        /// Whatever the rounds say, it ends in time and what it answers held twice.
        #[test]
        fn any_rounds_end_it(seed in 0u64..10_000, most in 1u32..60) {
            let mut noise = Noise::new(seed);
            let play = |_| match noise.value(1.0, 1.0) {
                ..0.9 => Outcome::Failed,
                0.9..5.0 => Outcome::Held,
                _ => Outcome::Saturated,
            };
            let (found, _, rounds) = search(Search::new(50, 100_000, 0.05, most), play);
            prop_assert!(rounds <= most);
            if let Some(answer) = found.answer() {
                prop_assert!(found.tallies[&answer].held >= 2);
                prop_assert!(found.high().is_none_or(|high| answer < high));
                prop_assert!(found.saturated.is_none_or(|saturated| answer < saturated));
            }
        }
    }
}
