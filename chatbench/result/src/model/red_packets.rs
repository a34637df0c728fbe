//! What came of red packets, as numbers. Amounts are whole cents.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What became of red packets in a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
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
    pub via: String,
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

/// Shares by arrival.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Fairness {
    /// The tenths, the earliest first.
    pub by_arrival: Vec<Tenth>,
    /// Sum of the squared distances of the tenths' means from the mean, in units of their variances; about 9 by chance.
    pub chi_square: f64,
}

/// The shares of one tenth of the winners; 1 is the mean of their packet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Tenth {
    /// Shares.
    pub shares: u64,
    /// The smallest.
    pub min: f64,
    /// Their mean.
    pub mean: f64,
    /// The largest.
    pub max: f64,
}

/// Two sides that contradict each other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discrepancy {
    /// Which promise is broken, in one word.
    pub rule: String,
    /// The packet it is about.
    pub packet: Option<String>,
    /// The user it is about.
    pub user: Option<String>,
    /// What the client saw, or what follows from what was done.
    pub expected: String,
    /// What the server says.
    pub found: String,
}

impl Discrepancy {
    /// In one line.
    #[must_use]
    pub fn text(&self) -> String {
        let packet = self.packet.as_ref().map(|id| format!(" packet {id},"));
        let user = self.user.as_ref().map(|id| format!(" user {id},"));
        let place = [packet, user].into_iter().flatten().collect::<String>();
        format!(
            "{}:{} expected {}; found {}",
            self.rule,
            place.trim_end_matches(','),
            self.expected,
            self.found
        )
    }
}
