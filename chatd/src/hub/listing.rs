//! What an operator sees of the connections of a node, in pages.
//!
//! Invariant: a page is looked for shard by shard, and holds no more than was asked for, however many there are.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chat_protocol::{AppId, UserId};

use super::{Connection, Hub};
use crate::model::Identity;

/// Which connections are listed.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Of this app only.
    pub app: Option<AppId>,
    /// Of users of this name only.
    pub user: Option<UserId>,
    /// From IP addresses that begin so only.
    pub address: Option<String>,
}

/// One connection as it is at this moment.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its number on this node; a later connection has a greater one.
    pub number: u64,
    /// Who speaks on it, once logged in.
    pub identity: Option<Identity>,
    /// Where it is from.
    pub peer: SocketAddr,
    /// Time since it was opened, in whole seconds.
    pub open_for: Duration,
    /// Time since something was heard from it, in whole seconds.
    pub silent_for: Duration,
    /// Bytes that wait for its reader.
    pub waiting: usize,
}

impl Wanted {
    fn has(&self, connection: &Connection) -> bool {
        let from = || connection.peer().ip().to_canonical().to_string();
        if self.address.as_ref().is_some_and(|begin| !from().starts_with(begin.as_str())) {
            return false;
        }
        if self.app.is_none() && self.user.is_none() {
            return true;
        }
        connection.following.lock().as_ref().is_some_and(|following| {
            let Identity { app, user } = &following.identity;
            self.app.is_none_or(|wanted| wanted == *app)
                && self.user.as_ref().is_none_or(|wanted| wanted == user)
        })
    }
}

impl Hub {
    /// The connections with a number above `after`, at most `limit`, in the order in which they came, and whether there
    /// are more.
    #[must_use]
    pub fn list(&self, wanted: &Wanted, after: u64, limit: usize) -> (Vec<Listed>, bool) {
        let mut found: BTreeMap<u64, Arc<Connection>> = BTreeMap::new();
        let mut keep = |connection: &Arc<Connection>| {
            let number = connection.id.number;
            let is_beyond =
                found.len() > limit && found.last_key_value().is_some_and(|(last, _)| *last < number);
            if number > after && !is_beyond && wanted.has(connection) {
                found.insert(number, connection.clone());
                if found.len() > limit + 1 {
                    found.pop_last();
                }
            }
        };
        match (wanted.app, &wanted.user) {
            (Some(app), Some(user)) => {
                self.connections_of(&Identity { app, user: user.clone() }).iter().for_each(keep);
            }
            _ => self.open.iter().for_each(|shard| shard.lock().values().for_each(&mut keep)),
        }
        let more = found.len() > limit;
        (found.into_values().take(limit).map(|connection| self.listed(&connection)).collect(), more)
    }

    fn listed(&self, connection: &Connection) -> Listed {
        let since = |then_s: u32| Duration::from_secs(self.now_s().saturating_sub(then_s).into());
        Listed {
            number: connection.id.number,
            identity: connection.identity(),
            peer: connection.peer(),
            open_for: since(connection.opened_s),
            silent_for: since(connection.heard_s.load(Ordering::Relaxed)),
            waiting: connection.outbox.waiting(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::bell::Rope;
    use crate::hub::outbox::Limits;

    fn numbers(hub: &Hub, wanted: &Wanted, after: u64, limit: usize) -> (Vec<u64>, bool) {
        let (listed, more) = hub.list(wanted, after, limit);
        (listed.into_iter().map(|listed| listed.number).collect(), more)
    }

    #[test]
    fn pages_go_on_where_the_last_one_ended_and_hold_what_is_wanted_only() {
        let hub = Hub::new(1, Limits { frames: 1, bytes: 1 }, Arc::default());
        let addresses = ["10.0.0.1:1", "10.0.0.2:1", "[::ffff:10.0.0.1]:1"];
        let open: Vec<_> =
            (0..40).map(|at| hub.open_from(Rope::default(), addresses[at % 3].parse().unwrap())).collect();
        let everyone = Wanted::default();
        assert_eq!(numbers(&hub, &everyone, 0, 15), ((1..=15).collect(), true));
        assert_eq!(numbers(&hub, &everyone, 15, 25), ((16..=40).collect(), false));
        assert_eq!(numbers(&hub, &everyone, 40, 10), (vec![], false));
        let from = Wanted { address: Some("10.0.0.2".to_owned()), ..Wanted::default() };
        assert_eq!(numbers(&hub, &from, 0, 3), (vec![2, 5, 8], true));
        let mapped = Wanted { address: Some("10.0.0.1".to_owned()), ..Wanted::default() };
        assert_eq!(numbers(&hub, &mapped, 0, 3), (vec![1, 3, 4], true));

        for (at, app, name) in [(7, 1, "a"), (9, 2, "a"), (11, 1, "b")] {
            let identity = Identity { app, user: UserId::new(name).unwrap() };
            open[at].begin(&identity);
            hub.enter(&open[at], &identity, &crate::model::Topic::Inbox(app, identity.user.clone()));
        }
        assert_eq!(hub.users(), 3);
        let (a, in_one) = (UserId::new("a").ok(), Some(1));
        let of = |app, user| numbers(&hub, &Wanted { app, user, address: None }, 0, 10).0;
        assert_eq!(of(in_one, None), [8, 12]);
        assert_eq!(of(None, a.clone()), [8, 10]);
        assert_eq!(of(in_one, a), [8]);
    }
}
