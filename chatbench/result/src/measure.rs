//! What can be asked of a result by name: `e2e_time:p(99)`, `lost`, `server_cpu_us_per_delivery`.
//!
//! Invariant: a value is read from the result as it is written to a file, so a threshold, a comparison and a reader see
//! the same one; what was not measured has no value.

use std::fmt;
use std::str::FromStr;

use crate::hdr;
use crate::model::{Chaos, Line, RunResult, TIMES, TimeSummary, Unit, Usage};

/// Which way a value should go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Less is better.
    #[default]
    Lower,
    /// More is better.
    Higher,
}

/// A value that is one number in the result.
#[derive(Debug)]
pub struct Number {
    name: &'static str,
    unit: Unit,
    better: Better,
    read: Read,
}

type Read = fn(&RunResult) -> Option<f64>;

/// A number that stands for many times.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Statistic {
    /// So many percent are not above.
    Percentile(f64),
    /// The arithmetic mean.
    Mean,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// How many there are.
    Count,
}

/// One value of a result, by its name.
#[derive(Debug, Clone)]
pub struct Measure {
    name: String,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Time(&'static str, Statistic),
    Number(&'static Number),
}

use Better::{Higher, Lower};
use Unit::{Bytes, Count, Micros, PerSecond, Percent, Share};

const fn number(name: &'static str, unit: Unit, better: Better, read: Read) -> Number {
    Number { name, unit, better, read }
}

/// Every number with a name, in the order the help shows them.
pub static NUMBERS: [Number; 35] = [
    number("lost", Count, Lower, |result| books(result, |line| line.lost)),
    number("duplicated", Count, Lower, |result| books(result, |line| line.duplicated)),
    number("reordered", Count, Lower, |result| books(result, |line| line.reordered)),
    number("late", Count, Lower, |result| books(result, |line| line.late)),
    number("disconnected", Count, Lower, |result| books(result, |line| line.disconnected)),
    number("refused", Count, Lower, |result| books(result, |line| line.refused)),
    number("unanswered", Count, Lower, |result| books(result, |line| line.unanswered)),
    number("sent", Count, Higher, |result| books(result, |line| line.sent)),
    number("accepted", Count, Higher, |result| books(result, |line| line.accepted)),
    number("expected", Count, Higher, |result| books(result, |line| line.expected)),
    number("delivered", Count, Higher, |result| books(result, |line| line.delivered)),
    number("unexpected", Count, Lower, |result| Some(result.ledger.as_ref()?.unexpected as f64)),
    number("corrupted", Count, Lower, |result| Some(result.ledger.as_ref()?.corrupted as f64)),
    number("misnumbered", Count, Lower, |result| Some(result.ledger.as_ref()?.misnumbered as f64)),
    number("gaps", Count, Lower, |result| troubled(result, |chaos| chaos.gaps)),
    number("reconnects", Count, Lower, |result| troubled(result, |chaos| chaos.reconnects)),
    number("holes", Count, Lower, |result| Some(result.history.as_ref()?.holes as f64)),
    number("repeats", Count, Lower, |result| Some(result.history.as_ref()?.repeats as f64)),
    number("discrepancies", Count, Lower, |r| r.red_packets.as_ref()?.discrepancies.map(|all| all as f64)),
    number("grabs_per_s", PerSecond, Higher, |result| Some(result.red_packets.as_ref()?.answered_per_s)),
    number("connected", Count, Higher, |result| Some(f64::from(result.connections.as_ref()?.connected))),
    number("connected_per_s", PerSecond, Higher, |result| Some(result.connections.as_ref()?.opened_per_s)),
    number("offered_per_s", PerSecond, Higher, |result| result.rates.as_ref()?.offered_per_s),
    number("sent_per_s", PerSecond, Higher, |result| Some(result.rates.as_ref()?.sent_per_s)),
    number("accepted_per_s", PerSecond, Higher, |result| Some(result.rates.as_ref()?.accepted_per_s)),
    number("deliveries_per_s", PerSecond, Higher, |result| Some(result.rates.as_ref()?.deliveries_per_s)),
    number("achieved", Share, Higher, achieved),
    number("generator_delay", Micros, Lower, |r| Some(r.rates.as_ref()?.generator_delay_p99_us as f64)),
    number("server_cpu", Percent, Lower, |result| servers(result, |server| server.cpu_percent)),
    number("server_cpu_per_delivery", Micros, Lower, |r| r.processes.as_ref()?.server_cpu_us_per_delivery),
    number("server_memory", Bytes, Lower, |r| servers(r, |server| Some(server.rss_after_bytes as f64))),
    number("server_memory_per_connection", Bytes, Lower, |r| r.idle.as_ref()?.server_bytes_per_connection),
    number("generator_cpu", Percent, Lower, |result| result.processes.as_ref()?.generator.cpu_percent),
    number("generator_cpu_per_delivery", Micros, Lower, |r| {
        r.processes.as_ref()?.generator_cpu_us_per_delivery
    }),
    number("generator_memory", Bytes, Lower, |r| {
        Some(r.processes.as_ref()?.generator.rss_after_bytes as f64)
    }),
];

/// Warm-up and measured part together.
fn books(result: &RunResult, of: fn(&Line) -> u64) -> Option<f64> {
    Some(result.ledger.as_ref()?.total(of) as f64)
}

/// Whoever sends without trouble on purpose has none of it.
fn troubled(result: &RunResult, of: fn(&Chaos) -> u64) -> Option<f64> {
    match &result.chaos {
        Some(chaos) => Some(of(chaos) as f64),
        None => result.ledger.as_ref().map(|_| 0.0),
    }
}

fn achieved(result: &RunResult) -> Option<f64> {
    let rates = result.rates.as_ref()?;
    Some(rates.sent_per_s / rates.offered_per_s.filter(|rate| *rate > 0.0)?)
}

/// The sum over the watched servers.
fn servers(result: &RunResult, of: fn(&Usage) -> Option<f64>) -> Option<f64> {
    let servers = &result.processes.as_ref()?.servers;
    if servers.is_empty() { None } else { servers.iter().map(of).sum() }
}

/// What a condition can name, for the help.
#[must_use]
pub fn help() -> String {
    let mut text = format!(
        "Thresholds: METRIC[:STATISTIC]<VALUE with < <= > >= == !=; a metric without a sample fails\n  times such as 50ms: \
         {}\n    with p(N) avg min med max count",
        TIMES.join(" ")
    );
    for (what, unit) in [
        ("counts such as 0", Count),
        ("rates such as 100/s", PerSecond),
        ("a share such as 99%", Share),
        ("times such as 5us", Micros),
        ("percent of a core such as 80%", Percent),
        ("bytes such as 64MiB", Bytes),
    ] {
        let names = NUMBERS.iter().filter(|number| number.unit == unit).map(|number| number.name);
        text += &format!("\n  {what}: {}", names.collect::<Vec<_>>().join(" "));
    }
    text
}

impl FromStr for Measure {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, statistic) = text.split_once(':').map_or((text, None), |(name, rest)| (name, Some(rest)));
        let kind = if let Some(time) = TIMES.iter().find(|time| **time == name) {
            Kind::Time(time, Statistic::new(statistic)?)
        } else if let Some(number) = NUMBERS.iter().find(|number| number.name == name) {
            match statistic {
                None => Kind::Number(number),
                Some("count") if number.unit == Count => Kind::Number(number),
                Some(other) if number.unit == Count => {
                    return Err(format!("{name} only counts; {other:?} is no statistic of it"));
                }
                Some(other) => {
                    return Err(format!("{name} is one number; {other:?} is no statistic of it"));
                }
            }
        } else {
            let numbers = NUMBERS.iter().map(|number| number.name).collect::<Vec<_>>().join(", ");
            return Err(format!("unknown metric {name:?}; known are {} and {numbers}", TIMES.join(", ")));
        };
        Ok(Self { name: text.to_owned(), kind })
    }
}

impl Statistic {
    fn new(text: Option<&str>) -> Result<Self, String> {
        let text = text.ok_or("a time needs a statistic: p(99), avg, min, med, max or count")?;
        match text {
            "avg" => return Ok(Statistic::Mean),
            "min" => return Ok(Statistic::Min),
            "med" => return Ok(Statistic::Percentile(50.0)),
            "max" => return Ok(Statistic::Max),
            "count" => return Ok(Statistic::Count),
            _ => {}
        }
        let percent = text.strip_prefix("p(").and_then(|rest| rest.strip_suffix(')')?.parse::<f64>().ok());
        let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
        percent.map(Statistic::Percentile).ok_or_else(|| {
            format!("unknown statistic {text:?}; known are p(0) to p(100), avg, min, med, max, count")
        })
    }

    /// Of one distribution in a result: as the summary has it, or from the whole of it.
    fn of(self, times: &TimeSummary) -> Option<f64> {
        if times.count == 0 {
            return None;
        }
        let us = match self {
            Statistic::Percentile(50.0) => times.p50_us,
            Statistic::Percentile(90.0) => times.p90_us,
            Statistic::Percentile(99.0) => times.p99_us,
            Statistic::Percentile(99.9) => times.p999_us,
            Statistic::Percentile(percent) => {
                let whole = hdr::decode(times.hdr.as_ref()?).ok()?;
                Some(whole.value_at_quantile(percent / 100.0))
            }
            Statistic::Mean => return times.mean_us,
            Statistic::Min => times.min_us,
            Statistic::Max => times.max_us,
            Statistic::Count => Some(times.count),
        };
        us.map(|us| us as f64)
    }
}

impl Measure {
    /// The value in a result; none without a sample.
    #[must_use]
    pub fn of(&self, result: &RunResult) -> Option<f64> {
        let value = match self.kind {
            Kind::Number(number) => (number.read)(result)?,
            Kind::Time(time, statistic) => statistic.of(result.times.get(time)?)?,
        };
        value.is_finite().then_some(value)
    }

    /// What it counts.
    #[must_use]
    pub fn unit(&self) -> Unit {
        match self.kind {
            Kind::Time(_, Statistic::Count) => Count,
            Kind::Time(..) => Micros,
            Kind::Number(number) => number.unit,
        }
    }

    /// Which way it should go.
    #[must_use]
    pub fn better(&self) -> Better {
        match self.kind {
            Kind::Time(_, Statistic::Count) => Higher,
            Kind::Time(..) => Lower,
            Kind::Number(number) => number.better,
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hdr::histogram;
    use crate::model::{Books, Processes, Rates};
    use serde_json::json;

    fn value(name: &str, result: &RunResult) -> Option<f64> {
        name.parse::<Measure>().unwrap().of(result)
    }

    #[test]
    fn values_are_found_in_a_result() {
        let line = |lost: u64| Line { lost, ..Line::default() };
        let times = |count, hdr: String, p99_us| TimeSummary {
            count,
            p99_us,
            mean_us: Some(7.5),
            hdr: Some(hdr),
            ..TimeSummary::default()
        };
        let mut whole = histogram();
        (1..=100).for_each(|us| whole.saturating_record(us));
        let server = |percent: f64| Usage { cpu_percent: Some(percent), ..Usage::default() };
        let mut result = RunResult {
            times: [
                ("e2e_time".to_owned(), times(3, hdr::encode(&whole).unwrap(), Some(120))),
                ("fanout_time".to_owned(), times(1, "no base64".to_owned(), None)),
            ]
            .into(),
            ledger: Some(Books { warmup: line(1), measured: line(2), ..Books::default() }),
            rates: Some(Rates { sent_per_s: 90.0, offered_per_s: Some(100.0), ..Rates::default() }),
            processes: Some(Processes { servers: vec![server(10.0), server(5.5)], ..Processes::default() }),
            ..RunResult::default()
        };
        for (name, wanted) in [
            ("e2e_time:p(99)", Some(120.0)),
            ("e2e_time:avg", Some(7.5)),
            ("e2e_time:count", Some(3.0)),
            ("e2e_time:med", None),
            ("e2e_time:p(42)", Some(42.0)),
            ("fanout_time:p(42)", None),
            ("ack_time:p(99)", None),
            ("lost", Some(3.0)),
            ("late", Some(0.0)),
            ("gaps", Some(0.0)),
            ("achieved", Some(0.9)),
            ("server_cpu", Some(15.5)),
            ("generator_cpu", None),
            ("holes", None),
        ] {
            assert_eq!(value(name, &result), wanted, "{name}");
        }
        result.ledger = None;
        assert_eq!((value("late", &result), value("gaps", &result)), (None, None), "of who does not send");
        result.chaos = Some(Chaos { gaps: 2, ..Chaos::default() });
        assert_eq!(value("gaps", &result), Some(2.0));
    }

    #[test]
    fn nothing_is_found_in_what_is_no_result() {
        for hostile in [json!([]), json!({"times": 3, "rates": "x", "ledger": [1], "chaos": 1})] {
            let result: RunResult = serde_json::from_value(hostile.clone()).unwrap();
            for name in ["e2e_time:max", "lost", "gaps", "achieved", "server_memory"] {
                assert_eq!(value(name, &result), None, "{name} in {hostile}");
            }
        }
    }
}
