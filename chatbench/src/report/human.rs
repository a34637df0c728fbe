//! The result as text for a person.
//!
//! Invariant: the verdict with its reasons comes first and the response times after it; every number has its unit, columns
//! are aligned, and no sentence is wider than [`WIDTH`](crate::output::fold::WIDTH).

use std::fmt::Write;

use unicode_width::UnicodeWidthStr;

use crate::ledger::Line;
use crate::ledger::paths::Path;
use crate::output::beside::{Beside, beside};
use crate::output::fold::folded;
use crate::report::books::{Books, Rates};
use crate::report::chaos::ChaosReport;
use crate::report::processes::{Processes, Usage};
use crate::report::result::Report;
use crate::report::times::TimeSummary;
use crate::scenario::redpacket::outcome::RedPackets;
use crate::units::{bytes_text, count_text, micros_text};

/// Columns before the text of a line.
const NAMES: usize = 13;

/// Times as they are shown, what matters most first.
const ORDER: [&str; 6] =
    ["e2e_time", "ack_time", "page_time", "grab_won_time", "settlement_time", "service_time"];

/// Picks one count of a line of the ledger.
type Count = fn(&Line) -> u64;

/// The whole text.
pub fn text(report: &Report) -> String {
    let mut out = verdict(report);
    head(&mut out, report);
    times(&mut out, &report.times());
    if let Some(books) = &report.ledger {
        ledger(&mut out, books);
    }
    // The connections stand above, the books tell of themselves.
    let told = |one: &Beside| ["/connections", "/ledger"].iter().any(|place| one.place.starts_with(place));
    let more = beside(&serde_json::to_value(report).unwrap_or_default());
    for (position, one) in more.iter().filter(|one| !told(one)).enumerate() {
        let name = if position == 0 { "also" } else { "" };
        line(&mut out, name, &format!("{} {}", count_text(one.found), one.what));
    }
    for (position, text) in report.chaos.iter().flat_map(ChaosReport::lines).enumerate() {
        line(&mut out, if position == 0 { "chaos" } else { "" }, &text);
    }
    if let Some(pages) = &report.history {
        line(&mut out, "history", &pages.text());
    }
    for (position, text) in report.red_packets.iter().flat_map(RedPackets::lines).enumerate() {
        line(&mut out, if position == 0 { "red packets" } else { "" }, &text);
    }
    if let Some(rates) = &report.rates {
        line(&mut out, "rates", &rates_text(rates));
    }
    if let Some(processes) = &report.processes {
        costs(&mut out, processes);
    }
    if let Some(idle) = &report.idle {
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
    if let Some(drift) = &report.drift {
        line(&mut out, "drift", &drift.text());
    }
    if let Some(floor) = &report.floor {
        let ratios: Vec<String> =
            floor.server_to_floor.iter().map(|(name, ratio)| format!("{name} {ratio:.2}")).collect();
        line(&mut out, "floor", &format!("times that of a bare relay: {}", ratios.join(", ")));
    }
    for judged in &report.thresholds {
        line(&mut out, "threshold", &format!("{} {}", if judged.ok { "ok  " } else { "FAIL" }, judged.words));
    }
    out
}

/// The verdict and its reasons.
pub fn verdict(report: &Report) -> String {
    let verdict = report.judgement.verdict;
    let partial = if report.partial { " (partial)" } else { "" };
    let mut out = String::new();
    line(&mut out, "verdict", &format!("{}{partial} (exit {})", verdict.text(), verdict.exit_code()));
    for reason in &report.judgement.reasons {
        line(&mut out, "", reason);
    }
    out
}

/// One line, or as many as its words need.
fn line(out: &mut String, name: &str, text: &str) {
    out.push_str(&folded(&format!("{name:<NAMES$}"), NAMES, text));
}

fn head(out: &mut String, report: &Report) {
    let environment = &report.environment;
    line(
        out,
        "scenario",
        &format!("{} at {}, app {}", report.scenario, environment.server, report.options.app),
    );
    let connections = &report.connections;
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
    if !environment.optimised_build {
        line(
            out,
            "note",
            "this chatbench was built without optimisation; its times are those of the generator",
        );
    }
}

fn times(out: &mut String, times: &[(&'static str, TimeSummary)]) {
    let text = |us: Option<u64>| us.map(micros_text).unwrap_or_default();
    let mut shown: Vec<_> = times.iter().filter(|(_, summary)| summary.count > 0).collect();
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
