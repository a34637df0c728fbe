//! A connection that reads from logs what it missed, while the live stream goes on.
//!
//! Invariant: a message that the log gave is dropped when it comes live.

use std::collections::HashMap;

use bytes::Bytes;

use super::outbox::Delivery;
use crate::model::{Conversation, Position};

/// A connection between its log-in and the live stream.
#[derive(Debug, Default)]
pub(super) struct CatchingUp {
    /// How many want the pushes held back.
    pub holders: u32,
    pub held: Vec<Held>,
    /// How far the connection has each recovered conversation, until the live stream has passed it.
    pub sent: HashMap<Conversation, Position>,
}

impl CatchingUp {
    /// Whether the connection has the message from the log.
    pub fn has(&mut self, conversation: &Conversation, epoch: &str, offset: u64) -> bool {
        let known = self.sent.get(conversation).map(|sent| is_past(sent, conversation, epoch, offset));
        if known == Some(false) {
            self.sent.remove(conversation);
        }
        known == Some(true)
    }

    pub fn keep(&mut self, delivery: &Delivery<'_>) {
        let message = delivery.message.map(|(conversation, entry)| (conversation.clone(), entry.position()));
        self.held.push(Held { frame: delivery.frame.clone(), message });
    }
}

#[derive(Debug)]
pub(super) struct Held {
    pub frame: Bytes,
    pub message: Option<(Conversation, Position)>,
}

/// Whether a live message stands before a position that was read. The log is ahead of the live stream, so what comes of
/// another history of a group is older: of the one that was dismissed.
pub(super) fn is_past(read: &Position, conversation: &Conversation, epoch: &str, offset: u64) -> bool {
    read.covers(epoch, offset).unwrap_or(matches!(conversation, Conversation::Group(..)))
}
