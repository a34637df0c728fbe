//! How far others had read a conversation before somebody began to look at it, for what is told to who looks is kept nowhere.
//!
//! Invariant: it is asked of the store only for who looks and wants to know, costs one look for each of the others, and is
//! not told where they are too many: in a large group or world, and where too many look. Of a group nothing is told to who
//! is no member there, even where their node has not heard of it yet.

use std::sync::Arc;

use chat_protocol::session::{Reader, Readers};
use chat_protocol::{Refusal, Target, UserId};

use crate::conversations::Conversations;
use crate::groups::{GroupError, Groups};
use crate::hub::Hub;
use crate::model::{Conversation, Identity};
use crate::presence::Presence;

/// Who may have read a conversation, and what they have.
pub struct Standing {
    hub: Arc<Hub>,
    conversations: Arc<dyn Conversations>,
    groups: Arc<dyn Groups>,
    presence: Arc<dyn Presence>,
}

impl Standing {
    /// As these know it.
    #[must_use]
    pub fn new(
        hub: Arc<Hub>,
        conversations: Arc<dyn Conversations>,
        groups: Arc<dyn Groups>,
        presence: Arc<dyn Presence>,
    ) -> Self {
        Self { hub, conversations, groups, presence }
    }

    /// How far others have read what the user calls `target`: the other one, the members, or who is online. Of nobody
    /// where they are more than `most`, or nobody is told of marks.
    ///
    /// # Errors
    /// When a store did not answer, or the user is no member of the group.
    pub async fn of_others(
        &self,
        identity: &Identity,
        target: Target,
        most: usize,
    ) -> Result<Readers, Refusal> {
        let conversation = Conversation::of(identity.app, &identity.user, &target);
        let others = match self.hub.is_crowded(&conversation) {
            true => Vec::new(),
            false => self.others(identity, &conversation, most).await?,
        };
        let (epoch, offsets) = match others.is_empty() {
            true => Default::default(),
            false => self.conversations.read_by(&conversation, &others).await?,
        };
        let read = others.into_iter().zip(offsets).filter(|(_, offset)| *offset > 0);
        let readers = read.map(|(user_id, offset)| Reader { user_id, offset }).collect();
        Ok(Readers { target, epoch: epoch.to_string(), readers })
    }

    /// The others, or nobody where they are more.
    async fn others(
        &self,
        Identity { app, user }: &Identity,
        conversation: &Conversation,
        most: usize,
    ) -> Result<Vec<UserId>, Refusal> {
        // One more than fits, and the user.
        let limit = most + 2;
        let mut all = match conversation {
            Conversation::Pair(_, one, other) => vec![one.clone(), other.clone()],
            Conversation::Group(_, group) => {
                let page = self.groups.members(*app, group, None, limit).await?;
                // Of more than a page nobody is told anyhow.
                if !page.more && !page.users.contains(user) {
                    return Err(GroupError::NotMember.into());
                }
                page.users
            }
            Conversation::World(_) => self.presence.some(*app, limit).await?,
        };
        all.retain(|other| other != user);
        if all.len() > most {
            all.clear();
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use chat_protocol::{Code, GroupId};

    use super::*;
    use crate::broker::Retention;
    use crate::clock::SystemClock;
    use crate::counters::Counters;
    use crate::engine::sqlite::broker::{Embedded, Place, Sync};
    use crate::engine::sqlite::conversations::EmbeddedConversations;
    use crate::engine::sqlite::groups::EmbeddedGroups;
    use crate::engine::sqlite::presence::EmbeddedPresence;
    use crate::groups::Change;
    use crate::hub::outbox::Limits;
    use crate::membership::router::Router;
    use crate::presence::Announcer;

    /// The connection's node may not have heard that they left: the store has.
    #[tokio::test]
    async fn who_has_left_a_group_is_told_of_nobody_there() {
        let clock = Arc::new(SystemClock);
        let limits = Limits { frames: 10, bytes: 1000 };
        let hub = Arc::new(Hub::new(1, limits, Arc::new(Counters::default())));
        let router = Arc::new(Router::new(hub.clone(), Arc::default()));
        let retention = Retention { max_messages: 10, max_age_ms: 0 };
        let log = Embedded::open(&Place::Memory, Sync::Normal, retention, clock.clone(), router).unwrap();
        let groups = Arc::new(EmbeddedGroups::new(log.clone(), 10));
        let conversations = Arc::new(EmbeddedConversations::new(log.clone()));
        let presence = Arc::new(EmbeddedPresence::new(log, Announcer { limit: 10, clock }));
        let standing = Standing::new(hub, conversations, groups.clone(), presence);

        let [owner, member] = ["owner", "member"].map(|name| UserId::new(name).unwrap());
        let group = GroupId::new("g").unwrap();
        groups.create(1, &group, &owner, "n").await.unwrap();
        groups.change(1, &group, &Change::Join(member.clone())).await.unwrap();
        let asks = Identity { app: 1, user: member.clone() };
        standing.of_others(&asks, Target::Group(group.clone()), 5).await.expect("a member is told");
        groups.change(1, &group, &Change::Leave(member)).await.unwrap();
        for most in [1, 5] {
            let refused = standing.of_others(&asks, Target::Group(group.clone()), most).await.unwrap_err();
            assert_eq!(refused.code, Code::RefusedByRule);
        }
    }
}
