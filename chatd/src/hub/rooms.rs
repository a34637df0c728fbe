//! The connections of a share of the users, by topic.
//!
//! Invariant: a room that nobody is in does not exist; who is in one stands in the order of opening, so that one of
//! thousands is found without looking at all.

use std::collections::HashMap;
use std::sync::Arc;

use super::Connection;
use crate::model::{ConnectionId, Topic};

/// Rooms of one shard.
#[derive(Debug, Default)]
pub struct Rooms {
    members: HashMap<Topic, Members>,
    sessions: usize,
    users: usize,
}

/// Who is in a room.
#[derive(Debug)]
enum Members {
    /// Most rooms are the inbox of one device.
    One(Arc<Connection>),
    /// In the order of opening.
    Many(Vec<Arc<Connection>>),
}

impl Members {
    fn as_slice(&self) -> &[Arc<Connection>] {
        match self {
            Members::One(member) => std::slice::from_ref(member),
            Members::Many(members) => members,
        }
    }

    /// Adds a connection; false when it was there.
    fn add(&mut self, connection: &Arc<Connection>) -> bool {
        let Err(index) = search(self.as_slice(), connection.id) else { return false };
        match self {
            Members::One(member) => {
                let mut both = vec![member.clone()];
                both.insert(index, connection.clone());
                *self = Members::Many(both);
            }
            Members::Many(members) => members.insert(index, connection.clone()),
        }
        true
    }
}

impl Rooms {
    /// Adds the connection to the room of a topic, unless it is there.
    pub fn enter(&mut self, topic: &Topic, connection: &Arc<Connection>) {
        let is_inbox = matches!(topic, Topic::Inbox(..));
        let is_new = match self.members.get_mut(topic) {
            Some(members) => members.add(connection),
            None => {
                self.users += usize::from(is_inbox);
                self.members.insert(topic.clone(), Members::One(connection.clone())).is_none()
            }
        };
        if is_new && is_inbox {
            self.sessions += 1;
        }
    }

    /// Removes the connection from the room of a topic.
    pub fn leave(&mut self, topic: &Topic, id: ConnectionId) {
        let Some(members) = self.members.get_mut(topic) else { return };
        let Ok(index) = search(members.as_slice(), id) else { return };
        let is_empty = match members {
            Members::One(_) => true,
            Members::Many(members) => {
                members.remove(index);
                members.is_empty()
            }
        };
        if is_empty {
            self.members.remove(topic);
        }
        if matches!(topic, Topic::Inbox(..)) {
            self.sessions -= 1;
            self.users -= usize::from(is_empty);
        }
    }

    /// Removes those who are to go from the room of a topic other than an inbox; gives them.
    pub fn leave_all(&mut self, topic: &Topic, goes: impl Fn(&Connection) -> bool) -> Vec<Arc<Connection>> {
        let (gone, left): (Vec<_>, Vec<_>) =
            self.members(topic).iter().cloned().partition(|connection| goes(connection));
        if left.is_empty() {
            self.members.remove(topic);
        } else if !gone.is_empty() {
            self.members.insert(topic.clone(), Members::Many(left));
        }
        gone
    }

    /// Whether the connection is in the room.
    pub fn holds(&self, topic: &Topic, id: ConnectionId) -> bool {
        search(self.members(topic), id).is_ok()
    }

    /// Whether anyone is in the room.
    pub fn has(&self, topic: &Topic) -> bool {
        self.members.contains_key(topic)
    }

    /// Who is in the room.
    pub fn members(&self, topic: &Topic) -> &[Arc<Connection>] {
        self.members.get(topic).map_or(&[], Members::as_slice)
    }

    /// Logged-in connections of this shard.
    pub fn sessions(&self) -> usize {
        self.sessions
    }

    /// Users with such a connection.
    pub fn users(&self) -> usize {
        self.users
    }
}

/// Where the connection stands among the members of a room, or would.
pub(super) fn search(members: &[Arc<Connection>], id: ConnectionId) -> Result<usize, usize> {
    members.binary_search_by_key(&id.number, |connection| connection.id.number)
}

#[cfg(test)]
mod tests {
    use super::super::Hub;
    use super::super::outbox::Limits;
    use super::*;
    use crate::hub::bell::Rope;

    #[test]
    fn who_enters_in_any_order_is_found_and_leaves_alone() {
        let hub = Hub::new(1, Limits { frames: 1, bytes: 1 }, Arc::default());
        let connections: Vec<_> = (0..5).map(|_| hub.open(Rope::default())).collect();
        let (topic, mut rooms) = (Topic::World(1), Rooms::default());
        for index in [3, 0, 4, 1, 3] {
            rooms.enter(&topic, &connections[index]);
        }
        let inside = |rooms: &Rooms| -> Vec<bool> {
            connections.iter().map(|connection| rooms.holds(&topic, connection.id)).collect()
        };
        assert_eq!(inside(&rooms), [true, true, false, true, true]);
        rooms.leave(&topic, connections[2].id);
        rooms.leave(&topic, connections[1].id);
        assert_eq!(inside(&rooms), [true, false, false, true, true]);
        let gone = rooms.leave_all(&topic, |connection| connection.id != connections[3].id);
        assert_eq!(gone.len(), 2);
        assert_eq!(inside(&rooms), [false, false, false, true, false]);
        rooms.leave(&topic, connections[3].id);
        assert!(!rooms.has(&topic));
    }

    #[test]
    fn a_user_counts_once_from_the_first_device_to_the_last() {
        let hub = Hub::new(1, Limits { frames: 1, bytes: 1 }, Arc::default());
        let devices = [(); 3].map(|()| hub.open(Rope::default()));
        let inbox = |name: &str| Topic::Inbox(1, chat_protocol::UserId::new(name).unwrap());
        let (own, others, mut rooms) = (inbox("a"), inbox("b"), Rooms::default());
        let mut counted = Vec::new();
        for (topic, device) in [(&own, 0), (&own, 1), (&own, 1), (&others, 2)] {
            rooms.enter(topic, &devices[device]);
            counted.push((rooms.users(), rooms.sessions()));
        }
        rooms.enter(&Topic::World(1), &devices[0]);
        for (topic, device) in [(&own, 0), (&own, 0), (&others, 2), (&own, 1)] {
            rooms.leave(topic, devices[device].id);
            counted.push((rooms.users(), rooms.sessions()));
        }
        assert_eq!(counted, [(1, 1), (1, 2), (1, 2), (2, 3), (2, 2), (2, 2), (1, 1), (0, 0)]);
    }
}
