//! What makes a run this run: its name, its app, its seed.
//!
//! Invariant: with the options it determines every user, every message and every random choice.

use serde::{Deserialize, Serialize};

use crate::phases::spec::Common;

/// The largest seed: every whole number up to here is exact in a reader of JSON that knows only doubles (RFC 8259 §6).
pub const MAX_SEED: u64 = (1 << 53) - 1;

/// Name, app and seed of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Identity {
    /// Unique among all runs: it is in every user and message id, and the server remembers those for a day.
    pub run: String,
    /// The app.
    pub app: u32,
    /// Of the texts, the random arrivals and the trouble.
    pub seed: u64,
}

impl Identity {
    /// A new one, with what the options fix.
    pub fn new(common: &Common) -> Self {
        Self {
            run: format!("{:016x}", rand::random::<u64>()),
            // One that nobody else uses.
            app: common.app.unwrap_or_else(|| rand::random_range(1_000_000_000..u32::MAX)),
            seed: common.seed.unwrap_or_else(|| rand::random_range(..=MAX_SEED)),
        }
    }
}
