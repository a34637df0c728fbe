//! What a user has seen of each conversation: what to recover after a break, and what is a repeat.
//!
//! Invariants: within one epoch a message is admitted at most once and only behind those before it; where recovery
//! begins never lies behind a message that was neither admitted nor reported as a gap. The answer to an own message is
//! no place: it may come before the pushes of earlier messages.

use std::collections::{BTreeSet, HashMap};

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

/// What [`Positions::told`] makes of a conversation of which the server only says where it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Nothing is missing.
    Nothing,
    /// The history has what is missing behind the place.
    Missed,
    /// It began since all conversations were known, or the user joined it.
    Begun,
    /// It is missing, and where it begins nobody knows.
    Gap(Gap),
}

/// Own messages remembered that were answered before the messages before them came; beyond it the server sends them
/// again after a break.
const MAX_OWN: usize = 64;

#[derive(Debug, Default)]
struct Place {
    epoch: String,
    /// Messages up to here were admitted, or count as seen.
    seen: u64,
    /// Recovery begins behind this one when it is further on: what lies between was reported.
    told: u64,
    /// Own messages further on, of which no push is going to tell.
    own: BTreeSet<u64>,
    /// When something last happened here, counted in events.
    used: u64,
}

/// Places in all conversations of one user.
#[derive(Debug, Default)]
pub struct Positions {
    places: HashMap<Target, Place>,
    /// Whether there is a place in every conversation of the user.
    knows_all: bool,
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

    /// Whether the history is the same and lost its end: messages that were seen are there no more.
    #[must_use]
    pub fn is_lost_end(&self) -> bool {
        self.seen.as_ref().is_some_and(|seen| seen.epoch == self.epoch && seen.offset > self.newest)
    }
}

/// What was asked for and is not mentioned in the answer.
#[must_use]
pub fn unanswered(asked: &[Position], recovered: &[Recovered]) -> Vec<Gap> {
    let is_answered = |position: &&Position| recovered.iter().any(|answer| answer.target == position.target);
    let gap = |position: &Position| Gap {
        target: position.target.clone(),
        seen: Some(position.clone()),
        epoch: position.epoch.clone(),
        newest: position.offset,
    };
    asked.iter().filter(|position| !is_answered(position)).map(gap).collect()
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
                let (epoch, seen) = (position.epoch, position.offset);
                self.places.insert(position.target, Place { epoch, seen, used, ..Place::default() });
            }
        }
    }

    /// Whether a message of the conversation is new; if so it counts as seen from now on.
    pub fn admit(&mut self, target: &Target, epoch: &str, offset: u64) -> Admission {
        let used = self.tick();
        let Some(place) = self.places.get_mut(target) else {
            let place = Place { epoch: epoch.to_owned(), seen: offset, used, ..Place::default() };
            self.places.insert(target.clone(), place);
            return Admission::New;
        };
        if place.epoch != epoch {
            // Before anything was said there was no history to differ from.
            let first = place.epoch.is_empty();
            *place = Place { epoch: epoch.to_owned(), seen: offset, used, ..Place::default() };
            return if first { Admission::New } else { Admission::NewEpoch };
        }
        if offset <= place.seen {
            return Admission::Repeat;
        }
        (place.seen, place.used) = (offset, used);
        place.go_on();
        Admission::New
    }

    /// The history of the conversation ends at `offset` now; what comes behind that is new.
    pub fn rewind(&mut self, target: &Target, offset: u64) {
        if let Some(place) = self.places.get_mut(target) {
            (place.seen, place.told) = (place.seen.min(offset), place.told.min(offset));
        }
    }

    /// An own message was logged; no push is going to tell of it. Others before it may still be on their way: it counts
    /// as seen once they came.
    pub fn sent(&mut self, target: &Target, receipt: &Receipt) {
        let used = self.tick();
        let place = match self.places.get_mut(target) {
            Some(place) if place.epoch == receipt.epoch => place,
            Some(place) if place.epoch.is_empty() => place,
            // Of a conversation without a place it is not known whether there is anything before the message.
            None if self.knows_all => self.places.entry(target.clone()).or_default(),
            _ => return,
        };
        receipt.epoch.clone_into(&mut place.epoch);
        place.used = used;
        place.own.insert(receipt.offset);
        if place.own.len() > MAX_OWN {
            place.own.pop_first();
        }
        place.go_on();
    }

    /// What to ask a new connection for: the conversations used last, at most [`MAX_RECOVER`].
    #[must_use]
    pub fn to_recover(&self) -> Vec<Position> {
        let mut places: Vec<_> = self.places.iter().collect();
        places.sort_unstable_by_key(|(_, place)| std::cmp::Reverse(place.used));
        places.truncate(MAX_RECOVER);
        places.into_iter().map(|(target, place)| place.position(target)).collect()
    }

    /// Takes in what the server gives back, and says what is missing of it. A lost history is missing as a whole.
    pub fn recovered(&mut self, recovered: &[Recovered]) -> Vec<Gap> {
        let mut gaps = Vec::new();
        for answer in recovered {
            let Some(place) = self.places.get_mut(&answer.target) else { continue };
            let seen = place.position(&answer.target);
            let is_new = place.epoch.is_empty();
            let is_other = place.epoch != answer.epoch;
            if is_other {
                (place.epoch, place.seen) = (answer.epoch.clone(), 0);
            }
            // A history that lost its end goes on from where it ends now.
            let is_short = answer.offset < place.seen;
            place.seen = place.seen.min(answer.offset);
            if (is_other && !is_new) || is_short || !(answer.complete || place.epoch.is_empty()) {
                place.told = answer.offset;
                let (target, epoch) = (answer.target.clone(), answer.epoch.clone());
                gaps.push(Gap { target, seen: Some(seen), epoch, newest: answer.offset });
            }
        }
        gaps
    }

    /// Takes in where a conversation ends that was not asked for. Until all are known, one without a place gets its
    /// place there; `is_first` says that this is the first time the server is asked.
    pub fn told(&mut self, target: &Target, epoch: &str, newest: u64, is_first: bool) -> News {
        let place = Place { epoch: epoch.to_owned(), told: newest, ..Place::default() };
        let gap = |seen| Gap { target: target.clone(), seen, epoch: epoch.to_owned(), newest };
        let Some(known) = self.places.get_mut(target) else {
            if self.knows_all {
                self.places.insert(target.clone(), Place { told: 0, ..place });
                return News::Begun;
            }
            self.places.insert(target.clone(), place);
            return if is_first { News::Nothing } else { News::Gap(gap(None)) };
        };
        let seen = known.position(target);
        if known.epoch.is_empty() {
            epoch.clone_into(&mut known.epoch);
        }
        if known.epoch != epoch {
            *known = place;
            return News::Gap(gap(Some(seen)));
        }
        if newest < known.seen {
            // A history that lost its end goes on from where it ends now.
            (known.seen, known.told) = (newest, newest);
            return News::Gap(gap(Some(seen)));
        }
        if newest > seen.offset { News::Missed } else { News::Nothing }
    }

    /// From now on every conversation has a place: one without begins.
    pub fn know_all(&mut self) {
        self.knows_all = true;
    }

    /// Whether every conversation has one.
    #[must_use]
    pub fn knows_all(&self) -> bool {
        self.knows_all
    }

    /// Where a conversation is recovered from.
    #[must_use]
    pub fn of(&self, target: &Target) -> Option<Position> {
        self.places.get(target).map(|place| place.position(target))
    }

    /// More conversations than can be asked for.
    #[must_use]
    pub fn are_many(&self) -> bool {
        self.places.len() > MAX_RECOVER
    }

    /// What there was of a conversation up to `newest` was reported as missing.
    pub fn reported(&mut self, target: &Target, newest: u64) {
        if let Some(place) = self.places.get_mut(target) {
            place.told = place.told.max(newest);
        }
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

    /// Own messages that are next count as seen, or as reported while what was reported may still come.
    fn go_on(&mut self) {
        while self.own.remove(&(self.seen.max(self.told) + 1)) {
            let place = if self.seen < self.told { &mut self.told } else { &mut self.seen };
            *place += 1;
        }
        self.own = self.own.split_off(&self.seen);
    }
}

#[cfg(test)]
mod tests;
