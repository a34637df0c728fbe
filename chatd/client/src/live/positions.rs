//! What a user has seen of each conversation: what to recover after a break, and what is a repeat.
//!
//! Invariants: within one epoch a message is admitted at most once and only behind those before it; where recovery
//! begins never lies behind a message that was neither admitted nor reported as a gap.

use std::collections::{HashMap, HashSet};

use chat_protocol::conversation::Conversation;
use chat_protocol::session::{MAX_RECOVER, Position, Push, Receipt, Recovered};
use chat_protocol::{Target, UserId};

/// Messages that did not come and are not going to: the history has what there is of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The conversation, as this user names it.
    pub target: Target,
    /// The last message seen before; its epoch may be another one.
    pub seen: Option<Position>,
    /// Which history is missed; empty when the server did not say.
    pub epoch: String,
    /// Offset of the newest message when the gap was found, as far as that is known.
    pub newest: u64,
}

/// What [`Positions::admit`] says about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It is new.
    New,
    /// It is new and the first one of another history than before.
    NewEpoch,
    /// It was there already.
    Repeat,
}

#[derive(Debug)]
struct Place {
    epoch: String,
    /// Messages up to here were admitted, or count as seen.
    seen: u64,
    /// Recovery begins behind this one when it is further on: what lies between was reported.
    told: u64,
    /// When something last happened here, counted in events.
    used: u64,
}

/// Places in all conversations of one user.
#[derive(Debug, Default)]
pub struct Positions {
    places: HashMap<Target, Place>,
    /// Newest offset of conversations in which nothing was seen yet.
    unseen: Option<HashMap<Target, u64>>,
    events: u64,
}

/// The conversation of a message, as `me` names it.
#[must_use]
pub fn conversation_of(push: &Push, me: &UserId) -> Target {
    match &push.target {
        Target::User(to) if to == me => Target::User(push.from.clone()),
        other => other.clone(),
    }
}

impl Gap {
    /// Whether the history in which messages were seen is lost.
    #[must_use]
    pub fn is_other_history(&self) -> bool {
        let seen = self.seen.as_ref().map_or("", |seen| &seen.epoch);
        !seen.is_empty() && !self.epoch.is_empty() && seen != self.epoch
    }
}

impl Positions {
    /// Takes a position as seen; one further on in the same history stays.
    pub fn set(&mut self, position: Position) {
        let used = self.tick();
        match self.places.get_mut(&position.target) {
            Some(place) if place.epoch == position.epoch => {
                place.seen = place.seen.max(position.offset);
                place.used = used;
            }
            _ => {
                let place = Place { epoch: position.epoch, seen: position.offset, told: 0, used };
                self.places.insert(position.target, place);
            }
        }
    }

    /// Whether a message of the conversation is new; if so it counts as seen from now on.
    pub fn admit(&mut self, target: &Target, epoch: &str, offset: u64) -> Admission {
        let used = self.tick();
        let Some(place) = self.places.get_mut(target) else {
            let place = Place { epoch: epoch.to_owned(), seen: offset, told: 0, used };
            self.places.insert(target.clone(), place);
            return Admission::New;
        };
        if place.epoch != epoch {
            // Before anything was said there was no history to differ from.
            let first = place.epoch.is_empty();
            *place = Place { epoch: epoch.to_owned(), seen: offset, told: 0, used };
            return if first { Admission::New } else { Admission::NewEpoch };
        }
        if offset <= place.seen {
            return Admission::Repeat;
        }
        (place.seen, place.used) = (offset, used);
        Admission::New
    }

    /// An own message was logged; no push is going to tell of it.
    pub fn sent(&mut self, target: &Target, receipt: &Receipt) {
        let used = self.tick();
        match self.places.get_mut(target) {
            Some(place) => {
                // Others may still be on their way when this one is not the next.
                if place.epoch == receipt.epoch && place.seen + 1 == receipt.offset {
                    (place.seen, place.used) = (receipt.offset, used);
                }
            }
            None => {
                let epoch = receipt.epoch.clone();
                let place = Place { epoch, seen: 0, told: receipt.offset, used };
                self.places.insert(target.clone(), place);
            }
        }
    }

    /// What to ask a new connection for: the conversations used last, at most [`MAX_RECOVER`].
    #[must_use]
    pub fn to_recover(&self) -> Vec<Position> {
        let mut places: Vec<_> = self.places.iter().collect();
        places.sort_unstable_by_key(|(_, place)| std::cmp::Reverse(place.used));
        places.truncate(MAX_RECOVER);
        places.into_iter().map(|(target, place)| place.position(target)).collect()
    }

    /// Takes in what the server gives back, and says what is missing: what it cannot give, and every conversation
    /// that it says nothing about. A lost history is missing as a whole.
    pub fn recovered(&mut self, recovered: &[Recovered]) -> Vec<Gap> {
        let mut gaps = Vec::new();
        for answer in recovered {
            let Some(place) = self.places.get_mut(&answer.target) else { continue };
            let seen = place.position(&answer.target);
            let is_other = place.epoch != answer.epoch && !answer.epoch.is_empty();
            let is_lost = is_other && !place.epoch.is_empty();
            if is_other {
                (place.epoch, place.seen, place.told) = (answer.epoch.clone(), 0, 0);
            }
            if is_lost || !answer.complete {
                place.told = answer.offset;
                let (target, epoch) = (answer.target.clone(), answer.epoch.clone());
                gaps.push(Gap { target, seen: Some(seen), epoch, newest: answer.offset });
            }
        }
        let answered: HashSet<&Target> = recovered.iter().map(|answer| &answer.target).collect();
        for (target, place) in self.places.iter().filter(|(target, _)| !answered.contains(target)) {
            let seen = place.position(target);
            let (epoch, newest) = (place.epoch.clone(), seen.offset);
            gaps.push(Gap { target: target.clone(), seen: Some(seen), epoch, newest });
        }
        gaps
    }

    /// Compares the user's conversations with those known, and says in which something was said that nothing
    /// tells of: conversations begun while there was no connection. The first call only takes note.
    pub fn discovered(&mut self, conversations: &[Conversation]) -> Vec<Gap> {
        let now: HashMap<Target, u64> = conversations
            .iter()
            .filter(|found| !self.places.contains_key(&found.target))
            .map(|found| (found.target.clone(), found.last_offset))
            .collect();
        let mut gaps = Vec::new();
        if let Some(before) = &self.unseen {
            for (target, newest) in &now {
                if before.get(target).copied().unwrap_or(0) < *newest {
                    let (target, newest) = (target.clone(), *newest);
                    gaps.push(Gap { target, seen: None, epoch: String::new(), newest });
                }
            }
        }
        self.unseen = Some(now);
        gaps
    }

    fn tick(&mut self) -> u64 {
        self.events += 1;
        self.events
    }
}

impl Place {
    fn position(&self, target: &Target) -> Position {
        let offset = self.seen.max(self.told);
        Position { target: target.clone(), epoch: self.epoch.clone(), offset }
    }
}

#[cfg(test)]
#[path = "positions_tests.rs"]
mod tests;
