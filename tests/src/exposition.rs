//! A strict reader of what `/metrics` answers: the text format 0.0.4 of Prometheus, and OpenMetrics 1.0.
//!
//! Invariant: what a scraper might understand in two ways, or drop, is refused, and so is a name that is not in the
//! manner of Prometheus.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;

use crate::node::Node;
use crate::raw_http::request;

/// Endings that no base unit has.
const OTHER_UNITS: [&str; 10] =
    ["_ms", "_us", "_ns", "_millis", "_milliseconds", "_minutes", "_hours", "_kb", "_mb", "_percent"];
/// Endings that only counters and parts of histograms have.
const RESERVED: [&str; 5] = ["_total", "_bucket", "_sum", "_count", "_created"];

/// A name in the manner of Prometheus.
static NAME: LazyLock<Regex> = LazyLock::new(|| pattern("^(chatd|process)(_[a-z][a-z0-9]*)+$"));
static SAMPLE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"^([a-z_0-9]+)(\{(?:[a-z_]+="[^"\\\n]*",)*[a-z_]+="[^"\\\n]*"\})? (\S+)$"#));
static LABEL: LazyLock<Regex> = LazyLock::new(|| pattern(r#"([a-z_]+)="([^"]*)""#));

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a pattern")
}

/// Form of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Text format 0.0.4.
    Plain,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

/// What a scrape brought.
#[derive(Debug, Default)]
pub struct Exposition {
    /// Kind of each family; the name of a counter ends with `_total` in either form.
    pub families: BTreeMap<String, String>,
    /// By name and labels, as they are written.
    pub samples: BTreeMap<String, f64>,
}

impl Exposition {
    /// The value of a series.
    ///
    /// # Panics
    /// When it is not there.
    #[must_use]
    pub fn of(&self, series: &str) -> f64 {
        let found = self.samples.get(series);
        *found.unwrap_or_else(|| panic!("no {series} among {:#?}", self.samples.keys()))
    }

    /// Whether a series is there.
    #[must_use]
    pub fn has(&self, series: &str) -> bool {
        self.samples.contains_key(series)
    }

    /// By how much a series has risen since an earlier scrape.
    ///
    /// # Panics
    /// When it is not there.
    #[must_use]
    pub fn rise(&self, before: &Exposition, series: &str) -> f64 {
        self.of(series) - before.samples.get(series).copied().unwrap_or(0.0)
    }
}

/// What the node tells now, in the text format 0.0.4.
///
/// # Panics
/// When that is not what it answers.
pub async fn scrape(node: &Node) -> Exposition {
    scrape_with(node, &[]).await
}

/// The same with headers.
///
/// # Panics
/// As [`scrape`].
pub async fn scrape_with(node: &Node, headers: &[(&str, &str)]) -> Exposition {
    let answer = request(node.server(), "GET", "/metrics", headers, &[]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let form = match answer.header("content-type") {
        "text/plain; version=0.0.4; charset=utf-8" => Form::Plain,
        "application/openmetrics-text; version=1.0.0; charset=utf-8" => Form::OpenMetrics,
        other => panic!("{other}"),
    };
    read(&answer.body, form).unwrap_or_else(|why| panic!("{why}\n{}", answer.body))
}

/// Labels of a sample in order.
type Labels = Vec<(String, String)>;

/// The family whose lines are being read.
struct Family {
    name: String,
    kind: String,
    /// Buckets, sum and count of each histogram.
    histograms: BTreeMap<Labels, Parts>,
}

#[derive(Default)]
struct Parts {
    buckets: Vec<(f64, f64)>,
    sum: Option<f64>,
    count: Option<f64>,
}

/// Reads it.
///
/// # Errors
/// The line that is wrong, and why.
pub fn read(text: &str, form: Form) -> Result<Exposition, String> {
    let mut read = Exposition::default();
    let (mut help, mut family) = (None::<String>, None::<Family>);
    let body = match form {
        Form::Plain => text,
        Form::OpenMetrics => text.strip_suffix("# EOF\n").ok_or("the last line is not # EOF")?,
    };
    if !body.ends_with('\n') {
        return Err("the last line does not end".to_owned());
    }
    for line in body.lines() {
        let wrong = |why: &str| format!("{line:?}: {why}");
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, text) = rest.split_once(' ').ok_or_else(|| wrong("no help"))?;
            if help.replace(name.to_owned()).is_some() || !text.ends_with('.') {
                return Err(wrong("no sentence, or one before the type of another family"));
            }
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or_else(|| wrong("no type"))?;
            if help.take().as_deref() != Some(name) {
                return Err(wrong("no help right before it"));
            }
            whole(family.take(), form)?;
            check_name(name, kind, form).map_err(wrong)?;
            let total = if kind == "counter" && form == Form::OpenMetrics { "_total" } else { "" };
            if read.families.insert(format!("{name}{total}"), kind.to_owned()).is_some() {
                return Err(wrong("a second one"));
            }
            family =
                Some(Family { name: name.to_owned(), kind: kind.to_owned(), histograms: BTreeMap::new() });
        } else {
            let family = family.as_mut().filter(|_| help.is_none());
            let family = family.ok_or_else(|| wrong("a sample outside of a family"))?;
            let (series, value) = take(family, line, form).map_err(|why| wrong(&why))?;
            if read.samples.insert(series, value).is_some() {
                return Err(wrong("a second one"));
            }
        }
    }
    whole(family, form)?;
    match help {
        Some(name) => Err(format!("{name} has no type")),
        None => Ok(read),
    }
}

/// Names in the manner of Prometheus.
fn check_name(name: &str, kind: &str, form: Form) -> Result<(), &'static str> {
    if !NAME.is_match(name) {
        return Err("no name of ours");
    }
    if !["counter", "gauge", "histogram"].contains(&kind) {
        return Err("no kind of ours");
    }
    let base = match (kind, form) {
        ("counter", Form::Plain) => name.strip_suffix("_total").ok_or("a counter ends with _total")?,
        _ => name,
    };
    if RESERVED.iter().any(|ending| base.ends_with(ending)) {
        return Err("an ending that is reserved");
    }
    if OTHER_UNITS.iter().any(|ending| base.ends_with(ending)) {
        return Err("no base unit");
    }
    match kind == "histogram" && !base.ends_with("_seconds") && !base.ends_with("_bytes") {
        true => Err("a histogram of no unit"),
        false => Ok(()),
    }
}

/// Takes a sample of the family; gives its series and value.
fn take(family: &mut Family, line: &str, form: Form) -> Result<(String, f64), String> {
    let found = SAMPLE.captures(line).ok_or("no line of the format")?;
    let (name, written) = (&found[1], found.get(2).map_or("", |labels| labels.as_str()));
    let value: f64 = found[3].parse().map_err(|error| format!("{error}"))?;
    if !value.is_finite() || value < 0.0 {
        return Err("no number that can be".to_owned());
    }
    let labels = LABEL.captures_iter(written).map(|pair| (pair[1].to_owned(), pair[2].to_owned()));
    let mut labels: Labels = labels.collect();
    let distinct: BTreeSet<_> = labels.iter().map(|(name, _)| name).collect();
    if distinct.len() < labels.len() {
        return Err("a label twice".to_owned());
    }
    let part = name.strip_prefix(family.name.as_str()).ok_or("of another family")?;
    let total = if form == Form::OpenMetrics { "_total" } else { "" };
    match (family.kind.as_str(), part) {
        ("gauge", "") => {}
        ("counter", part) if part == total => {}
        ("histogram", "_bucket") => {
            let place = labels.iter().position(|(name, _)| name == "le").ok_or("a bucket without le")?;
            let bound = match labels.remove(place).1.as_str() {
                "+Inf" => f64::INFINITY,
                bound => bound.parse().map_err(|error| format!("le: {error}"))?,
            };
            family.histograms.entry(labels).or_default().buckets.push((bound, value));
        }
        ("histogram", "_sum") => family.histograms.entry(labels).or_default().sum = Some(value),
        ("histogram", "_count") => family.histograms.entry(labels).or_default().count = Some(value),
        _ => return Err("not of this family".to_owned()),
    }
    Ok((format!("{name}{written}"), value))
}

/// Whether each histogram of a family is whole.
fn whole(family: Option<Family>, form: Form) -> Result<(), String> {
    let Some(Family { name, kind, histograms }) = family else { return Ok(()) };
    for (labels, Parts { buckets, sum, count }) in histograms {
        let wrong = |why: &str| Err(format!("{form:?}: {kind} {name} {labels:?}: {why}"));
        if sum.is_none() || count.is_none() {
            return wrong("no sum, or no count");
        }
        let grows = |pair: &[(f64, f64)]| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1;
        if !buckets.windows(2).all(grows) {
            return wrong("its buckets are not in order, or not cumulative");
        }
        if buckets.last().map(|(bound, within)| (*bound, Some(*within))) != Some((f64::INFINITY, count)) {
            return wrong("its last bucket is not all there is");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# HELP chatd_a_total All.\n# TYPE chatd_a_total counter\nchatd_a_total{x=\"1\"} 5\n\
                        # HELP chatd_b_seconds Times.\n# TYPE chatd_b_seconds histogram\n\
                        chatd_b_seconds_sum 2.5\nchatd_b_seconds_count 3\nchatd_b_seconds_bucket{le=\"0.1\"} 1\n\
                        chatd_b_seconds_bucket{le=\"+Inf\"} 3\n";

    #[test]
    fn a_good_text_is_read_and_each_fault_is_found() {
        let read_good = read(GOOD, Form::Plain).expect("good");
        assert_eq!(read_good.samples["chatd_a_total{x=\"1\"}"], 5.0);
        assert_eq!(read_good.families["chatd_b_seconds"], "histogram");
        for (from, to) in [
            ("# HELP chatd_a_total All.\n", ""),
            ("All.", "All"),
            ("_a_total counter", "_a_total gauge"),
            ("chatd_a_total", "chatd_a"),
            ("chatd_a_total", "chatd_A_total"),
            ("chatd_a_total", "chatd_a_ms_total"),
            ("chatd_b_seconds", "chatd_b"),
            ("} 5\n", "} -5\n"),
            ("} 5\n", "} NaN\n"),
            ("} 5\n", "}  5\n"),
            ("} 5\n", "} 5\nchatd_a_total{x=\"1\"} 5\n"),
            ("} 5\n", "} 5\nchatd_c 5\n"),
            ("{x=\"1\"}", "{x=\"1\",x=\"2\"}"),
            ("{x=\"1\"}", "{x=\"1\",}"),
            ("_count 3", "_count 4"),
            ("_sum 2.5\n", "_sums 2.5\n"),
            ("{le=\"0.1\"} 1", "{le=\"0.1\"} 4"),
            ("{le=\"0.1\"} 1\n", "{le=\"0.1\"} 1\nchatd_b_seconds_bucket{le=\"0.05\"} 1\n"),
            ("chatd_b_seconds_bucket{le=\"+Inf\"} 3\n", ""),
            ("} 3\n", "} 3"),
            ("} 3\n", "} 3\n# HELP chatd_c More.\n"),
            ("} 3\n", "} 3\n# HELP chatd_a_total All.\n# TYPE chatd_a_total counter\n"),
        ] {
            let bad = GOOD.replace(from, to);
            assert!(bad != GOOD && read(&bad, Form::Plain).is_err(), "{from:?} as {to:?} is read");
        }
        let open = GOOD
            .replace("chatd_a_total All", "chatd_a All")
            .replace("chatd_a_total counter", "chatd_a counter");
        assert!(read(&open, Form::OpenMetrics).is_err(), "no EOF");
        let open = read(&(open + "# EOF\n"), Form::OpenMetrics).expect("good");
        assert_eq!((open.samples, open.families), (read_good.samples, read_good.families));
        assert!(read(&(GOOD.to_owned() + "# EOF\n"), Form::OpenMetrics).is_err());
    }
}
