//! A connection that reads from logs what it missed, while the live stream goes on.
//!
//! Invariant: a message that the log gave is dropped when it comes live.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::outbox::Delivery;
use crate::model::{Conversation, Entry, epoch};

/// A connection between its log-in and the live stream.
#[derive(Debug, Default)]
pub(super) struct CatchingUp {
    /// How many want the pushes held back.
    pub holders: u32,
    pub held: Vec<Held>,
    /// How far the connection has each recovered conversation, until the live stream has passed it.
    pub sent: HashMap<Conversation, Place>,
}

impl CatchingUp {
    /// Whether the connection has the message from the log.
    pub fn has(&mut self, conversation: &Conversation, epoch: &str, offset: u64) -> bool {
        let known = self.sent.get(conversation).map(|sent| sent.is_past(conversation, epoch, offset));
        if known == Some(false) {
            self.sent.remove(conversation);
        }
        known == Some(true)
    }

    pub fn keep(&mut self, delivery: &Delivery<'_>) {
        let place = |(conversation, entry): (&Conversation, &Entry)| {
            (conversation.clone(), Place { epoch: entry.epoch.clone(), offset: entry.offset })
        };
        self.held.push(Held { frame: delivery.frame.clone(), message: delivery.message.map(place) });
    }
}

#[derive(Debug)]
pub(super) struct Held {
    pub frame: Bytes,
    pub message: Option<(Conversation, Place)>,
}

/// How far a log was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Which history it is.
    pub epoch: Arc<str>,
    /// Offset of the last message.
    pub offset: u64,
}

impl Place {
    /// Whether a message of the same history stands up to here; nothing of another history. What an epoch held when it
    /// forked was in the log before the next one was, so an earlier epoch lies behind as a whole, and a later one ahead.
    #[must_use]
    pub fn covers(&self, epoch: &str, offset: u64) -> Option<bool> {
        Some(match epoch::order(epoch, &self.epoch)? {
            Ordering::Less => true,
            Ordering::Equal => *self.epoch == *epoch && offset <= self.offset,
            Ordering::Greater => false,
        })
    }

    /// Whether a live message stands before it. The log is ahead of the live stream, so what comes of another history
    /// of a group is older: of the one that was dismissed.
    pub(super) fn is_past(&self, conversation: &Conversation, epoch: &str, offset: u64) -> bool {
        self.covers(epoch, offset).unwrap_or(matches!(conversation, Conversation::Group(..)))
    }
}
