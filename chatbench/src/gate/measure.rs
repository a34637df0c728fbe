//! What can be asked of a result by name: `e2e_time:p(99)`, `lost`, `server_cpu_us_per_delivery`.
//!
//! Invariant: a value is read from the result as it is written to a file, so a threshold, a comparison and a reader see
//! the same one; what was not measured has no value.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use chatbench_result::hdr;
use chatbench_result::model::{TIMES, Unit};

/// Which way a value should go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// Less is better.
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
    read: fn(&Value) -> Option<f64>,
}

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

const fn number(name: &'static str, unit: Unit, better: Better, read: fn(&Value) -> Option<f64>) -> Number {
    Number { name, unit, better, read }
}

/// Every number with a name, in the order the help shows them.
pub static NUMBERS: [Number; 35] = [
    number("lost", Count, Lower, |result| books(result, "lost")),
    number("duplicated", Count, Lower, |result| books(result, "duplicated")),
    number("reordered", Count, Lower, |result| books(result, "reordered")),
    number("late", Count, Lower, |result| books(result, "late")),
    number("disconnected", Count, Lower, |result| books(result, "disconnected")),
    number("refused", Count, Lower, |result| books(result, "refused")),
    number("unanswered", Count, Lower, |result| books(result, "unanswered")),
    number("sent", Count, Higher, |result| books(result, "sent")),
    number("accepted", Count, Higher, |result| books(result, "accepted")),
    number("expected", Count, Higher, |result| books(result, "expected")),
    number("delivered", Count, Higher, |result| books(result, "delivered")),
    number("unexpected", Count, Lower, |result| at(result, "/ledger/unexpected")),
    number("corrupted", Count, Lower, |result| at(result, "/ledger/corrupted")),
    number("misnumbered", Count, Lower, |result| at(result, "/ledger/misnumbered")),
    number("gaps", Count, Lower, |result| troubled(result, "/chaos/gaps")),
    number("reconnects", Count, Lower, |result| troubled(result, "/chaos/reconnects")),
    number("holes", Count, Lower, |result| at(result, "/history/holes")),
    number("repeats", Count, Lower, |result| at(result, "/history/repeats")),
    number("discrepancies", Count, Lower, |result| at(result, "/red_packets/discrepancies")),
    number("grabs_per_s", PerSecond, Higher, |result| at(result, "/red_packets/answered_per_s")),
    number("connected", Count, Higher, |result| at(result, "/connections/connected")),
    number("connected_per_s", PerSecond, Higher, |result| at(result, "/connections/opened_per_s")),
    number("offered_per_s", PerSecond, Higher, |result| at(result, "/rates/offered_per_s")),
    number("sent_per_s", PerSecond, Higher, |result| at(result, "/rates/sent_per_s")),
    number("accepted_per_s", PerSecond, Higher, |result| at(result, "/rates/accepted_per_s")),
    number("deliveries_per_s", PerSecond, Higher, |result| at(result, "/rates/deliveries_per_s")),
    number("achieved", Share, Higher, achieved),
    number("generator_delay", Micros, Lower, |result| at(result, "/rates/generator_delay_p99_us")),
    number("server_cpu", Percent, Lower, |result| servers(result, "cpu_percent")),
    number("server_cpu_per_delivery", Micros, Lower, |r| at(r, "/processes/server_cpu_us_per_delivery")),
    number("server_memory", Bytes, Lower, |result| servers(result, "rss_after_bytes")),
    number("server_memory_per_connection", Bytes, Lower, |r| at(r, "/idle/server_bytes_per_connection")),
    number("generator_cpu", Percent, Lower, |result| at(result, "/processes/generator/cpu_percent")),
    number("generator_cpu_per_delivery", Micros, Lower, |r| {
        at(r, "/processes/generator_cpu_us_per_delivery")
    }),
    number("generator_memory", Bytes, Lower, |result| at(result, "/processes/generator/rss_after_bytes")),
];

fn at(result: &Value, pointer: &str) -> Option<f64> {
    result.pointer(pointer)?.as_f64()
}

/// Warm-up and measured part together.
fn books(result: &Value, name: &str) -> Option<f64> {
    let part = |part: &str| result.get("ledger")?.get(part)?.get(name)?.as_f64();
    Some(part("warmup")? + part("measured")?)
}

/// Whoever sends without trouble on purpose has none of it.
fn troubled(result: &Value, pointer: &str) -> Option<f64> {
    let untroubled = result.get("chaos")?.is_null() && result.get("ledger")?.is_object();
    if untroubled { Some(0.0) } else { at(result, pointer) }
}

fn achieved(result: &Value) -> Option<f64> {
    Some(at(result, "/rates/sent_per_s")? / at(result, "/rates/offered_per_s").filter(|rate| *rate > 0.0)?)
}

/// The sum over the processes of `--pid`.
fn servers(result: &Value, name: &str) -> Option<f64> {
    let servers = result.pointer("/processes/servers")?.as_array().filter(|servers| !servers.is_empty())?;
    servers.iter().map(|server| server.get(name)?.as_f64()).sum()
}

/// What a condition can name, for the help.
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
    fn of(self, times: &Value) -> Option<f64> {
        if times.get("count").and_then(Value::as_u64) == Some(0) {
            return None;
        }
        let member = match self {
            Statistic::Percentile(50.0) => "p50_us",
            Statistic::Percentile(90.0) => "p90_us",
            Statistic::Percentile(99.0) => "p99_us",
            Statistic::Percentile(99.9) => "p999_us",
            Statistic::Percentile(percent) => {
                let whole = hdr::decode(times.get("hdr")?.as_str()?).ok()?;
                return Some(whole.value_at_quantile(percent / 100.0) as f64);
            }
            Statistic::Mean => "mean_us",
            Statistic::Min => "min_us",
            Statistic::Max => "max_us",
            Statistic::Count => "count",
        };
        times.get(member)?.as_f64()
    }
}

impl Measure {
    /// The value in a result; none without a sample.
    pub fn of(&self, result: &Value) -> Option<f64> {
        let value = match self.kind {
            Kind::Number(number) => (number.read)(result)?,
            Kind::Time(time, statistic) => statistic.of(result.get("times")?.get(time)?)?,
        };
        value.is_finite().then_some(value)
    }

    /// What it counts.
    pub fn unit(&self) -> Unit {
        match self.kind {
            Kind::Time(_, Statistic::Count) => Count,
            Kind::Time(..) => Micros,
            Kind::Number(number) => number.unit,
        }
    }

    /// Which way it should go.
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
    use crate::recorder::histogram;
    use serde_json::json;

    fn value(name: &str, result: &Value) -> Option<f64> {
        name.parse::<Measure>().unwrap().of(result)
    }

    #[test]
    fn values_are_found_in_a_result() {
        let line = |lost: u64| json!({"lost": lost});
        let mut times = histogram();
        (1..=100).for_each(|us| times.saturating_record(us));
        let hdr = hdr::encode(&times).unwrap();
        let result = json!({
            "times": {"e2e_time": {"count": 3, "p99_us": 120, "mean_us": 7.5, "p50_us": null, "hdr": hdr},
                "fanout_time": {"hdr": "no base64"}},
            "ledger": {"warmup": line(1), "measured": line(2)},
            "rates": {"sent_per_s": 90.0, "offered_per_s": 100.0},
            "chaos": null,
            "processes": {"servers": [{"cpu_percent": 10.0}, {"cpu_percent": 5.5}], "generator": null},
        });
        for (name, wanted) in [
            ("e2e_time:p(99)", Some(120.0)),
            ("e2e_time:avg", Some(7.5)),
            ("e2e_time:count", Some(3.0)),
            ("e2e_time:med", None),
            ("e2e_time:p(42)", Some(42.0)),
            ("fanout_time:p(42)", None),
            ("ack_time:p(99)", None),
            ("lost", Some(3.0)),
            ("late", None),
            ("gaps", Some(0.0)),
            ("achieved", Some(0.9)),
            ("server_cpu", Some(15.5)),
            ("generator_cpu", None),
            ("holes", None),
        ] {
            assert_eq!(value(name, &result), wanted, "{name}");
        }
    }

    #[test]
    fn nothing_is_found_in_what_is_no_result() {
        for hostile in [json!(null), json!([]), json!({"times": 3, "rates": "x", "ledger": [1], "chaos": 1})]
        {
            for name in ["e2e_time:max", "lost", "gaps", "achieved", "server_memory"] {
                assert_eq!(value(name, &hostile), None, "{name} in {hostile}");
            }
        }
    }
}
