//! Names of everything chatd keeps or publishes in Redis and RabbitMQ.
//!
//! Invariant: no name is built anywhere else, and no two things share a name, whatever characters their ids hold:
//! an id stands last in its name, or behind its length in bytes.
//!
//! All keys of an app carry the hash tag `{<prefix>:<app>}`, so a Redis Cluster keeps an app in one slot and one
//! script may change a log, the index of repeats and two inboxes in one step. Atomicity is worth more here than
//! spreading one app over shards; apps still spread. Keys about nodes belong to no app and have their own tag.
//!
//! Every key ends by itself, or is owned by something that ends:
//!
//! | keys | end |
//! |---|---|
//! | `entries` of a group; `group`, `members` | with the group, when it is dismissed |
//! | `entries` of a world | none: one per app; what is in them by `history` |
//! | `entries` of a pair | a minute at most after its newest entry is older than `history.max_age`: see below |
//! | `pairs`, `reads` | when nothing was said to the user or by them, or read by them, for so long: see below |
//! | `entries` of an inbox | one to two hours after a message nobody listened for, else four weeks |
//! | `groups`, `standings`, `blocked` | when their user leaves, parts or unblocks |
//! | `ban`, `bans` | with the ban, and with the last one of the app |
//! | `file`, `file-bytes`, `file-ends`, `files` | with the files, which go with their messages, their group or by age |
//! | `file-apps`, `file-secret` | none: a number per app that ever had a file, and one text |
//! | `sent` | three days after the first message of a period |
//! | `packet`, `shares`, `winners` | some time after the packet is finished |
//! | `outbox`, `dead` | none: one of each per app; their entries when they are settled or replayed |
//! | `leases`, `graves`, `apps`, `here` | with the node, or when another clears it away |
//! | `count` | half a minute at most after it was counted, or after a node began to |
//! | `card` | three times the life of a lease after it was written |
//! | `admitted` | none: a number per app, while `limits.max_apps` bounds them |
//! | `probe` | a minute after it was written |
//! | `layout` | none: says how the others are written |
//! | `log`, `head`, `stubs`, `peers` of an earlier version | when a node takes them over as it starts |
//!
//! Without `history.max_age`, what is kept of pairs has no end: it is the history the operator keeps. Where that is set
//! later, a pair gets its end with its next message; one in which nothing is said any more stays.
//!
//! Redis keeps keys apart by database, but neither its channels nor RabbitMQ know of databases: their names carry it.

mod amqp;
mod files;

use std::sync::Arc;

use chat_protocol::{AppId, GroupId, PacketId, UserId};

pub use self::files::OVER;
use crate::model::{Conversation, Topic};

/// Longest prefix, in bytes.
const MAX_PREFIX_BYTES: usize = 32;

/// Consumer group of those who settle what is in an outbox.
pub const SETTLERS: &str = "settlers";

/// Why a text cannot stand before all names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key prefix must be 1 to {MAX_PREFIX_BYTES} of A-Z a-z 0-9 . _ -")]
pub struct BadPrefix;

/// Builds the names below one prefix; deployments with different prefixes or databases may share a Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    prefix: Arc<str>,
    /// What names outside of the database carry of it; nothing for database 0.
    database: Arc<str>,
    /// Whether a channel has a slot, and who speaks of it must know.
    is_cluster: bool,
}

impl Default for Keys {
    fn default() -> Self {
        Self { prefix: "chat".into(), database: "".into(), is_cluster: false }
    }
}

impl Keys {
    /// Takes the prefix.
    ///
    /// # Errors
    /// [`BadPrefix`] when it could be mistaken for another part of a name.
    pub fn new(prefix: &str) -> Result<Self, BadPrefix> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if prefix.is_empty() || prefix.len() > MAX_PREFIX_BYTES || !prefix.bytes().all(plain) {
            return Err(BadPrefix);
        }
        Ok(Self { prefix: prefix.into(), database: "".into(), is_cluster: false })
    }

    /// The same names for what is kept in the Redis database of this number.
    #[must_use]
    pub fn in_database(self, number: i64) -> Self {
        let database = if number == 0 { String::new() } else { format!("@{number}") };
        Self { database: database.into(), ..self }
    }

    /// The same names in a cluster, where a channel is published to in its slot.
    #[must_use]
    pub fn in_cluster(self) -> Self {
        Self { is_cluster: true, ..self }
    }

    /// List with the entries of a log.
    #[must_use]
    pub fn log(&self, conversation: &Conversation) -> String {
        self.of_conversation("entries", conversation)
    }

    /// List with everything published to a topic: the log itself, or places in logs for the inbox of a user.
    #[must_use]
    pub fn topic_log(&self, topic: &Topic) -> String {
        self.of_topic("entries", topic)
    }

    /// Channel of a topic.
    #[must_use]
    pub fn channel(&self, topic: &Topic) -> String {
        // By this word scripts know how to publish.
        let kind = if self.is_cluster { "sbus" } else { "bus" };
        self.of_topic(&format!("{kind}{}", self.database), topic)
    }

    /// Hash with name, owner and epoch of a group.
    #[must_use]
    pub fn group(&self, app: AppId, group: &GroupId) -> String {
        self.of_app(app, &format!("group:{group}"))
    }

    /// Sorted set of the members of a group, all with the score 0, hence in byte order.
    #[must_use]
    pub fn members(&self, app: AppId, group: &GroupId) -> String {
        self.of_app(app, &format!("members:{group}"))
    }

    /// Hash of the groups of a user: epoch of the group and offset of their joining.
    #[must_use]
    pub fn groups_of(&self, app: AppId, user: &UserId) -> String {
        self.of_app(app, &format!("groups:{user}"))
    }

    /// Sorted set of the users with whom a user has a conversation, by the time of its newest entry.
    #[must_use]
    pub fn pairs(&self, app: AppId, user: &UserId) -> String {
        self.of_app(app, &format!("pairs:{user}"))
    }

    /// Hash of how far a user has read, by conversation as they name it.
    #[must_use]
    pub fn reads(&self, app: AppId, user: &UserId) -> String {
        self.of_app(app, &format!("reads:{user}"))
    }

    /// Hash of how a user stands to others.
    #[must_use]
    pub fn standings(&self, app: AppId, user: &UserId) -> String {
        self.of_app(app, &format!("standings:{user}"))
    }

    /// Set of the users whom a user blocks.
    #[must_use]
    pub fn blocked(&self, app: AppId, user: &UserId) -> String {
        self.of_app(app, &format!("blocked:{user}"))
    }

    /// Text that says why a user may not come in.
    #[must_use]
    pub fn ban(&self, app: AppId, user: &UserId) -> String {
        self.of_app(app, &format!("ban:{user}"))
    }

    /// Sorted set of the users who have a ban, all with the score 0, hence in byte order.
    #[must_use]
    pub fn bans(&self, app: AppId) -> String {
        self.of_app(app, "bans")
    }

    /// Hash of the message ids a user sent within one period, with their receipts.
    #[must_use]
    pub fn sent(&self, app: AppId, sender: &UserId, period: u64) -> String {
        self.of_app(app, &format!("sent:{period}:{sender}"))
    }

    /// Hash of a red packet: its terms, how it stands, and who took how much.
    #[must_use]
    pub fn packet(&self, app: AppId, packet: &PacketId) -> String {
        self.of_app(app, &format!("packet:{packet}"))
    }

    /// List of the shares of a red packet that nobody has taken, in the order they are given out.
    #[must_use]
    pub fn shares(&self, app: AppId, packet: &PacketId) -> String {
        self.of_app(app, &format!("shares:{packet}"))
    }

    /// List of those who took a share of a red packet, in that order.
    #[must_use]
    pub fn winners(&self, app: AppId, packet: &PacketId) -> String {
        self.of_app(app, &format!("winners:{packet}"))
    }

    /// Stream of the settlements of an app that are not done.
    #[must_use]
    pub fn outbox(&self, app: AppId) -> String {
        self.of_app(app, "outbox")
    }

    /// Stream of the settlements of an app that were given up.
    #[must_use]
    pub fn dead_letters(&self, app: AppId) -> String {
        self.of_app(app, "dead")
    }

    /// Set of the apps that have an outbox.
    #[must_use]
    pub fn outboxes(&self) -> String {
        self.of_nodes("outboxes")
    }

    /// Sorted set of the groups that were dismissed, by the time from which on their red packets are to be looked at.
    #[must_use]
    pub fn dismissed(&self) -> String {
        self.of_nodes("dismissed")
    }

    /// Set of the apps that were admitted while their number was bounded.
    #[must_use]
    pub fn admitted(&self) -> String {
        self.of_nodes("admitted")
    }

    /// How all of this is written: a number.
    #[must_use]
    pub fn layout(&self) -> String {
        self.of_nodes("layout")
    }

    /// Lease of the node that takes over what an earlier version wrote.
    #[must_use]
    pub fn takeover(&self) -> String {
        self.of_nodes("takeover")
    }

    /// Patterns of SCAN for what an earlier version wrote in another way: the heads of logs and inboxes, and the sets of
    /// users with whom a user has a conversation.
    #[must_use]
    pub fn former(&self) -> [String; 2] {
        // Nothing before the star means anything to SCAN: see MAX_PREFIX_BYTES and where it is checked.
        ["head", "peers"].map(|kind| format!("{{{}:*}}:{kind}:*", self.prefix))
    }

    /// What belongs to a head of an earlier version: stream, stubs and list of the same log; no list for an inbox. None
    /// for another key.
    #[must_use]
    pub fn beside_former_head(&self, head: &str) -> Option<(String, String, Option<String>)> {
        let (tag, name) = self.former_name(head, "head")?;
        let of = |kind: &str| format!("{tag}:{kind}:{name}");
        Some((of("log"), of("stubs"), (!name.starts_with("inbox:")).then(|| of("entries"))))
    }

    /// App and user of a set of an earlier version; none for another key.
    #[must_use]
    pub fn owner_of_former_peers(&self, key: &str) -> Option<(AppId, UserId)> {
        let (tag, name) = self.former_name(key, "peers")?;
        let app = tag.rsplit_once(':')?.1.strip_suffix('}')?;
        Some((app.parse().ok()?, UserId::new(name).ok()?))
    }

    /// Hash tag and the rest of a name of this kind, when it is of an app and can be chatd's.
    fn former_name<'a>(&self, key: &'a str, kind: &str) -> Option<(&'a str, &'a str)> {
        let (tag, rest) = key.split_once("}:")?;
        tag.rsplit_once(':')?.1.parse::<AppId>().ok()?;
        let name = rest.strip_prefix(kind)?.strip_prefix(':')?;
        let known = kind == "peers"
            || name == "world"
            || ["group:", "pair:", "inbox:"].iter().any(|of| name.starts_with(of));
        known.then_some((&key[..=tag.len()], name))
    }

    /// What is written to see whether something can be; in a cluster in the slot of this tag, else always the same.
    #[must_use]
    pub fn probe(&self, tag: u32) -> String {
        self.of_tag(tag, "probe")
    }

    /// Channel on which a node hears itself; in a cluster in the slot of this tag, else always the same.
    #[must_use]
    pub fn echo(&self, node: u64, tag: u32) -> String {
        self.of_tag(tag, &format!("echo{}:{node:016x}", self.database))
    }

    /// How all names begin that are in the slot of a tag; in a cluster no others do.
    #[must_use]
    pub fn begin_of_tags(&self) -> String {
        if self.is_cluster { format!("{{{}#", self.prefix) } else { format!("{{{}}}:", self.prefix) }
    }

    /// Text in which the node that holds a lease says what it is and does.
    #[must_use]
    pub fn card(&self, lease: &str) -> String {
        self.of_nodes(&format!("card:{lease}"))
    }

    /// Sorted set of the leases of live nodes by the time they end.
    #[must_use]
    pub fn leases(&self) -> String {
        self.of_nodes("leases")
    }

    /// Sorted set of ended leases whose users are not yet cleared away, by the time another node may take over.
    #[must_use]
    pub fn graves(&self) -> String {
        self.of_nodes("graves")
    }

    /// Set of the apps in which the holder of a lease has users.
    #[must_use]
    pub fn lease_apps(&self, lease: &str) -> String {
        self.of_nodes(&format!("apps:{lease}"))
    }

    /// Sorted set of the users of an app whom the holder of a lease serves.
    #[must_use]
    pub fn here(&self, app: AppId, lease: &str) -> String {
        self.of_app(app, &format!("here:{lease}"))
    }

    /// How many users of an app are online, and when counting them began, for a moment.
    #[must_use]
    pub fn counted(&self, app: AppId) -> String {
        self.of_app(app, "count")
    }

    /// Pattern of SCAN for every key of an app.
    #[must_use]
    pub fn all_of_app(&self, app: AppId) -> String {
        // Nothing before the star means anything to SCAN.
        self.of_app(app, "*")
    }

    /// The packet whose key this is; none when it is another kind of key.
    #[must_use]
    pub fn packet_named_by<'a>(&self, app: AppId, key: &'a str) -> Option<&'a str> {
        key.strip_prefix(&self.of_app(app, "packet:"))
    }

    /// The packet whose shares or winners this key names; none when it is another kind of key.
    #[must_use]
    pub fn part_named_by<'a>(&self, app: AppId, key: &'a str) -> Option<&'a str> {
        ["shares:", "winners:"].iter().find_map(|part| key.strip_prefix(&self.of_app(app, part)))
    }

    fn of_conversation(&self, kind: &str, conversation: &Conversation) -> String {
        match conversation {
            Conversation::World(app) => self.of_app(*app, &format!("{kind}:world")),
            Conversation::Group(app, group) => self.of_app(*app, &format!("{kind}:group:{group}")),
            Conversation::Pair(app, a, b) => {
                self.of_app(*app, &format!("{kind}:pair:{}:{a}:{b}", a.as_str().len()))
            }
        }
    }

    fn of_topic(&self, kind: &str, topic: &Topic) -> String {
        match topic {
            Topic::World(app) => self.of_app(*app, &format!("{kind}:world")),
            Topic::Group(app, group) => self.of_app(*app, &format!("{kind}:group:{group}")),
            Topic::Inbox(app, user) => self.of_app(*app, &format!("{kind}:inbox:{user}")),
        }
    }

    fn of_app(&self, app: AppId, rest: &str) -> String {
        format!("{{{}:{app}}}:{rest}", self.prefix)
    }

    fn of_tag(&self, tag: u32, rest: &str) -> String {
        if self.is_cluster { format!("{{{}#{tag}}}:{rest}", self.prefix) } else { self.of_nodes(rest) }
    }

    fn of_nodes(&self, rest: &str) -> String {
        format!("{{{}}}:{rest}", self.prefix)
    }
}

#[cfg(test)]
mod tests;
