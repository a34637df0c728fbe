//! What came of a run with red packets, as numbers.
//!
//! Invariant: counts and times are made of the clients' records and the server's books, nothing is counted live.

use std::collections::HashMap;

use chat_protocol::red_packet::{DetailResponse, Outcome};
use chat_protocol::wallet::TransferKind;
use chatbench_result::model::RedPackets;
use hdrhistogram::Histogram;

use crate::clock::micros_between;
use crate::scenario::redpacket::bank::Books;
use crate::scenario::redpacket::record::{Attempt, Record};
use chatbench_result::hdr::histogram;

/// Times of a run, in microseconds.
#[derive(Debug)]
pub struct GrabTimes {
    /// Of answers that won.
    pub won: Histogram<u64>,
    /// Of answers that it was won before.
    pub already: Histogram<u64>,
    /// Of answers that nothing is left.
    pub empty: Histogram<u64>,
    /// From the win to its transfer.
    pub settlement: Histogram<u64>,
    /// When the last answer came; the release without any.
    pub last_answer_ns: u64,
}

/// Adds what the clients saw; gives the times of their answers.
pub fn add_records(result: &mut RedPackets, records: &[Record], start_ns: u64) -> GrabTimes {
    let mut times = GrabTimes {
        won: histogram(),
        already: histogram(),
        empty: histogram(),
        settlement: histogram(),
        last_answer_ns: start_ns,
    };
    let mut last_win_ns = None;
    for record in records {
        for attempt in &record.attempts {
            count(result, attempt, &mut times);
            if let Some(said) = attempt.said {
                times.last_answer_ns = times.last_answer_ns.max(attempt.ended_ns);
                if said.outcome == Outcome::Won {
                    last_win_ns = last_win_ns.max(Some(attempt.ended_ns));
                }
            }
        }
        for (code, count) in &record.refused {
            *result.refused_by_code.entry(*code).or_default() += count;
        }
        result.given_up += record.given_up;
        result.cuts += record.cuts;
        result.reconnects += record.reconnects;
        if result.first_trouble.is_none() {
            result.first_trouble.clone_from(&record.first_trouble);
        }
    }
    let answered = result.won + result.already + result.empty + result.expired;
    result.to_last_answer_ms = millis_between(start_ns, times.last_answer_ns);
    result.to_last_win_ms = last_win_ns.map(|win_ns| millis_between(start_ns, win_ns));
    result.answered_per_s = tenths(answered as f64 / (result.to_last_answer_ms / 1e3).max(1e-3));
    times
}

fn count(result: &mut RedPackets, attempt: &Attempt, times: &mut GrabTimes) {
    result.grabs += 1;
    let us = micros_between(attempt.intended_ns, attempt.ended_ns).max(1);
    match attempt.said.map(|said| said.outcome) {
        Some(Outcome::Won) => {
            result.won += 1;
            times.won.saturating_record(us);
        }
        Some(Outcome::Already) => {
            result.already += 1;
            times.already.saturating_record(us);
        }
        Some(Outcome::Empty) => {
            result.empty += 1;
            times.empty.saturating_record(us);
        }
        Some(Outcome::Expired) => result.expired += 1,
        None => result.unanswered += 1,
    }
}

/// Adds what the server says, and how long each share took to its wallet.
pub fn add_books(result: &mut RedPackets, books: &Books, times: &mut GrabTimes) {
    let sum = |of: fn(&DetailResponse) -> u64| Some(books.details.iter().map(of).sum());
    result.grabbed_cents = sum(|detail| detail.grabbed);
    result.refunded_cents = sum(|detail| detail.refunded);
    result.open_cents = sum(|detail| detail.open);
    let mut settled = HashMap::new();
    for wallet in &books.wallets {
        for transfer in wallet.transfers.iter().filter(|transfer| transfer.kind == TransferKind::Grab) {
            settled.insert((transfer.packet_id.as_ref(), &wallet.user), transfer.time);
        }
    }
    for detail in &books.details {
        for winner in &detail.winners {
            if let Some(time) = settled.get(&(Some(&detail.packet_id), &winner.user_id)) {
                times.settlement.saturating_record((time.saturating_sub(winner.time) * 1000).max(1));
            }
        }
    }
}

/// Milliseconds, with one digit behind the point.
pub fn millis_between(start_ns: u64, end_ns: u64) -> f64 {
    tenths(micros_between(start_ns, end_ns) as f64 / 1e3)
}

/// A number with one digit behind the point.
fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
