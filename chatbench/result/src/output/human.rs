//! The result as text for a person.
//!
//! Invariant: the verdict with its reasons comes first and the response times after it; every number has its unit, columns
//! are aligned, and no sentence is wider than [`WIDTH`](crate::fold::WIDTH).

use std::fmt::Write;

use unicode_width::UnicodeWidthStr;

use super::beside::{Of, beside};
use super::words;
use crate::fold::folded;
use crate::model::{
    Books, Connections, Environment, Line, Path, Processes, Rates, RunResult, TimeSummary, Usage,
};
use crate::units::{bytes_text, count_text, micros_text};
use crate::verdict::Verdict;

/// Columns before the text of a line.
const NAMES: usize = 13;

/// Times as they are shown, what matters most first.
const ORDER: [&str; 6] =
    ["e2e_time", "ack_time", "page_time", "grab_won_time", "settlement_time", "service_time"];

/// Picks one count of a line of the ledger.
type Count = fn(&Line) -> u64;

/// The whole text.
#[must_use]
pub fn text(result: &RunResult) -> String {
    let mut out = verdict(result);
    head(&mut out, result);
    times(&mut out, result);
    if let Some(books) = &result.ledger {
        ledger(&mut out, books);
    }
    // The connections stand above, the books tell of themselves.
    let more = beside(result).into_iter().filter(|one| !matches!(one.of, Of::Connections | Of::Ledger));
    lines(&mut out, "also", more.map(|one| format!("{} {}", count_text(one.found), one.what)));
    lines(&mut out, "chaos", result.chaos.iter().flat_map(words::chaos));
    lines(&mut out, "history", result.history.iter().map(words::pages));
    lines(&mut out, "red packets", result.red_packets.iter().flat_map(words::red_packets));
    lines(&mut out, "rates", result.rates.iter().map(rates_text));
    if let Some(processes) = &result.processes {
        costs(&mut out, processes);
    }
    if let Some(idle) = &result.idle {
        let per = |bytes: Option<f64>| bytes.map_or("not measured".to_owned(), bytes_text);
        line(&mut out, "held", &format!("{:.1} s", idle.held_ms as f64 / 1e3));
        line(
            &mut out,
            "memory",
            &format!(
                "generator {} per client, server {} per connection",
                per(idle.generator_bytes_per_client),
                per(idle.server_bytes_per_connection)
            ),
        );
    }
    lines(&mut out, "drift", result.drift.iter().map(words::drift));
    if let Some(floor) = &result.floor {
        let ratios: Vec<String> =
            floor.server_to_floor.iter().map(|(name, ratio)| format!("{name} {ratio:.2}")).collect();
        line(&mut out, "floor", &format!("times that of a bare relay: {}", ratios.join(", ")));
    }
    for judged in &result.thresholds {
        line(
            &mut out,
            "threshold",
            &format!("{} {}", if judged.ok { "ok  " } else { "FAIL" }, judged.words()),
        );
    }
    out
}

/// The verdict and its reasons.
#[must_use]
pub fn verdict(result: &RunResult) -> String {
    let words = result.verdict.map_or("unknown", Verdict::text);
    let partial = if result.partial { " (partial)" } else { "" };
    let mut out = String::new();
    line(&mut out, "verdict", &format!("{words}{partial} (exit {})", result.exit_code));
    for reason in &result.reasons {
        line(&mut out, "", reason);
    }
    out
}

/// Sentences of which only the first has the name.
fn lines(out: &mut String, name: &str, sentences: impl Iterator<Item = String>) {
    for (position, sentence) in sentences.enumerate() {
        line(out, if position == 0 { name } else { "" }, &sentence);
    }
}

/// One line, or as many as its words need.
fn line(out: &mut String, name: &str, text: &str) {
    out.push_str(&folded(&format!("{name:<NAMES$}"), NAMES, text));
}

fn head(out: &mut String, result: &RunResult) {
    if let (Some(environment), Some(options)) = (&result.environment, &result.options) {
        let place = format!("{} at {}, app {}", result.scenario, environment.server, options.app);
        line(out, "scenario", &place);
    }
    if let Some(connections) = &result.connections {
        came_in(out, connections);
    }
    if result.environment.as_ref().is_some_and(|Environment { optimised_build, .. }| !optimised_build) {
        line(
            out,
            "note",
            "this chatbench was built without optimisation; its times are those of the generator",
        );
    }
}

fn came_in(out: &mut String, connections: &Connections) {
    line(
        out,
        "connections",
        &format!(
            "{} of {} in {:.2} s ({:.0}/s)",
            count_text(u64::from(connections.connected)),
            count_text(u64::from(connections.wanted)),
            connections.opening_ms / 1e3,
            connections.opened_per_s
        ),
    );
    for (cause, count) in &connections.failed {
        line(out, "", &format!("{} failed: {cause}", count_text(*count)));
    }
    if !connections.closed_by_server.is_empty() {
        line(out, "", &connections.closed_text());
    }
    if connections.unanswered_closes > 0 {
        line(out, "", &format!("{} closes got no answer", count_text(connections.unanswered_closes)));
    }
}

fn times(out: &mut String, result: &RunResult) {
    let text = |us: Option<u64>| us.map(micros_text).unwrap_or_default();
    let mut shown: Vec<(&str, &TimeSummary)> = result.measured().collect();
    shown.sort_by_key(|(name, _)| ORDER.iter().position(|first| first == name).unwrap_or(ORDER.len()));
    let head = ["time", "count", "p50", "p90", "p99", "p99.9", "max"].map(str::to_owned);
    let rows = shown.into_iter().map(|(name, summary)| {
        let [p50, p90, p99, p999, max] =
            [summary.p50_us, summary.p90_us, summary.p99_us, summary.p999_us, summary.max_us].map(text);
        [(*name).to_owned(), count_text(summary.count), p50, p90, p99, p999, max]
    });
    let rows: Vec<[String; 7]> = std::iter::once(head).chain(rows).collect();
    let widest = |column: usize| rows.iter().map(|row| row[column].width()).max().unwrap_or(0);
    let widths: [usize; 7] = std::array::from_fn(widest);
    for row in &rows {
        let _ = write!(out, "{:<width$}", row[0], width = widths[0]);
        for (cell, width) in row.iter().zip(widths).skip(1) {
            let _ = write!(out, " {cell:>width$}");
        }
        out.push('\n');
    }
}

fn ledger(out: &mut String, books: &Books) {
    let row = |name: &str, of: Count| {
        format!("{name:<12} {:>14} {:>14}\n", count_text(of(&books.warmup)), count_text(of(&books.measured)))
    };
    let _ = writeln!(out, "{:<12} {:>14} {:>14}", "ledger", "warm-up", "measured");
    let rows: [(&str, Count); 11] = [
        ("sent", |line| line.sent),
        ("accepted", |line| line.accepted),
        ("refused", |line| line.refused),
        ("unanswered", |line| line.unanswered),
        ("expected", |line| line.expected),
        ("delivered", |line| line.delivered),
        ("lost", |line| line.lost),
        ("disconnected", |line| line.disconnected),
        ("duplicated", |line| line.duplicated),
        ("reordered", |line| line.reordered),
        ("late", |line| line.late),
    ];
    // What all the others are measured by is shown also when it is nothing.
    let always = ["sent", "accepted", "expected", "delivered", "lost"];
    for (name, of) in rows {
        if always.contains(&name) || of(&books.warmup) + of(&books.measured) > 0 {
            out.push_str(&row(name, of));
        }
    }
    let rest = [
        ("unexpected deliveries", books.unexpected),
        ("deliveries to the wrong connection", books.stray),
        ("deliveries with another text", books.corrupted),
        ("messages with two numbers", books.misnumbered),
        ("foreign messages", books.foreign),
        ("new histories", books.epoch_changes),
        ("messages waited for the window", books.waited_for_window),
    ];
    for (name, count) in rest.into_iter().filter(|(_, count)| *count > 0) {
        line(out, "", &format!("{} {name}", count_text(count)));
    }
    for path in books.paths.worst.iter().filter(|path| path.lost + path.duplicated + path.reordered > 0) {
        let Path { sender, receiver, expected, lost, duplicated, reordered, .. } = path;
        let faults = format!("{lost} lost, {duplicated} doubled, {reordered} out of order of {expected}");
        line(out, "", &format!("sender {sender} to client {receiver}: {faults}"));
    }
    for (code, count) in &books.refused_by_code {
        line(out, "", &format!("{} refused with code {code}", count_text(*count)));
    }
}

fn rates_text(rates: &Rates) -> String {
    let offered = rates.offered_per_s.map_or(String::new(), |rate| format!("offered {rate:.1}/s, "));
    format!(
        "{offered}sent {:.1}/s, accepted {:.1}/s, {} deliveries/s, generator delay {} at p99",
        rates.sent_per_s,
        rates.accepted_per_s,
        count_text(rates.deliveries_per_s as u64),
        micros_text(rates.generator_delay_p99_us)
    )
}

fn costs(out: &mut String, processes: &Processes) {
    let usage = |usage: &Usage, per: Option<f64>| {
        let per = per.map_or(String::new(), |us| format!(" ({us:.2} µs per delivery)"));
        let share = usage.cpu_percent.map_or(String::new(), |percent| format!(", {percent:.1} % of a core"));
        format!(
            "{} CPU{per}{share}, memory {} → {} → {}",
            micros_text(usage.cpu_us),
            bytes_text(usage.rss_before_bytes as f64),
            bytes_text(usage.rss_connected_bytes as f64),
            bytes_text(usage.rss_after_bytes as f64)
        )
    };
    for server in &processes.servers {
        // Several servers share the deliveries, so the quotient belongs to them together.
        let per = processes.server_cpu_us_per_delivery.filter(|_| processes.servers.len() == 1);
        line(out, "server", &format!("{}: {}", server.name(), usage(server, per)));
    }
    if let (Some(us), true) = (processes.server_cpu_us_per_delivery, processes.servers.len() > 1) {
        line(out, "", &format!("all servers: {us:.2} µs per delivery"));
    }
    line(out, "generator", &usage(&processes.generator, processes.generator_cpu_us_per_delivery));
}
