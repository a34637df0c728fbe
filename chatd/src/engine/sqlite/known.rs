//! What the writer knows of the logs it appended to lately, so that the next append asks the tables for nothing of it.
//!
//! Invariant: what is known is what the tables say. Whoever changes a log, how far its users have read or whom they block
//! in another way than by an append forgets it, and a transaction that is undone takes all of it along.

use std::collections::HashMap;
use std::mem::take;

use super::log::Head;
use crate::model::Conversation;

/// Logs of one generation. Two are kept: some 20 MiB when all are of pairs.
const GENERATION: usize = 32 * 1024;

/// A log as it stands.
pub(crate) struct Known {
    /// Its row.
    pub head: Head,
    /// No entry of it is older, Unix milliseconds.
    pub oldest: u64,
    /// Until when it stands high enough in the lists of a pair's users, Unix milliseconds.
    pub listed: u64,
    /// What the users of a pair are to it: `a`, and then `b`.
    pub users: [Standing; 2],
}

/// What a user is to the log of a pair, as far as it was asked for.
#[derive(Default)]
pub(crate) struct Standing {
    /// Whether the other one takes no messages from them.
    pub blocked: Option<bool>,
    /// How far they have read.
    pub read: Option<u64>,
}

impl Known {
    /// A log of whose users nothing was asked for.
    pub(crate) fn new(head: Head, oldest: u64, listed: u64) -> Self {
        Self { head, oldest, listed, users: Default::default() }
    }
}

/// The logs that are known.
#[derive(Default)]
pub(crate) struct Logs {
    young: HashMap<Conversation, Known>,
    old: HashMap<Conversation, Known>,
}

impl Logs {
    /// What is known of a log.
    pub(crate) fn find(&mut self, conversation: &Conversation) -> Option<&mut Known> {
        if let Some((conversation, known)) = self.old.remove_entry(conversation) {
            self.keep(conversation, known);
        }
        self.young.get_mut(conversation)
    }

    /// Knows a log until many others were appended to.
    pub(crate) fn keep(&mut self, conversation: Conversation, known: Known) {
        if self.young.len() >= GENERATION {
            self.old = take(&mut self.young);
        }
        self.young.insert(conversation, known);
    }

    /// Asks the tables again the next time.
    pub(crate) fn forget(&mut self, conversation: &Conversation) {
        self.young.remove(conversation);
        self.old.remove(conversation);
    }

    /// Asks the tables for everything again.
    pub(crate) fn forget_all(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_generations_are_kept_and_what_is_asked_for_stays_among_them() {
        let mut logs = Logs::default();
        let known = |offset| Known::new(Head { id: 1, epoch: "e".into(), offset, time: 0 }, 0, 0);
        for app in 0..u32::try_from(3 * GENERATION).unwrap() {
            logs.keep(Conversation::World(app), known(u64::from(app)));
            assert!(logs.find(&Conversation::World(0)).is_some(), "{app}");
            assert!(logs.young.len() + logs.old.len() <= 2 * GENERATION);
        }
        assert!(logs.find(&Conversation::World(1)).is_none());
        logs.forget(&Conversation::World(0));
        assert!(logs.find(&Conversation::World(0)).is_none());
    }
}
