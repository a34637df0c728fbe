//! Findings as JUnit XML, as build servers read it.
//!
//! Invariant: the file is well-formed whatever the names are, and every failure says what was expected and what was found.

use std::fmt::Write;

use super::findings::Findings;
use super::markdown::{interval_text, observed, sides_text};
use super::promises::promises;
use crate::compare::comparison::{Change, MetricChange};
use crate::escape::markup;
use crate::model::RunResult;
use crate::moment;
use crate::verdict::Verdict;

/// One test case.
struct Case {
    class: &'static str,
    name: String,
    end: End,
}

enum End {
    Passed,
    Failed { expected: String, found: String },
    Skipped(String),
}

/// The whole file: a suite for each result and one for the comparison.
#[must_use]
pub fn text(findings: &Findings) -> String {
    let results = findings.results.iter().map(|result| {
        let name = format!("chatbench {} {}", result.scenario, result.run);
        suite(&name, Some(result.started_unix_ms), result.length_ms(), &cases(result))
    });
    let comparison = findings.comparison.iter().map(|comparison| {
        let name = format!("chatbench comparison of {}", comparison.scenario);
        suite(&name, None, 0, &comparison.metrics.iter().map(compared).collect::<Vec<_>>())
    });
    let suites: String = results.chain(comparison).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"chatbench\">\n{suites}</testsuites>\n"
    )
}

fn cases(result: &RunResult) -> Vec<Case> {
    let why = || {
        let words = result.verdict.map_or("unknown", Verdict::text);
        std::iter::once(words).chain(result.reasons.iter().map(String::as_str)).collect::<Vec<_>>().join("; ")
    };
    let run = |name: &str, ok: bool, expected: &str| {
        let end = if ok { End::Passed } else { End::Failed { expected: expected.to_owned(), found: why() } };
        Case { class: "chatbench.run", name: name.to_owned(), end }
    };
    let mut cases = vec![
        run("the run is a measurement", result.valid, "a run that is valid"),
        run("the run came to its end", !result.partial, "a run that was not interrupted"),
    ];
    cases.extend(promises(result).into_iter().map(|promise| {
        let end = match promise.found {
            0 => End::Passed,
            found => End::Failed { expected: format!("0 {}", promise.what), found: format!("{found}") },
        };
        Case { class: "chatbench.ledger", name: promise.name.to_owned(), end }
    }));
    cases.extend(result.thresholds.iter().map(|threshold| {
        let expression = threshold.expression.clone();
        let end = if threshold.ok {
            End::Passed
        } else {
            End::Failed { expected: expression.clone(), found: observed(threshold) }
        };
        Case { class: "chatbench.threshold", name: expression, end }
    }));
    cases
}

fn compared(metric: &MetricChange) -> Case {
    let reason = &metric.reason;
    let end = match metric.verdict {
        Change::Unchanged | Change::Improved => End::Passed,
        Change::Regressed => {
            let ([base, head], interval) = (sides_text(metric), interval_text(metric));
            End::Failed {
                expected: format!("a change for the worse of less than {:.1} %", metric.min_effect * 100.0),
                found: format!("{head} against {base}, {reason} ({interval})"),
            }
        }
        Change::Inconclusive => End::Skipped(format!("{}: {reason}", Change::Inconclusive.text())),
    };
    Case { class: "chatbench.comparison", name: metric.metric.clone(), end }
}

fn suite(name: &str, started_ms: Option<u64>, length_ms: u64, cases: &[Case]) -> String {
    let failures = cases.iter().filter(|case| matches!(case.end, End::Failed { .. })).count();
    let skipped = cases.iter().filter(|case| matches!(case.end, End::Skipped(_))).count();
    let timestamp = started_ms
        .map_or(String::new(), |ms| format!(" timestamp=\"{}\"", moment::utc(ms).trim_end_matches('Z')));
    let mut out = format!(
        "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\"{timestamp} \
         time=\"{:.3}\">\n",
        markup(name),
        cases.len(),
        length_ms as f64 / 1e3
    );
    for case in cases {
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "    <testcase classname=\"{}\" name=\"{}\" time=\"0\"",
            case.class,
            markup(&case.name)
        );
        let _ = match &case.end {
            End::Passed => writeln!(out, "/>"),
            End::Skipped(why) => writeln!(out, "><skipped message=\"{}\"/></testcase>", markup(why)),
            End::Failed { expected, found } => {
                let (expected, found) = (markup(expected), markup(found));
                writeln!(
                    out,
                    "><failure type=\"{}\" message=\"expected {expected}, found {found}\">expected: {expected}\nfound: \
                     {found}</failure></testcase>",
                    case.class
                )
            }
        };
    }
    out + "  </testsuite>\n"
}
