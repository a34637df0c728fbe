//! The list of an app's red packets, for operators.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Mode, State};
use crate::cursor::Cursor;
use crate::id::{AppId, PacketId, UserId};
use crate::operation::{Effect, Operation, Rights, Scope};
use crate::params::{Kind, parameters};
use crate::target::Target;

/// Packets in one page at most.
pub const MAX_PACKETS_PAGE: u32 = 200;
/// Packets in one page when no limit is given.
pub const DEFAULT_PACKETS_PAGE: u32 = 50;

/// `/redPacket/list`.
pub struct List;

parameters! {
    /// Parameters of [`List`].
    pub struct ListRequest {
        /// Which world.
        pub app_id: AppId,
        /// Only packets that are `open`, `empty` or `expired`.
        pub state: Option<State>,
        /// At most so many, 1 to 200; 50 when absent.
        pub limit: Option<u32> as Kind::Between(1, MAX_PACKETS_PAGE as u64),
        /// The cursor of the page before.
        pub cursor: Option<String> as Kind::Cursor(Cursor::Packets),
    }
}

/// A packet as the list shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// Which packet.
    pub packet_id: PacketId,
    /// Who gave it.
    pub from: UserId,
    /// The conversation it is for, as the giver names it.
    pub target: Target,
    /// How the total became shares.
    pub mode: Mode,
    /// Cents put in.
    pub total: u64,
    /// Shares it was made of.
    pub count: u32,
    /// When it was created, Unix milliseconds.
    pub created: u64,
    /// When what nobody took goes back, Unix milliseconds.
    pub expires: u64,
    /// Whether there is something to take; absent of a packet that was forgotten or could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// Cents taken, as far as the packet is known.
    pub grabbed: u64,
    /// Shares taken.
    pub grabbed_count: u32,
    /// Cents that go, or have gone, back.
    pub refunded: u64,
}

/// Answer of [`List`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListResponse {
    /// The newest first. With a `state` there may be fewer than asked for, even none, before the end.
    pub packets: Vec<Listed>,
    /// Give it as `cursor` for the older ones; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

impl Operation for List {
    const PATH: &'static str = "/redPacket/list";
    const EFFECT: Effect = Effect::Reads;
    const ABOUT: &'static str = "The red packets of an app, the newest first.";
    const RIGHTS: Rights = Rights::Operator(Scope::Money);
    type Request = ListRequest;
    type Response = ListResponse;
}
