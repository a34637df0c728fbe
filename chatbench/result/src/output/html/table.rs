//! The numbers of the report as tables.
//!
//! Invariant: every number has its unit, and a table without a row is not there.

use std::fmt::Display;

use serde::Serialize;
use serde_json::Value;

use super::part;
use crate::escape::{markup, shortened};
use crate::model::{Chaos, Processes, RunResult, Usage};
use crate::output::markdown::observed;
use crate::output::words::said;
use crate::units::{bytes_text, count_text, micros_text};

/// Longer lists are cut.
const MOST_ROWS: usize = 200;

/// A table: the first column is text, the others are numbers.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let head: String = head.iter().map(|cell| format!("<th>{}</th>", markup(cell))).collect();
    let row = |row: &Vec<String>| {
        let cells: String =
            row.iter().map(|cell| format!("<td>{}</td>", markup(&shortened(cell, 1000)))).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let body: String = rows.iter().take(MOST_ROWS).map(row).collect();
    let more = match rows.len().saturating_sub(MOST_ROWS) {
        0 => String::new(),
        more => format!("<p class=\"note\">and {more} more</p>\n"),
    };
    format!(
        "<div class=\"scroll\"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table></div>\n{more}"
    )
}

/// Names and values in two columns.
pub fn pairs(rows: &[(String, String)]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let pair = |(name, value): &(String, String)| {
        format!("<div><dt>{}</dt><dd>{}</dd></div>\n", markup(name), markup(&shortened(value, 1000)))
    };
    format!("<dl>\n{}</dl>\n", rows.iter().take(MOST_ROWS).map(pair).collect::<String>())
}

/// Every time in numbers.
pub fn times(result: &RunResult) -> String {
    let head = ["time", "count", "min", "mean", "p50", "p90", "p99", "p99.9", "max"];
    let rows = result.measured().map(|(name, times)| {
        let us = |us: Option<u64>| us.map_or("-".to_owned(), micros_text);
        let cells = [
            count_text(times.count),
            us(times.min_us),
            us(times.mean_us.map(|us| us as u64)),
            us(times.p50_us),
            us(times.p90_us),
            us(times.p99_us),
            us(times.p999_us),
            us(times.max_us),
        ];
        let cells = cells.map(|cell| format!("<td>{}</td>", markup(&cell))).concat();
        format!("<tr><td title=\"{name}\">{}</td>{cells}</tr>\n", time_words(name))
    });
    let rows: String = rows.collect();
    if rows.is_empty() {
        return rows;
    }
    let head: String = head.iter().map(|cell| format!("<th>{cell}</th>")).collect();
    let censored: u64 = result.measured().map(|(_, times)| times.censored).max().unwrap_or(0);
    let mut text = format!(
        "<div class=\"scroll\"><table class=\"times\">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n"
    );
    if censored > 0 {
        text += &format!(
            "<p class=\"note\">Up to {} samples of a time are lower bounds: what had not come when the wait for it ended \
             counts as come then.</p>\n",
            count_text(censored)
        );
    }
    text
}

/// `response time`, and what has an explanation of its own as it is.
fn time_words(name: &str) -> String {
    let said = said(name);
    if said.contains('(') || said.ends_with("time") { said.to_owned() } else { format!("{said} time") }
}

/// The conditions of the operator.
pub fn thresholds(result: &RunResult) -> String {
    let rows = result.thresholds.iter().map(|threshold| {
        let (tone, word) = if threshold.ok { ("good", "holds") } else { ("bad", "failed") };
        format!(
            "<tr><td><code>{}</code></td><td>{}</td><td><strong class=\"badge {tone}\">{word}</strong></td></tr>\n",
            markup(&shortened(&threshold.expression, 300)),
            markup(&observed(threshold))
        )
    });
    let rows: String = rows.take(MOST_ROWS).collect();
    if rows.is_empty() {
        return rows;
    }
    let head = "<th>condition</th><th>found</th><th></th>";
    let table = format!(
        "<div class=\"scroll\"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n"
    );
    part("Thresholds", &table)
}

/// How the connections fared, with what was done to them.
pub fn connections(result: &RunResult) -> String {
    let connections = result.connections.as_ref();
    if connections.is_some_and(|connections| connections.wanted == 0) {
        return String::new();
    }
    let mut rows = Vec::new();
    if let Some(connections) = connections {
        let (connected, wanted) = (u64::from(connections.connected), u64::from(connections.wanted));
        rows.push(("connected".to_owned(), format!("{} of {}", count_text(connected), count_text(wanted))));
        let time = micros_text((connections.opening_ms * 1e3) as u64);
        rows.push(("opened in".to_owned(), format!("{time}, {:.1}/s", connections.opened_per_s)));
        rows.extend(by_name("failed:", &connections.failed));
        rows.extend(by_name("closed by the server with code", &connections.closed_by_server));
        let unanswered = count_text(connections.unanswered_closes);
        rows.push(("closes without an answer".to_owned(), unanswered));
    }
    rows.extend(result.chaos.iter().flat_map(troubled));
    part("Connections", &pairs(&rows))
}

fn troubled(chaos: &Chaos) -> Vec<(String, String)> {
    let slow = chaos.slow_readers.as_ref();
    let told = [
        (Some(chaos.cuts), "connections cut on purpose"),
        (Some(chaos.reconnects), "ways back"),
        (Some(chaos.recovered), "deliveries that recovery brought"),
        (Some(chaos.gaps), "recoveries the server called incomplete"),
        (Some(chaos.absent), "clients absent at the end"),
        (slow.map(|slow| slow.clients), "clients that stopped reading"),
        (slow.map(|slow| slow.kept), "of these kept"),
    ];
    let counts = told.into_iter().filter_map(|(count, name)| Some((name.to_owned(), count_text(count?))));
    let failed = by_name("way back failed:", &chaos.failed_attempts);
    let closed = slow.into_iter().flat_map(|slow| by_name("of these closed with code", &slow.closed));
    counts.chain(failed).chain(closed).collect()
}

fn by_name<'a>(
    what: &'a str,
    counts: impl IntoIterator<Item = (&'a (impl Display + 'a), &'a u64)>,
) -> Vec<(String, String)> {
    counts.into_iter().map(|(name, count)| (format!("{what} {name}"), count_text(*count))).collect()
}

/// CPU and memory of the processes.
pub fn costs(result: &RunResult) -> String {
    let rows = result.processes.as_ref().map_or_else(Vec::new, usages);
    let mut per = Vec::new();
    if let Some(processes) = &result.processes {
        let us = [
            (processes.server_cpu_us_per_delivery, "server CPU per delivery"),
            (processes.generator_cpu_us_per_delivery, "generator CPU per delivery"),
        ];
        for (us, name) in us {
            per.extend(us.map(|us| (name.to_owned(), format!("{us:.2} µs"))));
        }
    }
    if let Some(idle) = &result.idle {
        per.push(("held for".to_owned(), micros_text(idle.held_ms.saturating_mul(1000))));
        let bytes = [
            (idle.server_bytes_per_connection, "server memory per connection"),
            (idle.generator_bytes_per_client, "generator memory per client"),
        ];
        for (bytes, name) in bytes {
            per.extend(bytes.map(|bytes| (name.to_owned(), bytes_text(bytes))));
        }
    }
    let head = ["process", "CPU", "of a core", "memory before", "connected", "after"];
    part("Costs", &[table(&head, &rows), pairs(&per)].concat())
}

fn usages(processes: &Processes) -> Vec<Vec<String>> {
    let servers = processes.servers.iter().map(|server| (server_name(server), server));
    let all = servers.chain([("generator".to_owned(), &processes.generator)]);
    all.map(|(name, usage)| {
        vec![
            name,
            micros_text(usage.cpu_us),
            usage.cpu_percent.map_or("-".to_owned(), |percent| format!("{percent:.1} %")),
            bytes_text(usage.rss_before_bytes as f64),
            bytes_text(usage.rss_connected_bytes as f64),
            bytes_text(usage.rss_after_bytes as f64),
        ]
    })
    .collect()
}

fn server_name(server: &Usage) -> String {
    match (&server.server, server.pid) {
        (Some(address), _) => format!("server {address}, as it says"),
        (None, Some(pid)) => format!("server, process {pid}"),
        (None, None) => "server".to_owned(),
    }
}

/// Environment and options as they took effect.
pub fn settings(result: &RunResult) -> String {
    let mut content = String::new();
    let parts = [("Environment", flatten(&result.environment)), ("Settings", flatten(&result.options))];
    for (heading, rows) in parts.into_iter().filter(|(_, rows)| !rows.is_empty()) {
        content += &format!("<h3>{heading}</h3>\n{}", pairs(&rows));
    }
    part("How it was run", &content)
}

/// The members of a part of the result, with what its names say of their units behind the values.
pub fn flatten(part: &impl Serialize) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    add("", &serde_json::to_value(part).unwrap_or_default(), &mut rows);
    rows
}

fn add(name: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            for (member, value) in members {
                add(member, value, rows);
            }
        }
        Value::Null => {}
        Value::Array(items) if items.is_empty() => {}
        other if !name.is_empty() => {
            let units =
                [("_ms", " ms"), ("_us", " µs"), ("_bytes", " bytes"), ("_per_s", "/s"), ("_percent", " %")];
            let unit = units.iter().find_map(|(end, unit)| Some((name.strip_suffix(end)?, *unit)));
            let (name, unit) = unit.filter(|_| other.is_number()).unwrap_or((name, ""));
            let value = match other {
                Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
                Value::Bool(true) => "yes".to_owned(),
                Value::Bool(false) => "no".to_owned(),
                other => shown(other),
            };
            rows.push((name.replace('_', " "), format!("{value}{unit}")));
        }
        _ => {}
    }
}

/// A value as a reader sees it: texts without quotes.
fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
