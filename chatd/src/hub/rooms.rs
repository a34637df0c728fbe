//! The connections of a share of the users, by topic.
//!
//! Invariant: a room that nobody is in does not exist.

use std::collections::HashMap;
use std::sync::Arc;

use super::Connection;
use crate::broker::{ConnectionId, Topic};

/// Rooms of one shard.
#[derive(Debug, Default)]
pub struct Rooms {
    members: HashMap<Topic, Vec<Arc<Connection>>>,
    sessions: usize,
}

impl Rooms {
    /// Adds the connection to the room of a topic.
    pub fn enter(&mut self, topic: &Topic, connection: &Arc<Connection>) {
        if matches!(topic, Topic::Inbox(..)) {
            self.sessions += 1;
        }
        match self.members.get_mut(topic) {
            Some(members) => members.push(connection.clone()),
            // Most rooms are the inbox of one device: `vec!` holds no room for more.
            None => drop(self.members.insert(topic.clone(), vec![connection.clone()])),
        }
    }

    /// Removes the connection from the room of a topic.
    pub fn leave(&mut self, topic: &Topic, id: ConnectionId) {
        let Some(members) = self.members.get_mut(topic) else { return };
        let Some(index) = members.iter().position(|connection| connection.id == id) else { return };
        members.swap_remove(index);
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
        self.members(topic).iter().any(|connection| connection.id == id)
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
