//! The course of a run as a table of comma-separated values, as RFC 4180 has them.
//!
//! Invariant: every row has as many fields as the head, and what was not measured is an empty field.

use serde_json::Value;

use super::dig::{count, is_partial, list, text as text_of};
use super::findings::Findings;

/// Members of a point, in the order of the columns.
const OWN: [&str; 13] = [
    "t_ms",
    "phase",
    "clients",
    "offered",
    "sent",
    "accepted",
    "delivered",
    "response_p50_us",
    "response_p99_us",
    "response_max_us",
    "generator_cpu_percent",
    "generator_rss_kib",
    "generator_delay_max_us",
];
/// Members of each server in a point.
const SERVER: [&str; 6] = ["pid", "server", "cpu_percent", "rss_kib", "files", "sockets_kib"];
/// Members beside them, by their place.
const BESIDE: [&str; 8] = [
    "redis/commands",
    "redis/clients",
    "redis/used_memory_kib",
    "redis/cpu_percent",
    "host/tcp_sockets",
    "host/tcp_memory_kib",
    "host/slab_kib",
    "host/socket_objects_kib",
];
/// More than anyone watches; a file that names more is not asked for the rest.
const MOST_SERVERS: usize = 64;

/// The whole file: a head, and a row for each interval of each result.
pub fn text(findings: &Findings) -> String {
    let results = findings.results.iter();
    let points = results.clone().flat_map(|result| list(result, "/series/points"));
    let servers = points.map(|point| list(point, "/servers").len()).max().unwrap_or(0).min(MOST_SERVERS);
    let mut text = row(head(servers).iter().map(String::as_str));
    for result in results {
        let started = count(result, "/started_unix_ms").map_or(String::new(), |ms| ms.to_string());
        let run = [text_of(result, "/run"), text_of(result, "/scenario")].map(str::to_owned);
        let run = run.into_iter().chain([started, is_partial(result).to_string()]);
        for point in list(result, "/series/points") {
            text += &row(run.clone().chain(fields(point, servers)));
        }
    }
    text
}

fn head(servers: usize) -> Vec<String> {
    let servers = (1..=servers).flat_map(|number| SERVER.map(|name| format!("server{number}_{name}")));
    let run = ["run", "scenario", "started_unix_ms", "partial"];
    let own = run.iter().chain(&OWN).map(|name| (*name).to_owned());
    own.chain(servers).chain(BESIDE.map(|name| name.replace('/', "_"))).collect()
}

fn fields(point: &Value, servers: usize) -> impl Iterator<Item = String> {
    let field = |value: Option<&Value>| value.map_or(String::new(), plain);
    let own = OWN.iter().map(move |name| field(point.get(*name)));
    let of_servers = (0..servers).flat_map(move |at| {
        let server = list(point, "/servers").get(at);
        SERVER.map(|name| field(server.and_then(|server| server.get(name))))
    });
    own.chain(of_servers).chain(BESIDE.iter().map(move |place| field(point.pointer(&format!("/{place}")))))
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn row(fields: impl Iterator<Item = impl AsRef<str>>) -> String {
    let fields: Vec<String> = fields.map(|field| quoted(field.as_ref())).collect();
    fields.join(",") + "\r\n"
}

fn quoted(field: &str) -> String {
    // A spreadsheet takes what begins so for a formula; no number of ours does, for none is negative.
    let field = if field.starts_with(['=', '+', '-', '@']) { format!("'{field}") } else { field.to_owned() };
    if field.contains([',', '"', '\r', '\n']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
}
