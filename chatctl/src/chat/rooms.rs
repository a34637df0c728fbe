//! What was said in each conversation, as far as it is held here.
//!
//! Invariant: a message stands in its room once, behind those before it and before those behind it, whatever order they
//! came in; a room holds so many at most, the newest.

use std::collections::BTreeMap;

use chat_protocol::Target;
use chat_protocol::message::{RECALL_KIND, RECALLED_KIND};
use chat_protocol::session::Push;
use chat_protocol::{PacketId, UserId};

use crate::message;

/// Items that a room holds.
const HELD: usize = 2000;

/// Something that stands in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// When, Unix milliseconds.
    pub time: u64,
    /// Who said it; none for what chatctl notes.
    pub from: Option<UserId>,
    /// What a person reads of it.
    pub text: String,
    /// Whether others have to do something with it, or it has something for them.
    pub packet: Option<PacketId>,
    /// Its history and its number there; none for notes.
    place: Option<(String, u64)>,
}

/// One conversation.
#[derive(Debug)]
pub struct Room {
    /// Which one.
    pub target: Target,
    /// What stands there, in order.
    pub items: Vec<Item>,
    /// Messages that came while another room was in front.
    pub unread: u64,
    /// Whether nothing was said before the first item.
    pub is_whole: bool,
    /// Whether its history was asked for.
    pub is_begun: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Rooms(BTreeMap<String, Room>);

impl Rooms {
    /// The room of a conversation, a new one if need be.
    pub fn room(&mut self, target: &Target) -> &mut Room {
        self.0.entry(target.to_string()).or_insert_with(|| Room {
            target: target.clone(),
            items: Vec::new(),
            unread: 0,
            is_whole: false,
            is_begun: false,
        })
    }

    /// The room of a conversation, if there is one.
    #[must_use]
    pub fn find(&self, target: &Target) -> Option<&Room> {
        self.0.get(&target.to_string())
    }

    /// All of them by name.
    pub fn all(&self) -> impl Iterator<Item = &Room> {
        self.0.values()
    }
}

impl Room {
    /// Takes in a message; false when it was there.
    pub fn insert(&mut self, push: &Push) -> bool {
        if push.content.kind == RECALL_KIND
            && let Some(recalled) = push.content.recalls
        {
            self.take_back(&push.epoch, recalled);
        }
        let (epoch, offset) = (&push.epoch, push.offset);
        let of = |item: &Item| item.place.as_ref().filter(|(of, _)| of == epoch).map(|(_, offset)| *offset);
        let before = self.items.iter().rposition(|item| of(item).is_some_and(|there| there <= offset));
        let at = match before {
            Some(at) if of(&self.items[at]) == Some(offset) => return false,
            Some(at) => at + 1,
            None => self.items.iter().position(|item| of(item).is_some()).unwrap_or(self.items.len()),
        };
        let item = Item {
            time: push.time,
            from: Some(push.from.clone()),
            text: message::text(&push.content),
            packet: push.content.packet_id.clone().filter(|_| push.content.kind != RECALLED_KIND),
            place: Some((epoch.clone(), offset)),
        };
        self.items.insert(at, item);
        self.forget();
        true
    }

    /// Notes something that nobody said.
    pub fn note(&mut self, time: u64, text: impl Into<String>) {
        self.items.push(Item { time, from: None, text: text.into(), packet: None, place: None });
        self.forget();
    }

    /// The offset of the first message that is held, of the newest history.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        let epoch = self.items.iter().rev().find_map(|item| item.place.as_ref()).map(|(epoch, _)| epoch)?;
        let mut places = self.items.iter().filter_map(|item| item.place.as_ref());
        places.find(|(of, _)| of == epoch).map(|(_, offset)| *offset)
    }

    /// The offset of the last message.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.items.iter().rev().find_map(|item| item.place.as_ref()).map(|(_, offset)| *offset)
    }

    /// The newest red packet that was offered here.
    #[must_use]
    pub fn packet(&self) -> Option<&PacketId> {
        self.items.iter().rev().find_map(|item| item.packet.as_ref())
    }

    fn take_back(&mut self, epoch: &str, offset: u64) {
        let is_meant =
            |item: &&mut Item| item.place.as_ref().is_some_and(|(of, at)| of == epoch && *at == offset);
        if let Some(item) = self.items.iter_mut().find(is_meant) {
            (item.text, item.packet) = ("(recalled)".to_owned(), None);
        }
    }

    fn forget(&mut self) {
        let too_many = self.items.len().saturating_sub(HELD);
        if too_many > 0 {
            self.items.drain(..too_many);
            self.is_whole = false;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::json;

    /// A message of the world.
    pub fn said(epoch: &str, offset: u64, from: &str, text: &str) -> Push {
        let push = json!({
            "target": "", "type": "text", "msg": text, "from": from, "msgId": format!("m{offset}"), "offset": offset,
            "epoch": epoch, "time": offset * 60_000
        });
        serde_json::from_value(push).unwrap()
    }

    fn texts(room: &Room) -> Vec<&str> {
        room.items.iter().map(|item| item.text.as_str()).collect()
    }

    #[test]
    fn whatever_order_they_come_in_they_stand_in_their_own() {
        let mut rooms = Rooms::default();
        let room = rooms.room(&Target::World);
        for offset in [5, 6, 3, 4, 6, 2, 7] {
            room.insert(&said("e", offset, "a", &offset.to_string()));
            room.note(0, "-");
        }
        room.items.retain(|item| item.from.is_some());
        assert_eq!(texts(room), ["2", "3", "4", "5", "6", "7"]);
        assert_eq!((room.first(), room.last()), (Some(2), Some(7)));
        assert!(room.insert(&said("f", 1, "a", "anew")));
        assert_eq!(
            (texts(room).last(), room.first()),
            (Some(&"anew"), Some(1)),
            "another history comes behind"
        );
    }

    #[test]
    fn what_is_taken_back_is_shown_so() {
        let mut rooms = Rooms::default();
        let room = rooms.room(&Target::World);
        room.insert(&said("e", 1, "a", "oh no"));
        let mut recall = said("e", 2, "a", "");
        (recall.content.kind, recall.content.recalls) = (RECALL_KIND.to_owned(), Some(1));
        room.insert(&recall);
        assert_eq!(texts(room), ["(recalled)", "(recalled message 1)"]);
    }

    #[test]
    fn a_room_forgets_the_oldest() {
        let mut rooms = Rooms::default();
        let room = rooms.room(&Target::World);
        room.is_whole = true;
        for offset in 1..=HELD as u64 + 5 {
            room.insert(&said("e", offset, "a", "x"));
        }
        assert_eq!((room.items.len(), room.first(), room.is_whole), (HELD, Some(6), false));
    }
}
