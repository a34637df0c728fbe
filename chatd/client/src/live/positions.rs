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

    /// Whether the history is the same and lost its end: messages that were seen are there no more.
    #[must_use]
    pub fn is_lost_end(&self) -> bool {
        self.seen.as_ref().is_some_and(|seen| seen.epoch == self.epoch && seen.offset > self.newest)
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

    /// The history of the conversation ends at `offset` now; what comes behind that is new.
    pub fn rewind(&mut self, target: &Target, offset: u64) {
        if let Some(place) = self.places.get_mut(target) {
            (place.seen, place.told) = (place.seen.min(offset), place.told.min(offset));
        }
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
                // One that goes less far than before is another one now.
                if before.get(target).copied().unwrap_or(0) != *newest {
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
mod tests {
    use super::*;

    fn target(text: &str) -> Target {
        text.parse().unwrap()
    }

    fn position(text: &str, epoch: &str, offset: u64) -> Position {
        Position { target: target(text), epoch: epoch.to_owned(), offset }
    }

    fn recovered(text: &str, epoch: &str, offset: u64, complete: bool) -> Recovered {
        Recovered { target: target(text), epoch: epoch.to_owned(), offset, complete }
    }

    fn receipt(epoch: &str, offset: u64) -> Receipt {
        let msg_id = "m".parse().unwrap();
        Receipt { msg_id, offset, epoch: epoch.to_owned(), time: 0, duplicate: false }
    }

    fn push(to: &str, from: &str) -> Push {
        serde_json::from_value(serde_json::json!({
            "target": to, "type": "text", "msg": "x", "from": from, "msgId": "m", "offset": 1, "epoch": "e", "time": 2
        }))
        .unwrap()
    }

    #[test]
    fn a_conversation_has_one_name_whoever_speaks() {
        let me = "me".parse().unwrap();
        for (to, from, named) in [
            ("user:me", "x", "user:x"),
            ("user:x", "me", "user:x"),
            ("user:me", "me", "user:me"),
            ("group:g", "x", "group:g"),
            ("", "x", ""),
        ] {
            assert_eq!(conversation_of(&push(to, from), &me), target(named), "{to} from {from}");
        }
    }

    #[test]
    fn repeats_are_told_within_an_epoch_only() {
        let (mut positions, world) = (Positions::default(), Target::World);
        assert_eq!(positions.admit(&world, "e", 4), Admission::New);
        assert_eq!(positions.admit(&world, "e", 4), Admission::Repeat);
        assert_eq!(positions.admit(&world, "e", 3), Admission::Repeat);
        assert_eq!(positions.admit(&world, "e", 6), Admission::New);
        assert_eq!(positions.admit(&world, "f", 1), Admission::NewEpoch);
        assert_eq!(positions.admit(&world, "f", 1), Admission::Repeat);
        assert_eq!(positions.to_recover(), [position("", "f", 1)]);
    }

    #[test]
    fn the_first_message_ever_is_no_change_of_history() {
        let mut positions = Positions::default();
        positions.set(position("", "", 0));
        assert_eq!(positions.recovered(&[recovered("", "e", 1, true)]), []);
        assert_eq!(positions.admit(&Target::World, "e", 1), Admission::New);
        let mut positions = Positions::default();
        positions.set(position("", "", 0));
        assert_eq!(positions.admit(&Target::World, "e", 1), Admission::New);
    }

    #[test]
    fn an_own_message_counts_when_it_is_the_next() {
        let (mut positions, world) = (Positions::default(), Target::World);
        positions.admit(&world, "e", 4);
        positions.sent(&world, &receipt("e", 6));
        assert_eq!(positions.admit(&world, "e", 5), Admission::New, "5 was still on its way");
        positions.sent(&world, &receipt("e", 6));
        assert_eq!(positions.to_recover(), [position("", "e", 6)]);
        positions.sent(&target("user:x"), &receipt("u", 9));
        assert_eq!(positions.admit(&target("user:x"), "u", 8), Admission::New, "8 was still on its way");
        assert!(positions.to_recover().contains(&position("user:x", "u", 9)));
    }

    #[test]
    fn a_gap_is_told_once_and_what_comes_after_it_is_shown() {
        let (mut positions, world) = (Positions::default(), Target::World);
        positions.set(position("", "e", 4));
        let gaps = positions.recovered(&[recovered("", "e", 90, false)]);
        let gap =
            Gap { target: world.clone(), seen: Some(position("", "e", 4)), epoch: "e".into(), newest: 90 };
        assert_eq!(gaps, [gap]);
        assert_eq!(positions.to_recover(), [position("", "e", 90)], "not told again");
        assert_eq!(positions.admit(&world, "e", 80), Admission::New, "the server may send the end of it");
        assert_eq!(positions.admit(&world, "e", 91), Admission::New);
        assert_eq!(positions.to_recover(), [position("", "e", 91)]);
    }

    #[test]
    fn a_lost_history_begins_anew() {
        let mut positions = Positions::default();
        positions.set(position("", "e", 40));
        let gaps = positions.recovered(&[recovered("", "f", 2, false)]);
        assert_eq!((gaps[0].seen.as_ref(), gaps[0].newest), (Some(&position("", "e", 40)), 2));
        assert!(gaps[0].is_other_history());
        assert_eq!(positions.admit(&Target::World, "f", 3), Admission::New);
    }

    #[test]
    fn a_history_that_lost_its_end_goes_on() {
        let mut positions = Positions::default();
        positions.set(position("", "e", 40));
        let gaps = positions.recovered(&[recovered("", "e", 30, false)]);
        assert!(gaps[0].is_lost_end() && !gaps[0].is_other_history());
        assert_eq!(positions.admit(&Target::World, "e", 30), Admission::Repeat);
        assert_eq!(positions.admit(&Target::World, "e", 31), Admission::New);
    }

    #[test]
    fn an_emptied_history_is_told_once_and_recovered_from_its_beginning() {
        let mut positions = Positions::default();
        positions.set(position("", "e", 40));
        assert_eq!(positions.recovered(&[recovered("", "", 0, false)]).len(), 1);
        assert_eq!(positions.to_recover(), [position("", "", 0)]);
        assert_eq!(positions.recovered(&[recovered("", "", 0, false)]), []);
        assert_eq!(positions.admit(&Target::World, "f", 1), Admission::New);
    }

    #[test]
    fn what_there_was_no_room_to_ask_for_is_a_gap() {
        let mut positions = Positions::default();
        for n in 0..=MAX_RECOVER {
            positions.set(position(&format!("user:{n}"), "e", 1));
        }
        let asked = positions.to_recover();
        assert_eq!(asked.len(), MAX_RECOVER);
        assert_eq!(asked[0].target, target(&format!("user:{MAX_RECOVER}")), "the last one used comes first");
        let answers: Vec<_> = asked.iter().map(|p| recovered(&p.target.to_string(), "e", 1, true)).collect();
        let gaps = positions.recovered(&answers);
        assert_eq!(gaps.iter().map(|gap| gap.target.clone()).collect::<Vec<_>>(), [target("user:0")]);
    }

    #[test]
    fn conversations_begun_while_away_are_noticed() {
        let found = |text: &str, last_offset| Conversation {
            target: target(text),
            last_offset,
            last_time: 0,
            read_offset: 0,
            unread: 0,
        };
        let mut positions = Positions::default();
        positions.set(position("", "e", 4));
        assert_eq!(positions.discovered(&[found("", 4), found("user:a", 7)]), []);
        assert_eq!(positions.discovered(&[found("", 9), found("user:a", 7)]), [], "the world is recovered");
        let gaps = positions.discovered(&[found("user:a", 8), found("user:b", 1)]);
        let mut told: Vec<_> = gaps.iter().map(|gap| (gap.target.to_string(), gap.newest)).collect();
        told.sort();
        assert_eq!(told, [("user:a".to_owned(), 8), ("user:b".to_owned(), 1)]);
        assert_eq!(positions.discovered(&[found("user:a", 8), found("user:b", 1)]), []);
        let gaps = positions.discovered(&[found("user:a", 3), found("user:b", 1)]);
        assert_eq!(
            gaps.iter().map(|gap| gap.newest).collect::<Vec<_>>(),
            [3],
            "its history was lost and began anew"
        );
    }
}
