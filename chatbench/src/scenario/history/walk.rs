//! One way through a conversation, page by page, in one direction.
//!
//! Invariant: what lies between two numbers that follow each other on the way is a hole; a number or a message met
//! twice is a repeat. What was accepted before the way began must be on it.

use chat_protocol::message::HistoryResponse;
use chatbench_result::model::Pages;

use crate::ledger::bitset::Bitset;
use crate::net::payload::{Payload, Reading};

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the newest message to the first.
    Backward,
    /// From the first message to the newest.
    Forward,
}

/// A way under way.
#[derive(Debug)]
pub struct Walk {
    /// What was found so far.
    pub found: Pages,
    direction: Direction,
    /// Number of a message known to be there when the way began; 0 for none.
    known: u64,
    /// The last number in order; none before the first message.
    last: Option<u64>,
    seen: Bitset,
}

impl Walk {
    /// Before the first page. `known`: the greatest number that was accepted so far.
    pub fn new(direction: Direction, known: u64) -> Self {
        Self { found: Pages::default(), direction, known, last: None, seen: Bitset::default() }
    }

    /// Takes a page; gives where the next one begins, `None` at the end.
    pub fn take(&mut self, page: &HistoryResponse, payload: &Payload) -> Option<u64> {
        self.found.pages += 1;
        let before = self.last;
        match self.direction {
            Direction::Backward => page.messages.iter().rev().for_each(|message| self.step(message.offset)),
            Direction::Forward => page.messages.iter().for_each(|message| self.step(message.offset)),
        }
        for message in &page.messages {
            self.found.messages += 1;
            match payload.read(message.content.msg.as_deref().unwrap_or_default().as_bytes()) {
                Reading::Ours(stamp) => self.found.repeats += u64::from(!self.seen.insert(stamp.sequence)),
                Reading::Corrupt => self.found.corrupted += 1,
                Reading::Foreign => self.found.foreign += 1,
            }
        }
        // A page that leads nowhere new would be asked for without end; what it hides counts as left out.
        let onward = page.next.filter(|_| self.last != before);
        if onward.is_none() {
            self.end();
        }
        onward
    }

    /// Whether the way has come past what was known when it began.
    pub fn is_past_known(&self) -> bool {
        self.direction == Direction::Forward && self.last >= Some(self.known)
    }

    fn step(&mut self, offset: u64) {
        let (distance, again) = match (self.direction, self.last) {
            (Direction::Backward, None) => (self.known.saturating_sub(offset), false),
            (Direction::Backward, Some(last)) => (last.saturating_sub(offset + 1), offset >= last),
            (Direction::Forward, last) => {
                let last = last.unwrap_or(0);
                (offset.saturating_sub(last + 1), offset <= last)
            }
        };
        if again {
            self.found.repeats += 1;
            return;
        }
        self.found.holes += distance;
        self.last = Some(offset);
    }

    fn end(&mut self) {
        let missing = match (self.direction, self.last) {
            (Direction::Backward, Some(last)) => last.saturating_sub(1),
            (Direction::Forward, Some(last)) => self.known.saturating_sub(last),
            (_, None) => self.known,
        };
        self.found.holes += missing;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::payload::Stamp;
    use chat_protocol::content::Content;
    use chat_protocol::session::Push;
    use chat_protocol::{MsgId, Target, UserId};

    fn page(payload: &Payload, offsets: &[u64], next: Option<u64>) -> HistoryResponse {
        let message = |offset: &u64| {
            let mut text = String::new();
            let sequence = u32::try_from(*offset).unwrap();
            payload.write(&Stamp { sender: 0, sequence, intended_ns: 1, lag_us: 0 }, &mut text);
            Push {
                target: Target::World,
                content: Content::text(&text),
                from: UserId::new("a").unwrap(),
                msg_id: MsgId::new("m").unwrap(),
                offset: *offset,
                epoch: "e".to_owned(),
                time: 1,
            }
        };
        let messages = offsets.iter().map(message).collect();
        HistoryResponse { messages, next, epoch: "e".to_owned() }
    }

    fn walk(direction: Direction, known: u64, pages: &[&[u64]]) -> (u64, u64) {
        let payload = Payload::new("run", 64, 1);
        let mut walk = Walk::new(direction, known);
        for (position, offsets) in pages.iter().enumerate() {
            let next = (position + 1 < pages.len()).then_some(1);
            walk.take(&page(&payload, offsets, next), &payload);
        }
        (walk.found.holes, walk.found.repeats)
    }

    #[test]
    fn pages_that_tile_are_faultless() {
        assert_eq!(walk(Direction::Backward, 5, &[&[4, 5, 6], &[1, 2, 3]]), (0, 0));
        assert_eq!(walk(Direction::Forward, 5, &[&[1, 2, 3], &[4, 5, 6]]), (0, 0));
        assert_eq!(walk(Direction::Forward, 0, &[&[]]), (0, 0));
    }

    #[test]
    fn holes_and_repeats_are_counted_wherever_they_are() {
        assert_eq!(walk(Direction::Backward, 6, &[&[4, 6], &[1, 2]]), (2, 0));
        assert_eq!(walk(Direction::Backward, 8, &[&[4, 5, 6], &[2, 3]]), (3, 0), "both ends");
        assert_eq!(walk(Direction::Forward, 6, &[&[2, 3], &[5]]), (3, 0), "both ends and between");
        assert_eq!(walk(Direction::Forward, 4, &[&[1, 2, 3], &[3, 4]]).0, 0);
        assert_eq!(walk(Direction::Forward, 4, &[&[1, 2, 3], &[3, 4]]).1, 2, "as a number and as a message");
        assert_eq!(walk(Direction::Backward, 9, &[&[]]), (9, 0));
    }
}
