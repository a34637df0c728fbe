//! The ledger: what was sent, what should have come and what came; and what every server promises.
//!
//! Invariant: warm-up and measured part stand side by side, so both sums can be checked by eye.

use super::part;
use super::table::{pairs, table};
use crate::escape::markup;
use crate::model::{Books, Line, Path, RunResult};
use crate::output::promises::{Promise, promises};
use crate::units::count_text;

/// Picks one count of a line of the ledger.
type Count = fn(&Line) -> u64;

/// Counts of both parts, in the order of their sums.
const LINES: [(Count, &str); 12] = [
    (|line| line.sent, "messages sent"),
    (|line| line.answered, "answered"),
    (|line| line.accepted, "accepted"),
    (|line| line.refused, "refused"),
    (|line| line.unanswered, "unanswered"),
    (|line| line.expected, "deliveries expected"),
    (|line| line.delivered, "delivered"),
    (|line| line.lost, "lost"),
    (|line| line.disconnected, "lost with a connection the server closed"),
    (|line| line.duplicated, "duplicated"),
    (|line| line.reordered, "out of order"),
    (|line| line.late, "late"),
];

/// The section.
pub fn section(result: &RunResult) -> String {
    let mut content = kept(result);
    if let Some(books) = &result.ledger {
        content += &[lines(books), beside(books), paths(books)].concat();
    }
    part("Delivery ledger", &(content + &history(result)))
}

fn kept(result: &RunResult) -> String {
    let item = |promise: Promise| {
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

fn lines(books: &Books) -> String {
    let rows = LINES.iter().map(|(of, said)| {
        vec![(*said).to_owned(), count_text(of(&books.warmup)), count_text(of(&books.measured))]
    });
    let sum = "<p class=\"note\">expected = delivered + lost + lost with a connection; sent = answered + unanswered; \
               answered = accepted + refused</p>\n";
    table(&["", "warm-up", "measured"], &rows.collect::<Vec<_>>()) + sum
}

fn beside(books: &Books) -> String {
    let told = [
        (books.unexpected, "deliveries of messages that were not accepted"),
        (books.foreign, "messages that are not of this run"),
        (books.epoch_changes, "new histories of conversations"),
        (books.waited_for_window, "messages that waited for the window"),
    ];
    let counts = told.into_iter().filter(|(count, _)| *count > 0);
    let mut rows: Vec<(String, String)> =
        counts.map(|(count, said)| (said.to_owned(), count_text(count))).collect();
    for (code, count) in &books.refused_by_code {
        rows.push((format!("refused with code {code}"), count_text(*count)));
    }
    rows.extend(books.first_refusal.iter().map(|first| ("the first refusal".to_owned(), first.clone())));
    pairs(&rows)
}

fn paths(books: &Books) -> String {
    let troubled = books.paths.worst.iter().filter(|path| path.gravity().0 > 0);
    let rows = troubled.map(|path| {
        let Path { conversation, expected, lost, duplicated, reordered, late, .. } = path;
        let ends = [u64::from(path.sender), u64::from(path.receiver)];
        let counts = ends.into_iter().chain([*expected, *lost, *duplicated, *reordered, *late]);
        std::iter::once(conversation.clone()).chain(counts.map(count_text)).collect()
    });
    let head = ["worst ways", "sender", "client", "expected", "lost", "duplicated", "out of order", "late"];
    table(&head, &rows.collect::<Vec<Vec<String>>>())
}

fn history(result: &RunResult) -> String {
    let Some(history) = &result.history else { return String::new() };
    let told = [
        (u64::from(history.readers), "readers"),
        (history.written, "messages written meanwhile"),
        (history.walks_backward, "walks backward"),
        (history.walks_forward, "walks forward"),
        (history.pages, "pages"),
        (history.messages, "messages read"),
    ];
    let mut rows = told.map(|(count, said)| (said.to_owned(), count_text(count))).to_vec();
    for (cause, count) in &history.failed {
        rows.push((format!("failed: {cause}"), count_text(*count)));
    }
    pairs(&rows)
}
