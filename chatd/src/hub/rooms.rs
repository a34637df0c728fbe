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
    members: HashMap<Topic, Vec<Arc<Connection>>>,
    sessions: usize,
}

impl Rooms {
    /// Adds the connection to the room of a topic, unless it is there.
    pub fn enter(&mut self, topic: &Topic, connection: &Arc<Connection>) {
        match self.members.get_mut(topic) {
            Some(members) => match search(members, connection.id) {
                Ok(_) => return,
                Err(index) => members.insert(index, connection.clone()),
            },
            // Most rooms are the inbox of one device: `vec!` holds no room for more.
            None => drop(self.members.insert(topic.clone(), vec![connection.clone()])),
        }
        if matches!(topic, Topic::Inbox(..)) {
            self.sessions += 1;
        }
    }

    /// Removes the connection from the room of a topic.
    pub fn leave(&mut self, topic: &Topic, id: ConnectionId) {
        let Some(members) = self.members.get_mut(topic) else { return };
        let Ok(index) = search(members, id) else { return };
        members.remove(index);
        if members.is_empty() {
            self.members.remove(topic);
        }
        if matches!(topic, Topic::Inbox(..)) {
            self.sessions -= 1;
        }
    }

    /// Removes those who are to go from the room of a topic other than an inbox; gives them.
    pub fn leave_all(&mut self, topic: &Topic, goes: impl Fn(&Connection) -> bool) -> Vec<Arc<Connection>> {
        let members = self.members.remove(topic).unwrap_or_default();
        let (gone, left) = members.into_iter().partition::<Vec<_>, _>(|connection| goes(connection));
        if !left.is_empty() {
            self.members.insert(topic.clone(), left);
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
        self.members.get(topic).map_or(&[], Vec::as_slice)
    }

    /// Logged-in connections of this shard.
    pub fn sessions(&self) -> usize {
        self.sessions
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
}
