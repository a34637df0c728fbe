//! Who belongs to which group: the port.
//!
//! The law, which every adapter obeys (`tests/tests/laws/group_laws.rs`, `group_limits.rs`):
//! - A change of membership and the entry in the group's log that tells of it are one atomic step. The entry's
//!   offset is the change's position among the messages: whoever left gets nothing that stands after it.
//! - Whoever joins is told by a notice to their inbox ([`JOINED`]) in the same step: notices come in the order of joining.
//! - A user is in at most so many groups as the adapter was told ([`Limits`]), and a group has at most so many members;
//!   whoever would be one too many is refused in the step that admits, and who is in already stays.
//! - Only a member's message is appended; [`crate::broker::Log::append`] checks it in the same step.
//! - That a group was dismissed is noted where every node can see it ([`Groups::dismissed`]), whatever ends meanwhile.
//! - Repeating a change is harmless: it says that nothing changed and appends nothing.
//! - A dismissed group is gone with its log; a group created anew under its id has another epoch and is another
//!   incarnation: what belonged to the former belongs to nobody. An incarnation keeps its name while the group lives,
//!   whatever becomes of the epoch of its log.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chat_protocol::{AppId, Code, GroupId, MsgId, Refusal, Target, UserId};
use serde::{Deserialize, Serialize};

use crate::broker::{Outgoing, new_msg_id};
use crate::counters::Limit;
pub use crate::model::Joined;
use crate::model::{Conversation, Notice, Skip, members};

/// Notice to the inbox of a user who has joined a group: the nodes that hold their connections follow it from now on.
pub const JOINED: &str = "group/join";

/// Data of a [`JOINED`] notice. Without `offset` and `epoch` it says no more than that they are a member.
#[derive(Serialize, Deserialize)]
struct Told {
    target: Target,
    from: UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<String>,
}

/// The notice that a user is a member of a group, for those who do not know where they joined.
#[must_use]
pub fn notice(group: &GroupId, user: &UserId) -> Notice {
    told(Told { target: Target::Group(group.clone()), from: user.clone(), offset: None, epoch: None })
}

fn told(told: Told) -> Notice {
    // Cannot fail: the members have text keys and no failing serializer.
    let data = serde_json::to_vec(&told).unwrap_or_default();
    Notice { cmd: JOINED.into(), data: Bytes::from(data), skip: Skip::Nobody }
}

/// The members of an entry that tells of a change.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    target: Target,
    #[serde(rename = "type")]
    kind: &'a str,
    from: &'a UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<&'a UserId>,
    msg_id: &'a MsgId,
}

/// The entry of the group's log that tells of a change of this kind: by whom, and of whom if it is somebody else.
pub(crate) fn news(
    app: AppId,
    group: &GroupId,
    kind: &str,
    from: &UserId,
    member: Option<&UserId>,
) -> Outgoing {
    let msg_id = new_msg_id();
    let record = Record { target: Target::Group(group.clone()), kind, from, member, msg_id: &msg_id };
    // Cannot fail: the members have text keys and no failing serializer.
    let members = members::write(&record).unwrap_or_default();
    Outgoing {
        conversation: Conversation::Group(app, group.clone()),
        sender: from.clone(),
        msg_id,
        fingerprint: None,
        members,
        skip: Skip::Nobody,
    }
}

/// How many there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Groups of a user.
    pub groups: u64,
    /// Members of a group.
    pub members: u64,
}

/// So many groups of a user, with any number of members.
impl From<u64> for Limits {
    fn from(groups: u64) -> Self {
        Self { groups, members: u64::MAX }
    }
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Who created it.
    pub owner: UserId,
    /// How many members it has.
    pub member_count: u64,
}

/// How somebody stands to a group that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Which of the groups that ever had the id.
    pub incarnation: Arc<str>,
    /// Whether the user belongs to it.
    pub member: bool,
}

/// A change of membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The user becomes a member.
    Join(UserId),
    /// The user is no member any more; refused for the owner.
    Leave(UserId),
    /// The owner `by` removes a member; refused for themselves.
    Kick {
        /// Who removes.
        by: UserId,
        /// Whom.
        member: UserId,
    },
    /// The owner ends the group.
    Dismiss(UserId),
}

/// What a change did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Whether anything changed.
    pub changed: bool,
    /// Members after the change; 0 after a dismissal.
    pub member_count: u64,
    /// Offset of the group's newest entry.
    pub offset: u64,
    /// Which history the offset belongs to.
    pub epoch: Arc<str>,
}

impl Joined {
    /// The notice that tells of it.
    #[must_use]
    pub fn notice(&self, user: &UserId) -> Notice {
        let (offset, epoch) = (Some(self.since), Some(self.epoch.to_string()));
        told(Told { target: Target::Group(self.group.clone()), from: user.clone(), offset, epoch })
    }

    /// What a notice tells, if it says where the user joined.
    #[must_use]
    pub fn told(notice: &Notice) -> Option<Self> {
        match serde_json::from_slice(&notice.data) {
            Ok(Told { target: Target::Group(group), offset: Some(since), epoch: Some(epoch), .. }) => {
                Some(Self { group, since, epoch: epoch.into() })
            }
            _ => None,
        }
    }
}

/// A group that was dismissed, mostly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dismissed {
    /// The world it was in.
    pub app: AppId,
    /// Its id; it may be another group's by now.
    pub group: GroupId,
    /// When that was noted, as the store writes it.
    pub noted: String,
}

/// Part of the members of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    /// Names in byte order.
    pub users: Vec<UserId>,
    /// Whether there are members after the last one listed.
    pub more: bool,
}

/// Why a group was not changed or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// There is no such group.
    #[error("no such group")]
    NoSuchGroup,
    /// Another group has this id.
    #[error("the groupId is taken")]
    Taken,
    /// Only members may do this.
    #[error("not a member of the group")]
    NotMember,
    /// Only the owner may do this.
    #[error("only the owner of the group may do this")]
    NotOwner,
    /// The owner cannot leave or be removed.
    #[error("the owner cannot leave; dismiss the group instead")]
    Owner,
    /// The user is in as many groups as are allowed.
    #[error("a user is in at most {0} groups (the setting limits.groups_per_user); leave one first")]
    TooMany(u64),
    /// The group has as many members as are allowed.
    #[error("the group has {0} members, and no more are allowed (the setting limits.members_per_group)")]
    Full(u64),
    /// The store did not answer.
    #[error("the store is unreachable: {0}")]
    Unreachable(String),
    /// The store holds something that cannot be.
    #[error("the store is corrupt: {0}")]
    Corrupt(String),
}

impl GroupError {
    /// The limit that was reached, if it is one.
    #[must_use]
    pub fn limit(&self) -> Option<Limit> {
        match self {
            GroupError::TooMany(_) => Some(Limit::GroupsPerUser),
            GroupError::Full(_) => Some(Limit::MembersPerGroup),
            _ => None,
        }
    }

    /// The code for the caller.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            GroupError::NoSuchGroup => Code::NotFound,
            GroupError::NotOwner => Code::NotAuthorised,
            GroupError::Taken
            | GroupError::NotMember
            | GroupError::Owner
            | GroupError::TooMany(_)
            | GroupError::Full(_) => Code::RefusedByRule,
            GroupError::Unreachable(_) => Code::StoreUnreachable,
            GroupError::Corrupt(_) => Code::ServerError,
        }
    }
}

impl From<GroupError> for Refusal {
    fn from(error: GroupError) -> Self {
        match error {
            GroupError::Unreachable(_) => {
                tracing::warn!(%error, "groups");
                Refusal::unreachable("groups")
            }
            GroupError::Corrupt(_) => {
                tracing::error!(%error, "groups");
                error.code().into()
            }
            rule => Refusal::new(rule.code(), rule.to_string()),
        }
    }
}

/// The port. See the law above. Entries it appends have the members of a push like any message: `target`, `type`
/// (`create`, `join`, `leave`, `kick` with `member`, `dismiss`), `from`, and an own `msgId`.
#[async_trait]
pub trait Groups: Send + Sync {
    /// Creates a group with its owner as only member. True: created; false: this owner had created it before.
    async fn create(
        &self,
        app: AppId,
        group: &GroupId,
        owner: &UserId,
        name: &str,
    ) -> Result<bool, GroupError>;

    /// Changes who is a member.
    async fn change(&self, app: AppId, group: &GroupId, change: &Change) -> Result<Changed, GroupError>;

    /// The group.
    async fn group(&self, app: AppId, group: &GroupId) -> Result<Group, GroupError>;

    /// Which group this is, and whether the user belongs to it.
    async fn membership(&self, app: AppId, group: &GroupId, user: &UserId) -> Result<Membership, GroupError>;

    /// Whether the user is a member.
    async fn is_member(&self, app: AppId, group: &GroupId, user: &UserId) -> Result<bool, GroupError> {
        Ok(self.membership(app, group, user).await?.member)
    }

    /// Members after `after` in byte order, at most `limit`.
    async fn members(
        &self,
        app: AppId,
        group: &GroupId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Members, GroupError>;

    /// Groups of a user, in byte order.
    async fn of_user(&self, app: AppId, user: &UserId) -> Result<Vec<Joined>, GroupError>;

    /// Groups that some node dismissed and whose red packets nobody has looked at since, as far as one can tell: some may
    /// live. At most `limit`, those that wait longest. An engine of one node has none: it looks itself.
    async fn dismissed(&self, limit: usize) -> Result<Vec<Dismissed>, GroupError> {
        let _ = limit;
        Ok(Vec::new())
    }

    /// Their red packets are looked at. What was dismissed again meanwhile stays.
    async fn looked_after(&self, dismissed: &[Dismissed]) -> Result<(), GroupError> {
        let _ = dismissed;
        Ok(())
    }
}
