//! What came of a run with red packets, as numbers.
//!
//! Invariant: counts and times are made of the clients' records and the server's books, nothing is counted live.

use std::collections::HashMap;

use chat_protocol::red_packet::{DetailResponse, Outcome};
use chat_protocol::wallet::TransferKind;
use chatbench_result::model::RedPackets;
use hdrhistogram::Histogram;

use crate::clock::micros_between;
use crate::recorder::histogram;
use crate::scenario::redpacket::bank::Books;
use crate::scenario::redpacket::record::{Attempt, Record};

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

/// What a result takes in of a run.
pub trait TakesIn {
    /// Adds what the clients saw; gives the times of their answers.
    fn add_records(&mut self, records: &[Record], start_ns: u64) -> GrabTimes;
    /// Adds one grab.
    fn count(&mut self, attempt: &Attempt, times: &mut GrabTimes);
    /// Adds what the server says, and how long each share took to its wallet.
    fn add_books(&mut self, books: &Books, times: &mut GrabTimes);
}

impl TakesIn for RedPackets {
    fn add_records(&mut self, records: &[Record], start_ns: u64) -> GrabTimes {
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
                self.count(attempt, &mut times);
                if let Some(said) = attempt.said {
                    times.last_answer_ns = times.last_answer_ns.max(attempt.ended_ns);
                    if said.outcome == Outcome::Won {
                        last_win_ns = last_win_ns.max(Some(attempt.ended_ns));
                    }
                }
            }
            for (code, count) in &record.refused {
                *self.refused_by_code.entry(*code).or_default() += count;
            }
            self.given_up += record.given_up;
            self.cuts += record.cuts;
            self.reconnects += record.reconnects;
            if self.first_trouble.is_none() {
                self.first_trouble.clone_from(&record.first_trouble);
            }
        }
        let answered = self.won + self.already + self.empty + self.expired;
        self.to_last_answer_ms = millis_between(start_ns, times.last_answer_ns);
        self.to_last_win_ms = last_win_ns.map(|win_ns| millis_between(start_ns, win_ns));
        self.answered_per_s = tenths(answered as f64 / (self.to_last_answer_ms / 1e3).max(1e-3));
        times
    }

    fn count(&mut self, attempt: &Attempt, times: &mut GrabTimes) {
        self.grabs += 1;
        let us = micros_between(attempt.intended_ns, attempt.ended_ns).max(1);
        match attempt.said.map(|said| said.outcome) {
            Some(Outcome::Won) => {
                self.won += 1;
                times.won.saturating_record(us);
            }
            Some(Outcome::Already) => {
                self.already += 1;
                times.already.saturating_record(us);
            }
            Some(Outcome::Empty) => {
                self.empty += 1;
                times.empty.saturating_record(us);
            }
            Some(Outcome::Expired) => self.expired += 1,
            None => self.unanswered += 1,
        }
    }

    fn add_books(&mut self, books: &Books, times: &mut GrabTimes) {
        let sum = |of: fn(&DetailResponse) -> u64| Some(books.details.iter().map(of).sum());
        self.grabbed_cents = sum(|detail| detail.grabbed);
        self.refunded_cents = sum(|detail| detail.refunded);
        self.open_cents = sum(|detail| detail.open);
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
}

/// Milliseconds, with one digit behind the point.
pub fn millis_between(start_ns: u64, end_ns: u64) -> f64 {
    tenths(micros_between(start_ns, end_ns) as f64 / 1e3)
}

/// A number with one digit behind the point.
fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
