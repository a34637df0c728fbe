//! What a connection has missed of a conversation, read from its log.
//!
//! Invariant: either everything between the known position and the newest message is given, in order, or the answer
//! says that it is not complete.

use std::cmp::Ordering;
use std::sync::Arc;

use bytes::Bytes;

use crate::broker::{BrokerError, Log, Page, Range};
use crate::hub::outbox::Limits;
use crate::model::{self, Conversation, Entry};

/// Entries read at a time.
const PAGE: usize = 200;

/// How much one log-in may be sent again. What is beyond, the history gives.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    messages: usize,
    bytes: usize,
}

impl Budget {
    /// Half of what an outbox holds, so that live messages find room beside what is sent again.
    #[must_use]
    pub fn within(limits: Limits) -> Self {
        Self { messages: limits.frames / 2, bytes: limits.bytes / 2 }
    }
}

/// Part of a log behind a known position.
#[derive(Debug)]
pub struct Missed {
    /// The history as it is now; empty when nothing was ever said.
    pub epoch: Arc<str>,
    /// Offset of the newest message.
    pub head: u64,
    /// Whether nothing is missing.
    pub complete: bool,
    /// Offset of the last message read.
    pub last: u64,
    /// The messages, encoded.
    pub frames: Vec<Bytes>,
}

/// Reads what came after `after` in the history `epoch` (`None`: whichever it is), as far as the budget allows. `encode`
/// sees every entry once, in order; one it gives nothing for is read and not given.
///
/// # Errors
/// What the broker says.
pub async fn read(
    broker: &dyn Log,
    conversation: &Conversation,
    epoch: Option<&str>,
    after: u64,
    budget: &mut Budget,
    mut encode: impl FnMut(&Entry) -> Option<Bytes> + Send,
) -> Result<Missed, BrokerError> {
    let first = broker.read(conversation, Range::After(after), PAGE).await?;
    let same = match epoch {
        None => true,
        Some(epoch) if *epoch == *first.epoch || (after == 0 && epoch.is_empty()) => true,
        // The log may go on in another epoch from where it was seen.
        Some(epoch) if model::epoch::order(epoch, &first.epoch) == Some(Ordering::Less) => {
            after == 0 || broker.stood(conversation, epoch, after).await?
        }
        Some(_) => false,
    };
    if let Some(epoch) = epoch.filter(|epoch| **epoch == *first.epoch && after > first.head) {
        broker.doubt(conversation, epoch, after).await?;
    }
    if !same || after > first.head {
        // Another history, or one that lost its end: all of it is new, as far as it goes.
        let page = broker.read(conversation, Range::Before(u64::MAX), PAGE).await?;
        let mut missed = Missed::nothing(&page);
        missed.take(page.entries, budget, &mut encode);
        missed.complete = false;
        return Ok(missed);
    }
    let mut missed = Missed::nothing(&first);
    missed.last = after;
    let mut page = first;
    loop {
        let count = page.entries.len();
        let all = missed.take(page.entries, budget, &mut encode);
        if count < PAGE || !all {
            // A log whose newest messages are too old to be read ends before its head.
            missed.complete &= missed.last >= missed.head;
            // What came while reading is delivered live as well; the outbox drops what stands here already.
            missed.head = missed.head.max(missed.last);
            return Ok(missed);
        }
        page = broker.read(conversation, Range::After(missed.last), PAGE).await?;
    }
}

impl Missed {
    fn nothing(page: &Page) -> Self {
        let (epoch, head) = (page.epoch.clone(), page.head);
        Self { epoch, head, complete: true, last: 0, frames: Vec::new() }
    }

    /// Adds entries, noting where one does not follow the last. False: stop here.
    fn take(
        &mut self,
        entries: Vec<Entry>,
        budget: &mut Budget,
        encode: &mut (impl FnMut(&Entry) -> Option<Bytes> + Send),
    ) -> bool {
        for entry in entries {
            let frame = encode(&entry);
            let bytes = frame.as_ref().map_or(0, Bytes::len);
            if frame.is_some() && (budget.messages == 0 || budget.bytes < bytes) {
                self.complete = false;
                return false;
            }
            self.complete &= entry.offset == self.last + 1;
            self.last = entry.offset;
            budget.messages -= usize::from(frame.is_some());
            budget.bytes -= bytes;
            self.frames.extend(frame);
        }
        true
    }
}
