//! What came of a run with red packets, as numbers.
//!
//! Invariant: counts and times are made of the clients' records and the server's books, nothing is counted live.

use std::collections::{BTreeMap, HashMap};

use chat_protocol::red_packet::{DetailResponse, Outcome};
use chat_protocol::wallet::TransferKind;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::clock::micros_between;
use crate::recorder::histogram;
use crate::scenario::redpacket::bank::Books;
use crate::scenario::redpacket::fairness::Fairness;
use crate::scenario::redpacket::record::{Attempt, Record};
use crate::scenario::redpacket::truth::Discrepancy;
use crate::units::{count_text, micros_text};

/// Result of `redpacket`. Amounts are whole cents.
#[derive(Debug, Default, Serialize)]
pub struct RedPackets {
    /// Packets created.
    pub packets: u32,
    /// Shares of each.
    pub shares_each: u32,
    /// Cents in all of them.
    pub total_cents: u64,
    /// Users who gave them.
    pub senders: u32,
    /// `ws` or `http`.
    pub via: &'static str,
    /// Whether all grabbed the same packet first.
    pub hot: bool,
    /// Grabs wanted per second; null when all began at once.
    pub rate_per_s: Option<f64>,
    /// Grabs sent.
    pub grabs: u64,
    /// Answers that a share is the client's.
    pub won: u64,
    /// Answers that it was so before.
    pub already: u64,
    /// Answers that nothing is left.
    pub empty: u64,
    /// Answers that the packet's time is over.
    pub expired: u64,
    /// Grabs that got no answer, or a refusal; each was repeated.
    pub unanswered: u64,
    /// Grabs that never got an answer, however often they were repeated.
    pub given_up: u64,
    /// Refusals by code.
    pub refused_by_code: BTreeMap<u16, u64>,
    /// The first refusal or failure in words.
    pub first_trouble: Option<String>,
    /// Connections cut on purpose between a grab and its answer.
    pub cuts: u64,
    /// Times a client came back.
    pub reconnects: u64,
    /// From the release to the last answer.
    pub to_last_answer_ms: f64,
    /// From the release to the last answer that won.
    pub to_last_win_ms: Option<f64>,
    /// Answers per second of the time to the last answer.
    pub answered_per_s: f64,
    /// From the last answer, or the end of --await-refund, until the ledger had settled everything; null when it had not in time.
    pub drain_ms: Option<f64>,
    /// Cents the winners got; null, as what follows, when the server's books were not read.
    pub grabbed_cents: Option<u64>,
    /// Cents that go, or have gone, back.
    pub refunded_cents: Option<u64>,
    /// Cents that can still be taken.
    pub open_cents: Option<u64>,
    /// Shares by arrival, of lucky packets.
    pub fairness: Option<Fairness>,
    /// Contradictions between clients, packets, wallets and audit.
    pub discrepancies: Option<u64>,
    /// The first of them.
    pub first_discrepancies: Vec<Discrepancy>,
}

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

impl RedPackets {
    /// Adds what the clients saw; gives the times of their answers.
    pub fn add_records(&mut self, records: &[Record], start_ns: u64) -> GrabTimes {
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

    /// Adds what the server says, and how long each share took to its wallet.
    pub fn add_books(&mut self, books: &Books, times: &mut GrabTimes) {
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

    /// For a reader.
    pub fn lines(&self) -> Vec<String> {
        let n = count_text;
        let known = |count: Option<u64>| count.map_or("?".to_owned(), n);
        let mut lines = vec![
            format!(
                "{} packets of {} shares, {} cents: {} taken, {} given back, {} open",
                n(u64::from(self.packets)),
                n(u64::from(self.shares_each)),
                n(self.total_cents),
                known(self.grabbed_cents),
                known(self.refunded_cents),
                known(self.open_cents)
            ),
            format!(
                "{} grabs: {} won, {} already, {} empty, {} expired, {} without an answer (repeated), {} given up",
                n(self.grabs),
                n(self.won),
                n(self.already),
                n(self.empty),
                n(self.expired),
                n(self.unanswered),
                n(self.given_up)
            ),
            format!(
                "last win after {}, last answer after {}, {:.1} answers/s, settled {} later",
                self.to_last_win_ms.map_or("-".to_owned(), ms_text),
                ms_text(self.to_last_answer_ms),
                self.answered_per_s,
                match self.discrepancies {
                    Some(_) => self.drain_ms.map_or("not in time, or much".to_owned(), ms_text),
                    None => "not known to be, or".to_owned(),
                }
            ),
        ];
        if self.cuts + self.reconnects > 0 {
            lines.push(format!("{} cuts, {} ways back", n(self.cuts), n(self.reconnects)));
        }
        if let Some(fairness) = &self.fairness {
            let means =
                fairness.by_arrival.iter().map(|part| format!("{:.2}", part.mean)).collect::<Vec<_>>();
            lines.push(format!(
                "mean share by arrival, in tenths: {} (chi-square {:.1}, 9 expected)",
                means.join(" "),
                fairness.chi_square
            ));
        }
        lines.push(match self.discrepancies {
            Some(count) => format!("{} discrepancies", n(count)),
            None => "not compared with the server's books".to_owned(),
        });
        lines
    }
}

/// Milliseconds, with one digit behind the point.
pub fn millis_between(start_ns: u64, end_ns: u64) -> f64 {
    tenths(micros_between(start_ns, end_ns) as f64 / 1e3)
}

fn ms_text(ms: f64) -> String {
    micros_text((ms * 1e3) as u64)
}

/// A number with one digit behind the point.
fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
