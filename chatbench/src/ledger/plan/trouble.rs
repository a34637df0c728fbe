//! Trouble as it is asked for: connections cut at random or all at once, clients that come and go, or stop reading.
//!
//! Invariant: who is troubled, and when, follows from the seed and the options alone.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chat_protocol::Span;
use chatbench_result::units;

const DEFAULT_OFFLINE: Duration = Duration::from_secs(2);
const DEFAULT_MEAN: Duration = Duration::from_secs(15);
const DEFAULT_SLOW_PERMILLE: u32 = 100;

/// One kind of trouble, as written after `--chaos`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Chaos {
    /// `jitter[:MEAN_S,OFFLINE_S]`: each receiving client is cut at random, on average once in `mean`.
    Jitter {
        /// Mean time from being back to the next cut.
        mean: Duration,
        /// How long a cut client stays away.
        offline: Duration,
    },
    /// `avalanche[:AT_S,OFFLINE_S]`: all receiving clients are cut at once.
    Avalanche {
        /// From the start of the measured part; by default the middle of it.
        at: Option<Duration>,
        /// How long they stay away.
        offline: Duration,
    },
    /// `churn:RATE[,OFFLINE_S]`: receiving clients leave in turn, in order, so many a second, and come back.
    Churn {
        /// Leavings per second.
        rate: f64,
        /// How long who left stays away.
        offline: Duration,
    },
    /// `slow-reader[=SHARE%]`: this share of the receiving clients stops reading.
    SlowReader {
        /// In thousandths.
        permille: u32,
    },
    /// `reconnect`: cuts nobody; clients the server closes or loses come back.
    Reconnect,
}

impl FromStr for Chaos {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            format!(
                "{text:?} is no chaos; write jitter[:MEAN_S,OFFLINE_S], avalanche[:AT_S,OFFLINE_S], \
                 churn:RATE[,OFFLINE_S], slow-reader=10% or reconnect"
            )
        };
        let split = text.split_once([':', '=']);
        let (kind, rest) = split.map_or((text, None), |(kind, rest)| (kind, Some(rest)));
        match (kind, rest) {
            ("jitter", None) => Ok(Chaos::Jitter { mean: DEFAULT_MEAN, offline: DEFAULT_OFFLINE }),
            ("jitter", Some(rest)) => {
                let (mean, offline) = two(rest)?;
                let offline = offline.unwrap_or(DEFAULT_OFFLINE);
                if mean < Duration::from_millis(1) { Err(bad()) } else { Ok(Chaos::Jitter { mean, offline }) }
            }
            ("avalanche", None) => Ok(Chaos::Avalanche { at: None, offline: DEFAULT_OFFLINE }),
            ("avalanche", Some(rest)) => {
                if let Some(offline) = rest.strip_prefix("middle,") {
                    return Ok(Chaos::Avalanche { at: None, offline: time(offline)? });
                }
                let (at, offline) = two(rest)?;
                Ok(Chaos::Avalanche { at: Some(at), offline: offline.unwrap_or(DEFAULT_OFFLINE) })
            }
            ("churn", Some(rest)) => {
                let (rate, offline) =
                    rest.split_once(',').map_or((rest, None), |(rate, rest)| (rate, Some(rest)));
                let offline = offline.map_or(Ok(DEFAULT_OFFLINE), time)?;
                Ok(Chaos::Churn { rate: units::rate(rate)?, offline })
            }
            ("slow-reader", None) => Ok(Chaos::SlowReader { permille: DEFAULT_SLOW_PERMILLE }),
            ("slow-reader", Some(rest)) => {
                let percent: f64 = rest.strip_suffix('%').and_then(|n| n.parse().ok()).ok_or_else(bad)?;
                let permille = (percent * 10.0).round();
                if !(1.0..1000.0).contains(&permille) {
                    return Err(format!("{text:?}: the share must be from 0.1% to below 100%"));
                }
                Ok(Chaos::SlowReader { permille: permille as u32 })
            }
            ("reconnect", None) => Ok(Chaos::Reconnect),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Chaos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Chaos::Jitter { mean, offline } => {
                write!(f, "jitter:{},{}", mean.as_secs_f64(), offline.as_secs_f64())
            }
            Chaos::Avalanche { at: None, offline } => write!(f, "avalanche:middle,{}", offline.as_secs_f64()),
            Chaos::Avalanche { at: Some(at), offline } => {
                write!(f, "avalanche:{},{}", at.as_secs_f64(), offline.as_secs_f64())
            }
            Chaos::Churn { rate, offline } => write!(f, "churn:{rate},{}", offline.as_secs_f64()),
            Chaos::SlowReader { permille } => write!(f, "slow-reader={}%", f64::from(*permille) / 10.0),
            Chaos::Reconnect => f.write_str("reconnect"),
        }
    }
}

fn two(text: &str) -> Result<(Duration, Option<Duration>), String> {
    match text.split_once(',') {
        Some((first, second)) => Ok((time(first)?, Some(time(second)?))),
        None => Ok((time(text)?, None)),
    }
}

fn time(text: &str) -> Result<Duration, String> {
    Span::duration(text).map_err(|error| error.to_string())
}

/// All kinds of trouble of one run.
#[derive(Debug, Clone, Default)]
pub struct Trouble {
    /// The cuts, at most one kind of them.
    pub cuts: Option<Chaos>,
    /// Share of the receiving clients that stop reading, in thousandths.
    pub slow_permille: u32,
    /// Whether clients whose connection ends come back.
    pub reconnects: bool,
}

impl Trouble {
    /// Puts the options together.
    ///
    /// # Errors
    /// When two of them contradict each other.
    pub fn new(options: &[Chaos]) -> Result<Self, String> {
        let mut trouble = Self { reconnects: !options.is_empty(), ..Self::default() };
        for option in options {
            match *option {
                Chaos::SlowReader { permille } if trouble.slow_permille == 0 => {
                    trouble.slow_permille = permille;
                }
                Chaos::Jitter { .. } | Chaos::Avalanche { .. } | Chaos::Churn { .. }
                    if trouble.cuts.is_none() =>
                {
                    trouble.cuts = Some(*option);
                }
                Chaos::Reconnect => {}
                _ => return Err("one kind of cuts and one slow-reader at most".to_owned()),
            }
        }
        Ok(trouble)
    }

    /// The kinds, as `--chaos` names them.
    pub fn words(&self) -> Vec<String> {
        let slow = (self.slow_permille > 0).then_some(Chaos::SlowReader { permille: self.slow_permille });
        let mut words: Vec<String> = self.cuts.iter().chain(&slow).map(ToString::to_string).collect();
        if words.is_empty() && self.reconnects {
            words.push(Chaos::Reconnect.to_string());
        }
        words
    }

    /// How long a cut client stays away.
    pub fn offline(&self) -> Duration {
        match self.cuts {
            Some(
                Chaos::Jitter { offline, .. }
                | Chaos::Avalanche { offline, .. }
                | Chaos::Churn { offline, .. },
            ) => offline,
            _ => Duration::ZERO,
        }
    }

    /// Whether receiving client `number` stops reading. The slow ones are spread evenly.
    pub fn is_slow(&self, number: u32) -> bool {
        self.slow_below(number + 1) > self.slow_below(number)
    }

    /// How many of the first `count` receiving clients stop reading.
    pub fn slow_below(&self, count: u32) -> u64 {
        u64::from(count) * u64::from(self.slow_permille) / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_are_read_and_written() {
        for (text, written) in [
            ("jitter", "jitter:15,2"),
            ("jitter:0.5,0.1", "jitter:0.5,0.1"),
            ("jitter:500ms", "jitter:0.5,2"),
            ("avalanche", "avalanche:middle,2"),
            ("avalanche:3,1", "avalanche:3,1"),
            ("avalanche:middle,4", "avalanche:middle,4"),
            ("churn:10/s", "churn:10,2"),
            ("churn:0.5,100ms", "churn:0.5,0.1"),
            ("slow-reader=2.5%", "slow-reader=2.5%"),
            ("slow-reader", "slow-reader=10%"),
            ("reconnect", "reconnect"),
        ] {
            assert_eq!(text.parse::<Chaos>().unwrap().to_string(), written);
        }
        for bad in [
            "",
            "storm",
            "churn",
            "churn:0",
            "churn:x,1",
            "churn:1,x",
            "jitter:x",
            "jitter:0",
            "slow-reader=10",
            "slow-reader=100%",
            "reconnect:1",
        ] {
            assert!(bad.parse::<Chaos>().is_err(), "{bad}");
        }
    }

    #[test]
    fn slow_readers_are_spread_and_exactly_as_many_as_asked_for() {
        let trouble = Trouble::new(&[Chaos::SlowReader { permille: 100 }]).unwrap();
        let slow: Vec<u32> = (0..100).filter(|number| trouble.is_slow(*number)).collect();
        assert_eq!(slow, (0..10).map(|n| n * 10 + 9).collect::<Vec<_>>());
        assert_eq!(trouble.slow_below(100), 10);
        assert!(Trouble::new(&[Chaos::Reconnect, "jitter".parse().unwrap()]).unwrap().reconnects);
        assert!(Trouble::new(&["avalanche".parse().unwrap(), "jitter".parse().unwrap()]).is_err());
    }
}
