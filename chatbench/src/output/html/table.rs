//! The numbers of the report as tables.
//!
//! Invariant: every number has its unit, and a table without a row is not there.

use serde_json::Value;

use super::part;
use crate::output::dig::{count, list, number, object, shown, text as text_of, times as measured};
use crate::output::markdown::observed;
use chatbench_result::escape::{markup, shortened};
use chatbench_result::output::words::said;
use chatbench_result::units::{bytes_text, count_text, micros_text};

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
pub fn times(result: &Value) -> String {
    let head = ["time", "count", "min", "mean", "p50", "p90", "p99", "p99.9", "max"];
    let rows = measured(result).map(|(name, times)| {
        let us = |member: &str| number(times, member).map_or("-".to_owned(), |us| micros_text(us as u64));
        let counted = count_text(count(times, "/count").unwrap_or(0));
        let cells = ["/min_us", "/mean_us", "/p50_us", "/p90_us", "/p99_us", "/p999_us", "/max_us"].map(us);
        let cells: String =
            std::iter::once(counted).chain(cells).map(|cell| format!("<td>{}</td>", markup(&cell))).collect();
        format!("<tr><td title=\"{name}\">{}</td>{cells}</tr>\n", time_words(name))
    });
    let rows: String = rows.collect();
    if rows.is_empty() {
        return rows;
    }
    let head: String = head.iter().map(|cell| format!("<th>{cell}</th>")).collect();
    let censored: u64 =
        measured(result).filter_map(|(_, times)| count(times, "/censored")).max().unwrap_or(0);
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
pub fn thresholds(result: &Value) -> String {
    let rows = list(result, "/thresholds").iter().map(|threshold| {
        let ok = threshold.get("ok") == Some(&Value::Bool(true));
        let (tone, word) = if ok { ("good", "holds") } else { ("bad", "failed") };
        format!(
            "<tr><td><code>{}</code></td><td>{}</td><td><strong class=\"badge {tone}\">{word}</strong></td></tr>\n",
            markup(&shortened(text_of(threshold, "/expression"), 300)),
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
pub fn connections(result: &Value) -> String {
    let connections = |member: &str| count(result, &format!("/connections/{member}"));
    if connections("wanted") == Some(0) {
        return String::new();
    }
    let mut rows = Vec::new();
    if let (Some(connected), Some(wanted)) = (connections("connected"), connections("wanted")) {
        rows.push(("connected".to_owned(), format!("{} of {}", count_text(connected), count_text(wanted))));
    }
    if let (Some(ms), Some(rate)) =
        (number(result, "/connections/opening_ms"), number(result, "/connections/opened_per_s"))
    {
        rows.push(("opened in".to_owned(), format!("{}, {rate:.1}/s", micros_text((ms * 1e3) as u64))));
    }
    let by_name = |place: &str, what: &str| {
        let counts = object(result, place).into_iter().flatten();
        counts.map(|(name, count)| (format!("{what} {name}"), counted(count))).collect::<Vec<_>>()
    };
    rows.extend(by_name("/connections/failed", "failed:"));
    rows.extend(by_name("/connections/closed_by_server", "closed by the server with code"));
    let told = [
        ("/connections/unanswered_closes", "closes without an answer"),
        ("/chaos/cuts", "connections cut on purpose"),
        ("/chaos/reconnects", "ways back"),
        ("/chaos/recovered", "deliveries that recovery brought"),
        ("/chaos/gaps", "recoveries the server called incomplete"),
        ("/chaos/absent", "clients absent at the end"),
        ("/chaos/slow_readers/clients", "clients that stopped reading"),
        ("/chaos/slow_readers/kept", "of these kept"),
    ];
    for (place, name) in told {
        rows.extend(count(result, place).map(|count| (name.to_owned(), count_text(count))));
    }
    rows.extend(by_name("/chaos/failed_attempts", "way back failed:"));
    rows.extend(by_name("/chaos/slow_readers/closed", "of these closed with code"));
    part("Connections", &pairs(&rows))
}

fn counted(value: &Value) -> String {
    value.as_u64().map_or_else(|| shown(value), count_text)
}

/// CPU and memory of the processes.
pub fn costs(result: &Value) -> String {
    let servers = list(result, "/processes/servers").iter();
    let mut all: Vec<(String, &Value)> = servers.map(|server| (server_name(server), server)).collect();
    all.extend(result.pointer("/processes/generator").map(|usage| ("generator".to_owned(), usage)));
    let rows: Vec<Vec<String>> = all
        .into_iter()
        .map(|(name, usage)| {
            let dash = || "-".to_owned();
            let memory = |member: &str| number(usage, member).map_or_else(dash, bytes_text);
            vec![
                name,
                number(usage, "/cpu_us").map_or_else(dash, |us| micros_text(us as u64)),
                number(usage, "/cpu_percent").map_or_else(dash, |percent| format!("{percent:.1} %")),
                memory("/rss_before_bytes"),
                memory("/rss_connected_bytes"),
                memory("/rss_after_bytes"),
            ]
        })
        .collect();
    let mut per = Vec::new();
    let us = [("server", "server CPU per delivery"), ("generator", "generator CPU per delivery")];
    for (side, name) in us {
        let found = number(result, &format!("/processes/{side}_cpu_us_per_delivery"));
        per.extend(found.map(|us| (name.to_owned(), format!("{us:.2} µs"))));
    }
    per.extend(
        number(result, "/idle/held_ms").map(|ms| ("held for".to_owned(), micros_text((ms * 1e3) as u64))),
    );
    let bytes = [
        ("/idle/server_bytes_per_connection", "server memory per connection"),
        ("/idle/generator_bytes_per_client", "generator memory per client"),
    ];
    for (place, name) in bytes {
        per.extend(number(result, place).map(|bytes| (name.to_owned(), bytes_text(bytes))));
    }
    let head = ["process", "CPU", "of a core", "memory before", "connected", "after"];
    part("Costs", &[table(&head, &rows), pairs(&per)].concat())
}

fn server_name(server: &Value) -> String {
    match (text_of(server, "/server"), count(server, "/pid")) {
        ("", Some(pid)) => format!("server, process {pid}"),
        ("", None) => "server".to_owned(),
        (address, _) => format!("server {address}, as it says"),
    }
}

/// Environment and options as they took effect.
pub fn settings(result: &Value) -> String {
    let mut content = String::new();
    for (heading, place) in [("Environment", "/environment"), ("Settings", "/options")] {
        let mut rows = Vec::new();
        flatten("", result.pointer(place).unwrap_or(&Value::Null), &mut rows);
        if !rows.is_empty() {
            content += &format!("<h3>{heading}</h3>\n{}", pairs(&rows));
        }
    }
    part("How it was run", &content)
}

/// Units stand in the members' names; a reader finds them behind the values.
pub fn flatten(name: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            for (member, value) in members {
                flatten(member, value, rows);
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
