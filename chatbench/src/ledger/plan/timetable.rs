//! When each message of a run is due: at a rate, along stages of rates, or not at a set time.
//!
//! Invariant: it follows from the options and the seed alone, so that every process of a run has the same.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use serde::{Deserialize, Serialize};

use crate::clock::nanos;
use chat_protocol::Span;

/// Most messages of a run whose times do not follow from a single rate.
const LONGEST_LIST: f64 = 50e6;

/// How the due times are spread at a given rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Arrival {
    /// Equally far apart.
    Constant,
    /// At random, as independent senders would (exponential distances).
    Poisson,
}

/// A time with a rate that stays or grows or falls evenly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Leg {
    /// Messages per second at its start.
    pub from: f64,
    /// Messages per second at its end.
    pub to: f64,
    /// How long it is.
    pub time: Duration,
}

/// Legs one after the other, as written after `--stages`: `0..5000@30s,5000@2m`.
#[derive(Debug, Clone, PartialEq)]
pub struct Stages(pub Vec<Leg>);

/// When messages are sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Timetable {
    /// Each message of a sender follows the answer to its last one, after a pause.
    Closed {
        /// The pause.
        think: Duration,
    },
    /// Messages at one rate.
    Even {
        /// Nanoseconds between two of them.
        period_ns: f64,
        /// How many.
        total: u64,
    },
    /// The due times, in nanoseconds from the first.
    Listed(Vec<u64>),
}

impl FromStr for Stages {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = |part: &str| {
            format!("{part:?} is no stage; write RATE@TIME or FROM..TO@TIME, such as 0..500@30s")
        };
        let legs = text.split(',').map(|part| {
            let (rates, time) = part.split_once('@').ok_or_else(|| bad(part))?;
            let (from, to) = rates.split_once("..").unwrap_or((rates, rates));
            let rate = |text: &str| -> Result<f64, String> {
                let number = text.strip_suffix("/s").unwrap_or(text).parse().map_err(|_| bad(part))?;
                if (0.0..1e9).contains(&number) { Ok(number) } else { Err(bad(part)) }
            };
            let time = Span::duration(time).map_err(|error| error.to_string())?;
            if time.is_zero() {
                return Err(bad(part));
            }
            Ok(Leg { from: rate(from)?, to: rate(to)?, time })
        });
        let legs = legs.collect::<Result<Vec<_>, _>>()?;
        if legs.iter().all(|leg| leg.from + leg.to <= 0.0) {
            return Err(format!("{text:?} has no rate above zero"));
        }
        Ok(Self(legs))
    }
}

impl fmt::Display for Stages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, leg) in self.0.iter().enumerate() {
            let comma = if position > 0 { "," } else { "" };
            write!(f, "{comma}{}..{}@{}s", leg.from, leg.to, leg.time.as_secs_f64())?;
        }
        Ok(())
    }
}

impl Stages {
    /// How long they are together.
    pub fn time(&self) -> Duration {
        self.0.iter().map(|leg| leg.time).sum()
    }
}

impl Leg {
    fn messages(&self) -> f64 {
        (self.from + self.to) / 2.0 * self.time.as_secs_f64()
    }

    /// Seconds from the leg's start until `count` messages are due.
    fn when(&self, count: f64) -> f64 {
        let slope = (self.to - self.from) / self.time.as_secs_f64();
        // The stable form of the quadratic formula: it also holds for a slope of zero.
        let root = (self.from * self.from + 2.0 * slope * count).max(0.0).sqrt();
        if self.from + root > 0.0 { 2.0 * count / (self.from + root) } else { 0.0 }
    }
}

impl Timetable {
    /// Along these legs.
    ///
    /// # Errors
    /// When there are more messages than can be listed.
    pub fn new(legs: &[Leg], arrival: Arrival, seed: u64) -> Result<Self, String> {
        let time: Duration = legs.iter().map(|leg| leg.time).sum();
        let first = legs.first().map_or(0.0, |leg| leg.from);
        if arrival == Arrival::Constant && legs.iter().all(|leg| leg.from == first && leg.to == first) {
            return Ok(Timetable::Even { period_ns: 1e9 / first, total: messages(first, time) });
        }
        let all: f64 = legs.iter().map(Leg::messages).sum();
        if all > LONGEST_LIST {
            return Err(format!("{all:.0} messages in stages or at random times; at most 50 million can be"));
        }
        let mut random = StdRng::seed_from_u64(seed);
        let (mut due, mut count, mut before, mut start_ns) = (Vec::new(), 0.0, 0.0, 0.0);
        for leg in legs {
            let end = before + leg.messages();
            while count < end - 1e-6 {
                due.push((start_ns + leg.when(count - before) * 1e9) as u64);
                count += match arrival {
                    Arrival::Constant => 1.0,
                    // The draw is below 1, so the logarithm is finite.
                    Arrival::Poisson => -(1.0 - random.random::<f64>()).ln(),
                };
            }
            before = end;
            start_ns += leg.time.as_nanos() as f64;
        }
        Ok(Timetable::Listed(due))
    }

    /// Nanoseconds from the start until message `number` is due; `None` without a set time.
    pub fn due(&self, number: u64) -> Option<u64> {
        match self {
            Timetable::Closed { .. } => None,
            // Runs last hours, not centuries: the product stays far below 2^53.
            Timetable::Even { period_ns, .. } => Some((number as f64 * period_ns) as u64),
            Timetable::Listed(due) => due.get(usize::try_from(number).ok()?).copied(),
        }
    }

    /// How many messages there are; none without set times.
    pub fn total(&self) -> Option<u64> {
        match self {
            Timetable::Closed { .. } => None,
            Timetable::Even { total, .. } => Some(*total),
            Timetable::Listed(due) => Some(due.len() as u64),
        }
    }

    /// How many messages are due before this much time has passed.
    pub fn due_before(&self, time: Duration) -> u64 {
        match self {
            Timetable::Closed { .. } => 0,
            Timetable::Even { period_ns, total } => messages(1e9 / period_ns, time).min(*total),
            Timetable::Listed(due) => due.partition_point(|due| *due < nanos(time)) as u64,
        }
    }
}

/// How many messages at a rate are due before `time` has passed.
fn messages(rate: f64, time: Duration) -> u64 {
    // A product that is whole on paper must not be rounded up for a bit in the last place.
    (rate * time.as_secs_f64() - 1e-6).ceil() as u64
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn every_millisecond() -> Timetable {
        Timetable::Even { period_ns: 1e6, total: 1_000_000 }
    }

    fn table(text: &str, arrival: Arrival) -> Timetable {
        Timetable::new(&text.parse::<Stages>().unwrap().0, arrival, 7).unwrap()
    }

    #[test]
    fn a_rate_has_as_many_messages_as_periods_begin() {
        assert_eq!(messages(100.0, Duration::from_secs(10)), 1000);
        assert_eq!(messages(0.5, Duration::from_secs(3)), 2);
        assert_eq!(messages(3.0, Duration::from_millis(100)), 1);
        assert_eq!(messages(100.0, Duration::ZERO), 0);
        let even = table("100@2s,100@3s", Arrival::Constant);
        assert_eq!((even.total(), even.due(3)), (Some(500), Some(30_000_000)));
        assert_eq!(even.due_before(Duration::from_secs(2)), 200);
    }

    #[test]
    fn stages_ramp_and_stay() {
        let ramp = table("0..100@10s,100@5s,100..0@2s", Arrival::Constant);
        assert_eq!(ramp.total(), Some(500 + 500 + 100));
        assert_eq!(ramp.due_before(Duration::from_secs(5)), 125, "a quarter");
        assert_eq!(ramp.due(500), Some(10_000_000_000));
        assert_eq!(ramp.due(600), Some(11_000_000_000));
        let Timetable::Listed(due) = &ramp else { panic!("listed") };
        assert!(due.is_sorted() && due.last() < Some(&17_000_000_000));
    }

    #[test]
    fn random_times_repeat_with_the_seed_and_have_the_rate() {
        let random = table("1000@20s", Arrival::Poisson);
        assert_eq!(random, table("1000@20s", Arrival::Poisson));
        let total = random.total().unwrap();
        assert!((19_400..20_600).contains(&total), "{total}");
        let Timetable::Listed(due) = &random else { panic!("listed") };
        let gaps = due.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e6);
        let above = gaps.filter(|gap| *gap > 1.0).count() as f64 / total as f64;
        assert!((0.34..0.40).contains(&above), "1/e of the distances are above the mean: {above}");
    }

    #[test]
    fn wrong_stages_say_what_is_right() {
        for bad in ["", "5", "5@", "@5s", "1..@5s", "-1@5s", "0@5s", "5@0s", "nan@5s", "5@5s,", "1e10@1s"] {
            assert!(bad.parse::<Stages>().is_err(), "{bad}");
        }
        assert!(Timetable::new(&"1000000@100s".parse::<Stages>().unwrap().0, Arrival::Poisson, 1).is_err());
        assert_eq!("0..5@30s,5/s@2m".parse::<Stages>().unwrap().to_string(), "0..5@30s,5..5@120s");
    }
}
