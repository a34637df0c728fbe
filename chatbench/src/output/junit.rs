//! Findings as JUnit XML, as build servers read it.
//!
//! Invariant: the file is well-formed whatever the names are, and every failure says what was expected and what was found.

use std::fmt::Write;

use serde_json::Value;

use super::dig::{count, is_partial, length_ms, list, number, reasons, text as text_of, verdict};
use super::findings::Findings;
use super::markdown::{interval_text, observed, sides_text};
use super::promises::promises;
use chatbench_result::escape::markup;

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
pub fn text(findings: &Findings) -> String {
    let results = findings.results.iter().map(|result| {
        let name = format!("chatbench {} {}", text_of(result, "/scenario"), text_of(result, "/run"));
        let started = count(result, "/started_unix_ms");
        suite(&name, started, length_ms(result), &cases(result))
    });
    let comparison = findings.comparison.iter().map(|comparison| {
        let name = format!("chatbench comparison of {}", text_of(comparison, "/scenario"));
        suite(&name, None, 0, &list(comparison, "/metrics").iter().map(compared).collect::<Vec<_>>())
    });
    let suites: String = results.chain(comparison).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"chatbench\">\n{suites}</testsuites>\n"
    )
}

fn cases(result: &Value) -> Vec<Case> {
    let valid = result.get("valid") == Some(&Value::Bool(true));
    let why = || {
        let words = verdict(result).map_or("unknown", |verdict| verdict.text());
        std::iter::once(words).chain(reasons(result)).collect::<Vec<_>>().join("; ")
    };
    let run = |name: &str, ok: bool, expected: &str| {
        let end = if ok { End::Passed } else { End::Failed { expected: expected.to_owned(), found: why() } };
        Case { class: "chatbench.run", name: name.to_owned(), end }
    };
    let mut cases = vec![
        run("the run is a measurement", valid, "a run that is valid"),
        run("the run came to its end", !is_partial(result), "a run that was not interrupted"),
    ];
    cases.extend(promises(result).into_iter().map(|promise| {
        let end = match promise.found {
            0 => End::Passed,
            found => End::Failed { expected: format!("0 {}", promise.what), found: format!("{found}") },
        };
        Case { class: "chatbench.ledger", name: promise.name.to_owned(), end }
    }));
    cases.extend(list(result, "/thresholds").iter().map(|threshold| {
        let expression = text_of(threshold, "/expression").to_owned();
        let end = if threshold.get("ok") == Some(&Value::Bool(true)) {
            End::Passed
        } else {
            End::Failed { expected: expression.clone(), found: observed(threshold) }
        };
        Case { class: "chatbench.threshold", name: expression, end }
    }));
    cases
}

fn compared(metric: &Value) -> Case {
    let reason = text_of(metric, "/reason");
    let end = match text_of(metric, "/verdict") {
        "unchanged" | "improved" => End::Passed,
        "regressed" => {
            let effect = number(metric, "/min_effect").unwrap_or(0.0) * 100.0;
            let ([base, head], interval) = (sides_text(metric), interval_text(metric));
            End::Failed {
                expected: format!("a change for the worse of less than {effect:.1} %"),
                found: format!("{head} against {base}, {reason} ({interval})"),
            }
        }
        other => End::Skipped(format!("{other}: {reason}")),
    };
    Case { class: "chatbench.comparison", name: text_of(metric, "/metric").to_owned(), end }
}

fn suite(name: &str, started_ms: Option<u64>, length_ms: u64, cases: &[Case]) -> String {
    let failures = cases.iter().filter(|case| matches!(case.end, End::Failed { .. })).count();
    let skipped = cases.iter().filter(|case| matches!(case.end, End::Skipped(_))).count();
    let timestamp = started_ms.map_or(String::new(), |ms| {
        format!(" timestamp=\"{}\"", chatbench_result::moment::utc(ms).trim_end_matches('Z'))
    });
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
