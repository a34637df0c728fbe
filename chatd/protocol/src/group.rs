//! Operations on groups: only members read, send or receive; the owner removes members and dismisses.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::content::KINDS;
use crate::id::{AppId, GroupId, MsgId, UserId};
use crate::operation::{Effect, Operation, Rights, Scope};
use crate::params::{Kind, parameters};

/// Longest name of a group, in bytes of UTF-8.
pub const MAX_GROUP_NAME_BYTES: usize = 128;
/// Members in one page at most.
pub const MAX_MEMBERS_PAGE: u32 = 1000;
/// Groups in one page at most.
pub const MAX_GROUPS_PAGE: u32 = 500;

/// `type` of the entries of a group's history that tell of changes; chatd itself writes them.
pub const CHANGE_KINDS: [&str; 5] = ["create", "join", "leave", "kick", "dismiss"];

/// A group as its members see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// Which group.
    pub group_id: GroupId,
    /// Its name.
    pub name: String,
    /// Who created it.
    pub owner: UserId,
    /// How many members it has.
    pub member_count: u64,
}

/// `/group/create`: a new group with its creator as owner and only member.
pub struct Create;

parameters! {
    /// Parameters of [`Create`].
    pub struct CreateRequest {
        /// Which world.
        pub app_id: AppId,
        /// The owner.
        pub user_id: UserId,
        /// What to call the group, 1 to 128 bytes.
        pub name: String as Kind::Line(MAX_GROUP_NAME_BYTES),
        /// The group's id; made up when absent.
        pub group_id: Option<GroupId>,
    }
}

impl Operation for Create {
    const PATH: &'static str = "/group/create";
    const EFFECT: Effect = Effect::Changes;
    const ABOUT: &'static str =
        "Creates a group; repeating it with the same groupId by the same owner is harmless.";
    const RIGHTS: Rights = Rights::User("userId", Scope::Send);
    type Request = CreateRequest;
    type Response = Group;
}

parameters! {
    /// Parameters of operations that need a group and an acting user only.
    pub struct GroupRequest {
        /// Which world.
        pub app_id: AppId,
        /// The acting user.
        pub user_id: UserId,
        /// Which group.
        pub group_id: GroupId,
    }
}

/// Answer of operations that change who is in a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MembershipResponse {
    /// Whether this call changed anything; false: it was so already.
    pub changed: bool,
    /// Members after the change.
    pub member_count: u64,
    /// Offset of the newest message of the group.
    pub offset: u64,
    /// Which history the offset belongs to.
    pub epoch: String,
}

macro_rules! on_group {
    ($(#[$doc:meta])* $name:ident, $path:literal, $about:literal) => {
        $(#[$doc])*
        pub struct $name;

        impl Operation for $name {
            const PATH: &'static str = $path;
            const EFFECT: Effect = Effect::Changes;
            const ABOUT: &'static str = $about;
            const RIGHTS: Rights = Rights::User("userId", Scope::Send);
            type Request = GroupRequest;
            type Response = MembershipResponse;
        }
    };
}

on_group!(
    /// `/group/join`.
    Join,
    "/group/join",
    "Joins a group; its messages from then on arrive on every device."
);
on_group!(
    /// `/group/leave`.
    Leave,
    "/group/leave",
    "Leaves a group; its owner cannot leave but dismiss it."
);
on_group!(
    /// `/group/dismiss`.
    Dismiss,
    "/group/dismiss",
    "Ends a group; owner only. Its history is gone."
);

/// `/group/kick`.
pub struct Kick;

parameters! {
    /// Parameters of [`Kick`].
    pub struct KickRequest {
        /// Which world.
        pub app_id: AppId,
        /// The acting user.
        pub user_id: UserId,
        /// Which group.
        pub group_id: GroupId,
        /// Whom to remove.
        pub member_id: UserId,
    }
}

impl Operation for Kick {
    const PATH: &'static str = "/group/kick";
    const EFFECT: Effect = Effect::Changes;
    const ABOUT: &'static str = "Removes a member; owner only.";
    const RIGHTS: Rights = Rights::User("userId", Scope::Send);
    type Request = KickRequest;
    type Response = MembershipResponse;
}

/// `/group/members`.
pub struct Members;

parameters! {
    /// Parameters of [`Members`].
    pub struct MembersRequest {
        /// Which world.
        pub app_id: AppId,
        /// The acting user, a member; without one an operator asks.
        pub user_id: Option<UserId>,
        /// Which group.
        pub group_id: GroupId,
        /// At most so many, 1 to 1000; 1000 when absent.
        pub limit: Option<u32> as Kind::Between(1, MAX_MEMBERS_PAGE as u64),
        /// Continue after this member.
        pub cursor: Option<UserId>,
    }
}

/// Answer of [`Members`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MembersResponse {
    /// The group.
    #[serde(flatten)]
    pub group: Group,
    /// Members in byte order.
    pub members: Vec<UserId>,
    /// Present when there are more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<UserId>,
}

impl Operation for Members {
    const PATH: &'static str = "/group/members";
    const EFFECT: Effect = Effect::Reads;
    const ABOUT: &'static str = "Members of a group in byte order, in pages.";
    const RIGHTS: Rights = Rights::User("userId", Scope::Read);
    type Request = MembersRequest;
    type Response = MembersResponse;
}

/// `/group/list`.
pub struct List;

parameters! {
    /// Parameters of [`List`].
    pub struct ListRequest {
        /// Which world.
        pub app_id: AppId,
        /// The acting user.
        pub user_id: UserId,
        /// At most so many, 1 to 500; 500 when absent.
        pub limit: Option<u32> as Kind::Between(1, MAX_GROUPS_PAGE as u64),
        /// Continue after this group.
        pub cursor: Option<GroupId>,
    }
}

/// Answer of [`List`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListResponse {
    /// Groups the user is a member of, by id in byte order.
    pub groups: Vec<Group>,
    /// Present when there are more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<GroupId>,
}

impl Operation for List {
    const PATH: &'static str = "/group/list";
    const EFFECT: Effect = Effect::Reads;
    const ABOUT: &'static str = "Groups a user is a member of, by id, in pages.";
    const RIGHTS: Rights = Rights::User("userId", Scope::Read);
    type Request = ListRequest;
    type Response = ListResponse;
}

/// `/group/sendMessage`.
pub struct SendMessage;

parameters! {
    /// Parameters of [`SendMessage`].
    pub struct SendMessageRequest {
        /// Which world.
        pub app_id: AppId,
        /// The sender, a member.
        pub user_id: UserId,
        /// Which group.
        pub group_id: GroupId,
        /// The text, or the address of the file for other types.
        pub message: String as Kind::Content,
        /// The sender's id for it, so that a repeat is not sent twice.
        pub msg_id: Option<MsgId>,
        /// `text` (when absent), `img`, `audio` or `video`.
        pub kind as "type": Option<String> as Kind::OneOf(&KINDS),
    }
}

impl Operation for SendMessage {
    const PATH: &'static str = "/group/sendMessage";
    const EFFECT: Effect = Effect::Changes;
    const ABOUT: &'static str = "Sends a message to a group.";
    const RIGHTS: Rights = Rights::User("userId", Scope::Send);
    const KEY: Option<&'static str> = Some("msgId");
    type Request = SendMessageRequest;
    type Response = crate::user::SendMessageAllResponse;
}
