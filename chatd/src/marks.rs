//! Marks: who is typing where, and how far others have read. They matter to who looks at the conversation, and to nobody
//! else: [`crate::hub`] knows who that is.
//!
//! Invariant: they touch no log and no store, but for what [`standing`] reads. What is marked is gathered, and told once a
//! second for each conversation, however often it is marked; what is too much to gather is not told.

pub mod standing;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chat_protocol::session::{MAX_READERS, MAX_TYPISTS, READ, Reader, Readers, TYPING, Typists};
use chat_protocol::{Target, UserId};
use futures_util::future::join_all;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::MissedTickBehavior;

use crate::broker::Bus;
use crate::hub::Hub;
use crate::model::{Conversation, Notice, Skip, Topic};

/// Pause between two pushes of one kind in one conversation.
const PAUSE: Duration = Duration::from_secs(1);
/// Conversations that are gathered for at a time.
const MAX_CONVERSATIONS: usize = 4_096;
/// Conversations that are told of at a time.
const SLICE: usize = 64;

/// What is to be told.
pub struct Marks {
    hub: Arc<Hub>,
    bus: Arc<dyn Bus>,
    gathered: Mutex<HashMap<Conversation, Gathered>>,
}

/// What was marked in one conversation since it was last told.
#[derive(Debug, Default)]
struct Gathered {
    typing: BTreeSet<UserId>,
    epoch: Arc<str>,
    read: BTreeMap<UserId, u64>,
}

impl Marks {
    /// Tells of marks over this bus.
    #[must_use]
    pub fn new(hub: Arc<Hub>, bus: Arc<dyn Bus>) -> Self {
        Self { hub, bus, gathered: Mutex::default() }
    }

    /// Somebody writes in a conversation of theirs.
    pub fn typing(&self, user: &UserId, conversation: Conversation) {
        self.gather(conversation, |gathered| {
            if gathered.typing.len() < MAX_TYPISTS {
                gathered.typing.insert(user.clone());
            }
        });
    }

    /// Somebody has read a conversation of theirs up to there.
    pub fn read(&self, user: &UserId, conversation: Conversation, epoch: &Arc<str>, offset: u64) {
        if offset == 0 {
            return;
        }
        self.gather(conversation, |gathered| {
            if gathered.epoch != *epoch {
                gathered.read.clear();
                gathered.epoch = epoch.clone();
            }
            if gathered.read.len() < MAX_READERS || gathered.read.contains_key(user) {
                gathered.read.insert(user.clone(), offset);
            }
        });
    }

    fn gather(&self, conversation: Conversation, change: impl FnOnce(&mut Gathered)) {
        let is_with_oneself = matches!(&conversation, Conversation::Pair(_, a, b) if a == b);
        if is_with_oneself || self.hub.is_crowded(&conversation) {
            return;
        }
        let mut gathered = self.gathered.lock();
        if gathered.len() < MAX_CONVERSATIONS || gathered.contains_key(&conversation) {
            change(gathered.entry(conversation).or_default());
        }
    }

    /// Tells of what was gathered, once a second.
    pub async fn tell(self: Arc<Self>) {
        let mut tick = tokio::time::interval(PAUSE);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let gathered = std::mem::take(&mut *self.gathered.lock());
            let notices: Vec<_> =
                gathered.iter().flat_map(|(conversation, marks)| marks.notices(conversation)).collect();
            for slice in notices.chunks(SLICE) {
                // Nobody waits for a mark; one that does not arrive is not told again.
                join_all(slice.iter().map(|(topic, notice)| self.bus.notify(topic, notice.clone()))).await;
            }
        }
    }
}

impl Gathered {
    /// Each with where it goes: of a pair, what the one does to the other.
    fn notices(&self, conversation: &Conversation) -> Vec<(Topic, Notice)> {
        match conversation {
            Conversation::World(app) => self.to_all(&Topic::World(*app), &Target::World),
            Conversation::Group(app, group) => {
                self.to_all(&Topic::Group(*app, group.clone()), &Target::Group(group.clone()))
            }
            Conversation::Pair(app, a, b) => [(a, b), (b, a)]
                .into_iter()
                .flat_map(|(from, to)| {
                    let (topic, target) = (Topic::Inbox(*app, to.clone()), Target::User(to.clone()));
                    self.of(from).told(&topic, &target, &Skip::User(from.clone()))
                })
                .collect(),
        }
    }

    fn to_all(&self, topic: &Topic, target: &Target) -> Vec<(Topic, Notice)> {
        // Who is the only one is not told of themselves.
        let all: BTreeSet<_> = self.typing.iter().chain(self.read.keys()).collect();
        let skip = match (all.len(), all.first()) {
            (1, Some(only)) => Skip::User((*only).clone()),
            _ => Skip::Nobody,
        };
        self.told(topic, target, &skip)
    }

    /// What one of them did.
    fn of(&self, user: &UserId) -> Self {
        let typing = self.typing.get(user).cloned().into_iter().collect();
        let read = self.read.get_key_value(user).map(|(user, offset)| (user.clone(), *offset));
        Self { typing, epoch: self.epoch.clone(), read: read.into_iter().collect() }
    }

    fn told(&self, topic: &Topic, target: &Target, skip: &Skip) -> Vec<(Topic, Notice)> {
        let typing = (!self.typing.is_empty()).then(|| {
            let users = self.typing.iter().cloned().collect();
            notice(TYPING, &Typists { target: target.clone(), users }, skip)
        });
        let read = (!self.read.is_empty()).then(|| {
            let readers =
                self.read.iter().map(|(user, offset)| Reader { user_id: user.clone(), offset: *offset });
            let (target, epoch) = (target.clone(), self.epoch.to_string());
            notice(READ, &Readers { target, epoch, readers: readers.collect() }, skip)
        });
        typing.into_iter().chain(read).map(|notice| (topic.clone(), notice)).collect()
    }
}

fn notice(cmd: &str, data: &impl Serialize, skip: &Skip) -> Notice {
    // Cannot fail: the members have text keys and no failing serializer.
    let data = serde_json::to_vec(data).unwrap_or_default();
    Notice { cmd: cmd.into(), data: Bytes::from(data), skip: skip.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::outbox::Limits;

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn said(notices: &[(Topic, Notice)]) -> Vec<String> {
        let said = |(topic, notice): &(Topic, Notice)| {
            format!("{topic:?} {} {}", notice.cmd, String::from_utf8_lossy(&notice.data))
        };
        notices.iter().map(said).collect()
    }

    #[test]
    fn of_a_pair_each_is_told_of_the_other() {
        let conversation = Conversation::of(1, &user("a"), &Target::User(user("b")));
        let mut gathered = Gathered { epoch: "e".into(), ..Gathered::default() };
        gathered.typing.insert(user("a"));
        gathered.read.insert(user("b"), 7);
        let told = gathered.notices(&conversation);
        assert_eq!(
            said(&told),
            [
                r#"Inbox(1, "b") typing {"target":"user:b","users":["a"]}"#,
                r#"Inbox(1, "a") read {"target":"user:a","epoch":"e","readers":[{"userId":"b","offset":7}]}"#,
            ]
        );
        assert_eq!(told[0].1.skip, Skip::User(user("a")));
    }

    #[tokio::test]
    async fn what_is_gathered_is_bounded() {
        let hub = Arc::new(Hub::new(1, Limits { frames: 1, bytes: 1 }, Arc::default()));
        let marks = Marks::new(hub, Arc::new(Deaf));
        let epoch = Arc::from("e");
        for number in 0..MAX_CONVERSATIONS + 10 {
            let app = u32::try_from(number).unwrap();
            marks.typing(&user("a"), Conversation::World(app));
        }
        for number in 0..2 * MAX_READERS {
            let name = user(&format!("u{number}"));
            marks.typing(&name, Conversation::World(1));
            marks.read(&name, Conversation::World(1), &epoch, 1);
            marks.read(&name, Conversation::World(1), &epoch, 2);
        }
        let gathered = marks.gathered.lock();
        assert_eq!(gathered.len(), MAX_CONVERSATIONS);
        let world = &gathered[&Conversation::World(1)];
        assert_eq!((world.typing.len(), world.read.len()), (MAX_TYPISTS, MAX_READERS));
        assert!(world.read.values().all(|offset| *offset == 2));
    }

    struct Deaf;

    #[async_trait::async_trait]
    impl Bus for Deaf {
        async fn notify(&self, _: &Topic, _: Notice) -> Result<(), crate::broker::BrokerError> {
            Ok(())
        }
        async fn subscribe(&self, _: &Topic) -> Result<(), crate::broker::BrokerError> {
            Ok(())
        }
        fn unsubscribe(&self, _: &Topic) {}
    }
}
