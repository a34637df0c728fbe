//! Operations on who may be here: an operator sends users away, and bans them for a time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{AppId, UserId};
use crate::operation::{Effect, Operation, Rights, Scope};
use crate::params::{Kind, parameters};

/// Longest reason that a user is given, in bytes of UTF-8.
pub const MAX_REASON_BYTES: usize = 100;
/// Longest ban, in seconds: ten years or so.
pub const MAX_BAN_S: u32 = 10 * 366 * 24 * 60 * 60;
/// Bans in one page at most.
pub const MAX_BANS_PAGE: u32 = 500;

/// `/system/kick`: ends all connections of a user.
pub struct Kick;

parameters! {
    /// Parameters of [`Kick`].
    pub struct KickRequest {
        /// Which world.
        pub app_id: AppId,
        /// Whom.
        pub user_id: UserId,
        /// What they are told, 1 to 100 bytes.
        pub reason: Option<String> as Kind::Line(MAX_REASON_BYTES),
    }
}

/// Answer of [`Kick`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KickResponse {
    /// Whom.
    pub user_id: UserId,
    /// Whether they were online before, on any node.
    pub online: bool,
}

impl Operation for Kick {
    const PATH: &'static str = "/system/kick";
    const EFFECT: Effect = Effect::Changes;
    const ABOUT: &'static str = "Ends all connections of a user, on every node, with close code 4500.";
    const RIGHTS: Rights = Rights::Operator(Scope::Admin);
    type Request = KickRequest;
    type Response = KickResponse;
}

/// `/system/ban`: keeps a user out for a time.
pub struct Ban;

parameters! {
    /// Parameters of [`Ban`].
    pub struct BanRequest {
        /// Which world.
        pub app_id: AppId,
        /// Whom.
        pub user_id: UserId,
        /// For how long from now, in seconds, up to ten years.
        pub seconds: u32 as Kind::Between(1, MAX_BAN_S as u64),
        /// What they are told, 1 to 100 bytes.
        pub reason: Option<String> as Kind::Line(MAX_REASON_BYTES),
    }
}

/// A ban in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Banned {
    /// Who is banned.
    pub user_id: UserId,
    /// When the ban ends, Unix milliseconds.
    pub until: u64,
    /// When it began, Unix milliseconds.
    pub since: u64,
    /// What they are told, when the operator gave a reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Operation for Ban {
    const PATH: &'static str = "/system/ban";
    const EFFECT: Effect = Effect::Changes;
    const ABOUT: &'static str =
        "Keeps a user out until a time, ends their connections, and replaces the ban there was.";
    const RIGHTS: Rights = Rights::Operator(Scope::Admin);
    type Request = BanRequest;
    type Response = Banned;
}

/// `/system/unban`: ends a ban before its time.
pub struct Unban;

parameters! {
    /// Parameters of [`Unban`].
    pub struct UnbanRequest {
        /// Which world.
        pub app_id: AppId,
        /// Whom.
        pub user_id: UserId,
    }
}

/// Answer of [`Unban`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnbanResponse {
    /// Whom.
    pub user_id: UserId,
    /// Whether they were banned.
    pub changed: bool,
}

impl Operation for Unban {
    const PATH: &'static str = "/system/unban";
    const EFFECT: Effect = Effect::Changes;
    const ABOUT: &'static str = "Ends a ban before its time.";
    const RIGHTS: Rights = Rights::Operator(Scope::Admin);
    type Request = UnbanRequest;
    type Response = UnbanResponse;
}

/// `/system/bans`: who is banned.
pub struct Bans;

parameters! {
    /// Parameters of [`Bans`].
    pub struct BansRequest {
        /// Which world.
        pub app_id: AppId,
        /// At most so many, 1 to 500; 500 when absent.
        pub limit: Option<u32> as Kind::Between(1, MAX_BANS_PAGE as u64),
        /// Continue after this user.
        pub cursor: Option<UserId>,
    }
}

/// Answer of [`Bans`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BansResponse {
    /// Bans in force by user in byte order; a page may hold fewer than asked for.
    pub bans: Vec<Banned>,
    /// Present when there may be more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<UserId>,
}

impl Operation for Bans {
    const PATH: &'static str = "/system/bans";
    const EFFECT: Effect = Effect::Reads;
    const ABOUT: &'static str = "Bans in force, by user, in pages.";
    const RIGHTS: Rights = Rights::Operator(Scope::Read);
    type Request = BansRequest;
    type Response = BansResponse;
}
