//! What became of the messages of a batch so far, and how that is told.
//!
//! Invariant: every line is counted once.

use std::time::Duration;

use crate::plural::counted;

/// What became of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// On its way to somebody online.
    Delivered,
    /// Kept for somebody offline.
    Stored,
    /// Sent before, said the server.
    Repeated,
    /// Sent before, says the journal.
    Skipped,
    /// Not sent.
    Failed,
    /// Perhaps sent.
    Unknown,
}

impl Outcome {
    /// In one word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Stored => "stored",
            Self::Repeated => "repeated",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

const ALL: [Outcome; 6] = [
    Outcome::Delivered,
    Outcome::Stored,
    Outcome::Repeated,
    Outcome::Skipped,
    Outcome::Failed,
    Outcome::Unknown,
];

/// How many became what.
#[derive(Debug, Clone, Copy, Default)]
pub struct Count([u64; 6]);

impl Count {
    /// One more.
    pub fn add(&mut self, outcome: Outcome) {
        self.0[outcome as usize] += 1;
    }

    /// How many there were.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.0.iter().sum()
    }

    /// How many were not, or perhaps not, sent.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.0[Outcome::Failed as usize] + self.0[Outcome::Unknown as usize]
    }

    /// How far it is, of so many if that is known, in one line of a terminal.
    #[must_use]
    pub fn progress(&self, of: Option<u64>, took: Duration) -> String {
        const WIDTH: u64 = 24;
        let (all, rate) = (self.all(), self.rate(took));
        let bar = of.filter(|of| *of > 0).map(|of| {
            let full = (all.min(of) * WIDTH / of).min(WIDTH);
            let bar: String = (0..WIDTH).map(|at| if at < full { '#' } else { '.' }).collect();
            format!("[{bar}] {:>3} %  ", all.min(of) * 100 / of)
        });
        let failed = match self.missing() {
            0 => String::new(),
            missing => format!("  {missing} failed"),
        };
        format!("{}{all} done  {rate:.0}/s{failed}", bar.unwrap_or_default())
    }

    /// What came of it all.
    #[must_use]
    pub fn summary(&self, took: Duration) -> String {
        let parts = ALL.iter().filter(|outcome| self.0[**outcome as usize] > 0);
        let parts: Vec<_> =
            parts.map(|outcome| format!("{} {}", self.0[*outcome as usize], outcome.word())).collect();
        let parts = if parts.is_empty() { "nothing to send".to_owned() } else { parts.join(", ") };
        let all = counted(self.all(), "message");
        format!("{all} in {:.1} s ({:.0}/s): {parts}", took.as_secs_f64(), self.rate(took))
    }

    fn rate(&self, took: Duration) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let all = self.all() as f64;
        all / took.as_secs_f64().max(0.001)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_tells_what_became_of_each() {
        let mut count = Count::default();
        let took = Duration::from_secs(2);
        assert!(count.summary(took).ends_with("nothing to send"));
        for outcome in ALL {
            count.add(outcome);
        }
        count.add(Outcome::Failed);
        assert_eq!((count.all(), count.missing()), (7, 3));
        let expected =
            "7 messages in 2.0 s (4/s): 1 delivered, 1 stored, 1 repeated, 1 skipped, 2 failed, 1 unknown";
        assert_eq!(count.summary(took), expected);
        assert_eq!(count.progress(Some(14), took), "[############............]  50 %  7 done  4/s  3 failed");
        assert_eq!(count.progress(None, took), "7 done  4/s  3 failed");
    }
}
