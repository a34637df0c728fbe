//! How far others had read a conversation before somebody began to look at it, for what is told to who looks is kept nowhere.
//!
//! Invariant: it is asked of the store only for who looks and wants to know, costs one look for each of the others, and is
//! not told where they are too many: in a large group or world, and where too many look.

use std::sync::Arc;

use chat_protocol::session::{Reader, Readers};
use chat_protocol::{Refusal, Target, UserId};

use crate::conversations::Conversations;
use crate::groups::Groups;
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
    /// When a store did not answer.
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
            Conversation::Group(_, group) => self.groups.members(*app, group, None, limit).await?.users,
            Conversation::World(_) => self.presence.list(*app, None, limit).await?.users,
        };
        all.retain(|other| other != user);
        if all.len() > most {
            all.clear();
        }
        Ok(all)
    }
}
