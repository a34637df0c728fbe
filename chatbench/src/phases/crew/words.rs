//! What the processes of a run say to each other: in each line the number of a kind of messages, such as those of a mixed run, and what is said of it, as one JSON value.
//!
//! Invariant: every word of the conductor but a question is answered by exactly one report.

use serde::{Deserialize, Serialize};

use crate::ledger::standing::Standing;
use crate::phases::harvest::Harvest;
use crate::phases::identity::Identity;
use crate::phases::opening::Opening;
use crate::watch::pulse::Pulse;

/// What a worker is to do, its first line.
#[derive(Debug, Serialize, Deserialize)]
pub struct Job {
    /// Name of the scenario.
    pub name: String,
    /// Its options, as JSON.
    pub options: String,
    /// What makes it this run.
    pub identity: Identity,
    /// Which part of its clients, from 0.
    pub part: u32,
    /// Of how many.
    pub parts: u32,
    /// How many kinds of messages there are to talk about.
    pub kinds: usize,
}

/// A word to a worker.
#[derive(Debug, Serialize, Deserialize)]
pub enum Word {
    /// All clients are in but these: wait until the server has told of it.
    Settle(Vec<u32>),
    /// The first message is due then, in nanoseconds of the host's clock.
    Start(u64),
    /// No client of any worker is connected any more: send nothing more.
    Forsaken,
    /// Nothing more can come.
    Drained,
    /// What the senders of all workers did, packed.
    Senders(Vec<String>),
    /// The run is over.
    Quit,
    /// The operator wants to stop, all kinds alike.
    Interrupt,
    /// What did your clients of all kinds do since the last question?
    Pulse,
    /// How far are you?
    Stand,
}

/// A word of a worker.
#[derive(Debug, Serialize, Deserialize)]
pub enum Report {
    /// Its clients are in or not.
    Opened(Box<Opening>),
    /// Nothing came any more, or this is why it did.
    Settled(Option<String>),
    /// What its senders did, packed.
    Senders(Vec<String>),
    /// Everything else.
    Harvest(Box<Harvest>),
    /// It cannot go on, with no kind.
    Failed {
        /// What happened.
        cause: String,
        /// What the operator can do.
        next: String,
    },
    /// Answer to [`Word::Pulse`].
    Pulse(Box<Pulse>),
    /// Answer to [`Word::Stand`].
    Standing(Standing),
}
