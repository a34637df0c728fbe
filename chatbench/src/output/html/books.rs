//! The ledger: what was sent, what should have come and what came; and what every server promises.
//!
//! Invariant: warm-up and measured part stand side by side, so both sums can be checked by eye.

use serde_json::Value;

use super::part;
use super::table::{pairs, table};
use crate::output::dig::{count, list, object, text as text_of};
use crate::output::promises::promises;
use chatbench_result::escape::markup;
use chatbench_result::units::count_text;

/// Counts of both parts, in the order of their sums.
const LINES: [(&str, &str); 12] = [
    ("sent", "messages sent"),
    ("answered", "answered"),
    ("accepted", "accepted"),
    ("refused", "refused"),
    ("unanswered", "unanswered"),
    ("expected", "deliveries expected"),
    ("delivered", "delivered"),
    ("lost", "lost"),
    ("disconnected", "lost with a connection the server closed"),
    ("duplicated", "duplicated"),
    ("reordered", "out of order"),
    ("late", "late"),
];

/// The section.
pub fn section(result: &Value) -> String {
    let content = [kept(result), lines(result), beside(result), paths(result), history(result)].concat();
    part("Delivery ledger", &content)
}

fn kept(result: &Value) -> String {
    let item = |promise: crate::output::promises::Promise| {
        let (tone, sign) = if promise.found == 0 { ("good", "✓") } else { ("bad", "✗") };
        format!(
            "<li class=\"{tone}\" title=\"{}\"><b>{sign}</b> {} {}</li>\n",
            markup(promise.what),
            markup(promise.name),
            count_text(promise.found)
        )
    };
    let items: String = promises(result).into_iter().map(item).collect();
    if items.is_empty() { items } else { format!("<ul class=\"promises\">\n{items}</ul>\n") }
}

fn lines(result: &Value) -> String {
    let Some(ledger) = object(result, "/ledger") else { return String::new() };
    let part = |part: &str, name: &str| ledger.get(part).and_then(|line| count(line, &format!("/{name}")));
    let text = |count: Option<u64>| count.map_or("-".to_owned(), count_text);
    let rows = LINES.iter().map(|(name, said)| {
        vec![(*said).to_owned(), text(part("warmup", name)), text(part("measured", name))]
    });
    let sum = "<p class=\"note\">expected = delivered + lost + lost with a connection; sent = answered + unanswered; \
               answered = accepted + refused</p>\n";
    table(&["", "warm-up", "measured"], &rows.collect::<Vec<_>>()) + sum
}

fn beside(result: &Value) -> String {
    let told = [
        ("unexpected", "deliveries of messages that were not accepted"),
        ("foreign", "messages that are not of this run"),
        ("epoch_changes", "new histories of conversations"),
        ("waited_for_window", "messages that waited for the window"),
    ];
    let counts = told.iter().filter_map(|(name, said)| {
        let count = count(result, &format!("/ledger/{name}")).filter(|count| *count > 0)?;
        Some(((*said).to_owned(), count_text(count)))
    });
    let mut rows: Vec<(String, String)> = counts.collect();
    for (code, count) in object(result, "/ledger/refused_by_code").into_iter().flatten() {
        rows.push((format!("refused with code {code}"), count_text(count.as_u64().unwrap_or(0))));
    }
    let first = text_of(result, "/ledger/first_refusal");
    if !first.is_empty() {
        rows.push(("the first refusal".to_owned(), first.to_owned()));
    }
    pairs(&rows)
}

fn paths(result: &Value) -> String {
    let troubled = |path: &&Value| {
        ["/lost", "/duplicated", "/reordered"].iter().any(|member| count(path, member).unwrap_or(0) > 0)
    };
    let rows = list(result, "/ledger/paths/worst").iter().filter(troubled).map(|path| {
        let members = ["/sender", "/receiver", "/expected", "/lost", "/duplicated", "/reordered", "/late"];
        let counts = members.map(|member| count(path, member).map_or("-".to_owned(), count_text));
        std::iter::once(text_of(path, "/conversation").to_owned()).chain(counts).collect()
    });
    let head = ["worst ways", "sender", "client", "expected", "lost", "duplicated", "out of order", "late"];
    table(&head, &rows.collect::<Vec<Vec<String>>>())
}

fn history(result: &Value) -> String {
    let Some(history) = object(result, "/history") else { return String::new() };
    let said = [
        ("readers", "readers"),
        ("written", "messages written meanwhile"),
        ("walks_backward", "walks backward"),
        ("walks_forward", "walks forward"),
        ("pages", "pages"),
        ("messages", "messages read"),
    ];
    let counts = said
        .iter()
        .filter_map(|(name, said)| Some(((*said).to_owned(), count_text(history.get(*name)?.as_u64()?))));
    let mut rows: Vec<(String, String)> = counts.collect();
    for (cause, count) in object(result, "/history/failed").into_iter().flatten() {
        rows.push((format!("failed: {cause}"), count_text(count.as_u64().unwrap_or(0))));
    }
    pairs(&rows)
}
