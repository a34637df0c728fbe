//! Operations on friendships: one side asks, the other accepts; blocks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{AppId, UserId};
use crate::operation::{Effect, Operation, Rights, Scope};
use crate::params::{Kind, parameters};

/// Longest greeting of a request, in bytes of UTF-8.
pub const MAX_GREETING_BYTES: usize = 512;
/// Users in one page of [`List`] at most.
pub const MAX_FRIENDS_PAGE: u32 = 1000;
/// Requests in one page of [`Requests`] at most: with their greetings they fit one WebSocket message.
pub const MAX_REQUESTS_PAGE: u32 = 200;

/// Push: someone asks to be a friend; its data is an [`Asked`].
pub const REQUEST_PUSH: &str = "friend/request";
/// Push: someone accepted; its data is an [`Accepted`].
pub const ACCEPT_PUSH: &str = "friend/accept";

/// How two users stand, seen by one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Standing {
    /// Nothing between them.
    None,
    /// The acting user has asked and waits for an answer.
    Requested,
    /// The other has asked and waits for an answer.
    Asked,
    /// Both agreed.
    Friends,
}

/// Answer of operations that change how two users stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StandingResponse {
    /// The other user.
    pub friend_id: UserId,
    /// How they stand now.
    pub standing: Standing,
    /// Whether the acting user blocks the other.
    pub blocked: bool,
    /// Whether this call changed anything; false: it was so already.
    pub changed: bool,
}

/// `/friend/request`.
pub struct Request;

parameters! {
    /// Parameters of [`Request`].
    pub struct RequestRequest {
        /// Which world.
        pub app_id: AppId,
        /// The acting user.
        pub user_id: UserId,
        /// The other user.
        pub friend_id: UserId,
        /// A word to go with it, at most 512 bytes.
        pub greeting: Option<String> as Kind::UpTo(MAX_GREETING_BYTES),
    }
}

impl Operation for Request {
    const PATH: &'static str = "/friend/request";
    const EFFECT: Effect = Effect::Changes;
    const ABOUT: &'static str = "Asks a user to be a friend; when both have asked, they are friends.";
    const RIGHTS: Rights = Rights::User("userId", Scope::Send);
    type Request = RequestRequest;
    type Response = StandingResponse;
}

parameters! {
    /// Parameters of operations on one other user.
    pub struct FriendRequest {
        /// Which world.
        pub app_id: AppId,
        /// The acting user.
        pub user_id: UserId,
        /// The other user.
        pub friend_id: UserId,
    }
}

macro_rules! on_friend {
    ($(#[$doc:meta])* $name:ident, $path:literal, $about:literal) => {
        $(#[$doc])*
        pub struct $name;

        impl Operation for $name {
            const PATH: &'static str = $path;
            const EFFECT: Effect = Effect::Changes;
            const ABOUT: &'static str = $about;
            const RIGHTS: Rights = Rights::User("userId", Scope::Send);
            type Request = FriendRequest;
            type Response = StandingResponse;
        }
    };
}

on_friend!(
    /// `/friend/accept`.
    Accept,
    "/friend/accept",
    "Accepts a user's request."
);
on_friend!(
    /// `/friend/reject`.
    Reject,
    "/friend/reject",
    "Declines a user's request; the other side is not told."
);
on_friend!(
    /// `/friend/remove`.
    Remove,
    "/friend/remove",
    "Ends a friendship, or takes an own request back."
);
on_friend!(
    /// `/friend/block`.
    Block,
    "/friend/block",
    "Refuses a user's one-to-one messages and requests, and ends a friendship."
);
on_friend!(
    /// `/friend/unblock`.
    Unblock,
    "/friend/unblock",
    "Lifts a block; a friendship does not come back by itself."
);

/// `/friend/requests`.
pub struct Requests;

parameters! {
    /// Parameters of [`Requests`].
    pub struct RequestsRequest {
        /// Which world.
        pub app_id: AppId,
        /// The acting user.
        pub user_id: UserId,
        /// At most so many, 1 to 200; 200 when absent.
        pub limit: Option<u32> as Kind::Between(1, MAX_REQUESTS_PAGE as u64),
        /// Continue after this user.
        pub cursor: Option<UserId>,
    }
}

/// A request that waits for an answer, and data of the [`REQUEST_PUSH`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Asked {
    /// Who asks.
    pub from: UserId,
    /// A word that goes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub greeting: Option<String>,
    /// When, Unix milliseconds.
    pub time: u64,
}

/// Data of the [`ACCEPT_PUSH`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Accepted {
    /// Who accepted.
    pub from: UserId,
    /// When, Unix milliseconds.
    pub time: u64,
}

/// Answer of [`Requests`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RequestsResponse {
    /// Requests of others, by name in byte order.
    pub requests: Vec<Asked>,
    /// Present when there are more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<UserId>,
}

impl Operation for Requests {
    const PATH: &'static str = "/friend/requests";
    const EFFECT: Effect = Effect::Reads;
    const ABOUT: &'static str = "Requests that wait for the acting user's answer, by name, in pages.";
    const RIGHTS: Rights = Rights::User("userId", Scope::Read);
    type Request = RequestsRequest;
    type Response = RequestsResponse;
}

/// `/friend/list`.
pub struct List;

parameters! {
    /// Parameters of [`List`].
    pub struct ListRequest {
        /// Which world.
        pub app_id: AppId,
        /// The acting user.
        pub user_id: UserId,
        /// At most so many users, 1 to 1000; 1000 when absent.
        pub limit: Option<u32> as Kind::Between(1, MAX_FRIENDS_PAGE as u64),
        /// Continue after this user.
        pub cursor: Option<UserId>,
    }
}

/// Answer of [`List`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListResponse {
    /// Friends in byte order.
    pub friends: Vec<UserId>,
    /// Users the acting user has asked.
    pub requested: Vec<UserId>,
    /// Users the acting user blocks.
    pub blocked: Vec<UserId>,
    /// Present when there are more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<UserId>,
}

impl Operation for List {
    const PATH: &'static str = "/friend/list";
    const EFFECT: Effect = Effect::Reads;
    const ABOUT: &'static str = "Friends, own requests, and blocked users, by name, in pages over all three.";
    const RIGHTS: Rights = Rights::User("userId", Scope::Read);
    type Request = ListRequest;
    type Response = ListResponse;
}
