//! The report for a reader: one page that loads nothing.
//!
//! Invariant: a part that has nothing to show is not there, and text from outside stays text.
//!
//! | module | holds |
//! |---|---|
//! | `head` | verdict and key numbers |
//! | `scale`, `chart` | axes and lines |
//! | `curve`, `course`, `forest` | by percentile, by time, ratios with their intervals |
//! | `table`, `books`, `packets`, `context` | the numbers |

mod books;
mod chart;
mod context;
mod course;
mod curve;
mod forest;
mod head;
mod packets;
mod scale;
mod table;

use super::findings::Findings;
use super::hgrm::main_time;
use crate::escape::markup;
use crate::model::RunResult;
use crate::units::micros_text;
use crate::verdict::Verdict;

const STYLE: &str = include_str!("style.css");
const HOVER: &str = include_str!("hover.js");

/// The whole page.
#[must_use]
pub fn text(findings: &Findings) -> String {
    let several = findings.results.len() > 1;
    let mut body = String::new();
    if several {
        body += &contents(findings);
    }
    if findings.results.is_empty() {
        body += &format!("<h1>{}</h1>\n", markup(&findings.title()));
    }
    body.extend(findings.comparison.iter().filter(|_| findings.results.len() != 1).map(forest::section));
    for (number, result) in (1..).zip(&findings.results) {
        let mut article = head::text(result) + &sections(result);
        if !several {
            article.extend(findings.comparison.iter().map(forest::section));
        }
        article += &table::settings(result);
        if several {
            // Rounds are many and alike: each is one line until somebody opens it.
            article =
                format!("<details>\n<summary>{}</summary>\n{article}</details>\n", summary(number, result));
        }
        body += &format!("<article id=\"result-{number}\">\n{article}</article>\n");
    }
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n<script>\n{HOVER}</script>\n\
         </body>\n</html>\n",
        markup(&findings.title())
    )
}

fn sections(result: &RunResult) -> String {
    [
        table::thresholds(result),
        context::parts(result),
        curve::section(result),
        course::section(result),
        curve::fan_out(result),
        books::section(result),
        packets::section(result),
        table::connections(result),
        table::costs(result),
        context::sections(result),
    ]
    .concat()
}

/// A round in one line: how it ended, and its main time.
fn summary(number: usize, result: &RunResult) -> String {
    let words = result.verdict.map_or("unknown", Verdict::text);
    let main = result.times.get(main_time(result));
    let time = |name: &str, us: Option<u64>| {
        us.map(|us| format!(", {name} {}", micros_text(us))).unwrap_or_default()
    };
    let p50 = time("p50", main.and_then(|times| times.p50_us));
    let p99 = time("p99", main.and_then(|times| times.p99_us));
    markup(&format!("{number}: {words}{p50}{p99}"))
}

fn contents(findings: &Findings) -> String {
    let items = (1..).zip(&findings.results).map(|(number, result)| {
        let words = result.verdict.map_or("unknown", Verdict::text);
        let (scenario, run) = (markup(&result.scenario), markup(&result.run));
        format!("<li><a href=\"#result-{number}\">{scenario}, run {run}</a>: {words}</li>\n")
    });
    format!("<nav><h1>{}</h1>\n<ol>\n{}</ol></nav>\n", markup(&findings.title()), items.collect::<String>())
}

/// A part of the page with its heading; nothing when it is empty.
fn part(heading: &str, content: &str) -> String {
    if content.is_empty() {
        return String::new();
    }
    format!("<section>\n<h2>{}</h2>\n{content}</section>\n", markup(heading))
}
