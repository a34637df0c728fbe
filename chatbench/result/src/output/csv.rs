//! The course of a run as a table of comma-separated values, as RFC 4180 has them.
//!
//! Invariant: every row has as many fields as the head, and what was not measured is an empty field.

use super::findings::Findings;
use crate::model::{Point, Series, ServerPoint};

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
/// Members beside them.
const BESIDE: [&str; 8] = [
    "redis_commands",
    "redis_clients",
    "redis_used_memory_kib",
    "redis_cpu_percent",
    "host_tcp_sockets",
    "host_tcp_memory_kib",
    "host_slab_kib",
    "host_socket_objects_kib",
];
/// More than anyone watches; a file that names more is not asked for the rest.
const MOST_SERVERS: usize = 64;

/// The whole file: a head, and a row for each interval of each result.
#[must_use]
pub fn text(findings: &Findings) -> String {
    let points = findings.results.iter().filter_map(|result| result.series.as_ref()).flat_map(of);
    let servers = points.map(|point| point.servers.len()).max().unwrap_or(0).min(MOST_SERVERS);
    let mut text = row(head(servers).iter().map(String::as_str));
    for result in &findings.results {
        let run = [
            result.run.clone(),
            result.scenario.clone(),
            result.started_unix_ms.to_string(),
            result.partial.to_string(),
        ];
        for point in result.series.iter().flat_map(of) {
            text += &row(run.iter().cloned().chain(fields(point, servers)));
        }
    }
    text
}

fn of(series: &Series) -> &[Point] {
    &series.points
}

fn head(servers: usize) -> Vec<String> {
    let servers = (1..=servers).flat_map(|number| SERVER.map(|name| format!("server{number}_{name}")));
    let run = ["run", "scenario", "started_unix_ms", "partial"];
    let own = run.iter().chain(&OWN).map(|name| (*name).to_owned());
    own.chain(servers).chain(BESIDE.map(str::to_owned)).collect()
}

/// As [`head`] names them.
fn fields(point: &Point, servers: usize) -> Vec<String> {
    let mut fields = vec![
        point.t_ms.to_string(),
        point.phase.clone(),
        point.clients.to_string(),
        field(point.offered),
        point.sent.to_string(),
        point.accepted.to_string(),
        point.delivered.to_string(),
        field(point.response_p50_us),
        field(point.response_p99_us),
        field(point.response_max_us),
        number(point.generator_cpu_percent),
        field(point.generator_rss_kib),
        point.generator_delay_max_us.to_string(),
    ];
    fields.extend((0..servers).flat_map(|at| server(point.servers.get(at))));
    let (redis, host) = (point.redis, point.host);
    fields.extend([
        field(redis.map(|redis| redis.commands)),
        field(redis.map(|redis| redis.clients)),
        field(redis.map(|redis| redis.used_memory_kib)),
        number(redis.and_then(|redis| redis.cpu_percent)),
        host.tcp_sockets.to_string(),
        host.tcp_memory_kib.to_string(),
        host.slab_kib.to_string(),
        field(host.socket_objects_kib),
    ]);
    fields
}

fn server(server: Option<&ServerPoint>) -> [String; 6] {
    server.map_or_else(Default::default, |server| {
        [
            field(server.pid),
            field(server.server.as_ref()),
            number(server.cpu_percent),
            field(server.rss_kib),
            field(server.files),
            field(server.sockets_kib),
        ]
    })
}

fn field(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// As JSON has it: with a digit behind the point.
fn number(value: Option<f64>) -> String {
    field(value.map(serde_json::Value::from))
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
