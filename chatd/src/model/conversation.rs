//! Conversations, by the users or the group they belong to, and the topics that carry what is said in them.
//!
//! Invariant: a pair has one log, whoever of the two names it.

use chat_protocol::{AppId, GroupId, Target, UserId};

/// An ordered log of messages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Conversation {
    /// The world room of an app.
    World(AppId),
    /// A group.
    Group(AppId, GroupId),
    /// Two users, the lesser name first, or one user with themselves.
    Pair(AppId, UserId, UserId),
}

impl Conversation {
    /// The conversation a message from `sender` to `target` belongs to.
    #[must_use]
    pub fn of(app: AppId, sender: &UserId, target: &Target) -> Self {
        match target {
            Target::World => Conversation::World(app),
            Target::Group(group) => Conversation::Group(app, group.clone()),
            Target::User(other) => {
                let (a, b) = if sender <= other { (sender, other) } else { (other, sender) };
                Conversation::Pair(app, a.clone(), b.clone())
            }
        }
    }

    /// The app it belongs to.
    #[must_use]
    pub fn app(&self) -> AppId {
        match self {
            Conversation::World(app) | Conversation::Group(app, _) | Conversation::Pair(app, ..) => *app,
        }
    }

    /// Its name for one of its users.
    #[must_use]
    pub fn named_by(&self, user: &UserId) -> Target {
        match self {
            Conversation::World(_) => Target::World,
            Conversation::Group(_, group) => Target::Group(group.clone()),
            Conversation::Pair(_, a, b) => Target::User(if user == a { b } else { a }.clone()),
        }
    }

    /// A topic that carries all its messages, and that whoever is none of its users follows for them.
    #[must_use]
    pub fn carrier(&self) -> Topic {
        match self {
            Conversation::World(app) => Topic::World(*app),
            Conversation::Group(app, group) => Topic::Group(*app, group.clone()),
            Conversation::Pair(app, a, _) => Topic::Inbox(*app, a.clone()),
        }
    }

    /// Whether this topic is the [`Conversation::carrier`] of its messages, which it is known to carry.
    #[must_use]
    pub fn is_carried_by(&self, topic: &Topic) -> bool {
        match (self, topic) {
            (Conversation::Pair(_, a, _), Topic::Inbox(_, user)) => a == user,
            _ => true,
        }
    }

    /// The topics that carry its messages: one, or the inboxes of a pair.
    #[must_use]
    pub fn topics(&self) -> Vec<Topic> {
        match self {
            Conversation::World(app) => vec![Topic::World(*app)],
            Conversation::Group(app, group) => vec![Topic::Group(*app, group.clone())],
            Conversation::Pair(app, a, b) if a == b => vec![Topic::Inbox(*app, a.clone())],
            Conversation::Pair(app, a, b) => {
                vec![Topic::Inbox(*app, a.clone()), Topic::Inbox(*app, b.clone())]
            }
        }
    }
}

/// What a node subscribes to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Messages and notices of an app's world room.
    World(AppId),
    /// Messages and notices of a group.
    Group(AppId, GroupId),
    /// One-to-one messages and notices of a user.
    Inbox(AppId, UserId),
}
