//! Operations on red packets: an amount of money that a conversation shares out, first come, first served.
//!
//! Amounts are whole cents.

mod audit;
mod list;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::audit::*;
pub use self::list::*;
pub use crate::content::PACKET_KIND;
use crate::id::{AppId, MsgId, PacketId, UserId};
use crate::operation::{Effect, Operation, Rights, Scope};
use crate::params::{Kind, Parameter, parameters};
use crate::target::Target;

/// Shares of one packet at most.
pub const MAX_COUNT: u32 = 10_000;
/// Largest total of one packet, in cents: 200,000.00.
pub const MAX_TOTAL: u64 = 20_000_000;
/// Longest greeting, in bytes of UTF-8.
pub const MAX_GREETING_BYTES: usize = 256;
/// Winners in one page at most.
pub const MAX_WINNERS_PAGE: u32 = 1000;
/// Winners in one page when no limit is given.
pub const DEFAULT_WINNERS_PAGE: u32 = 100;

/// Notice to the conversation that nothing is left of a packet: all shares are gone or it has expired.
pub const FINISHED_PUSH: &str = "redPacket/finished";

/// How a total becomes shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// By chance; every share is expected to be the same, whenever it is taken.
    #[default]
    Lucky,
    /// All the same; cents that cannot be divided go to some of the shares.
    Equal,
}

impl Parameter for Mode {
    const KIND: Kind = Kind::OneOf(&Self::WORDS);
}

impl Mode {
    /// All of them, as they stand on the wire.
    pub const WORDS: [&'static str; 2] = [Mode::Lucky.as_str(), Mode::Equal.as_str()];

    /// As it stands on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Mode::Lucky => "lucky",
            Mode::Equal => "equal",
        }
    }
}

impl std::str::FromStr for Mode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "lucky" => Ok(Mode::Lucky),
            "equal" => Ok(Mode::Equal),
            _ => Err("must be lucky or equal"),
        }
    }
}

/// `/redPacket/create`.
pub struct Create;

parameters! {
    /// Parameters of [`Create`].
    pub struct CreateRequest {
        /// Which world.
        pub app_id: AppId,
        /// Who gives.
        pub user_id: UserId,
        /// The conversation it is for.
        pub target: Target,
        /// Cents, at least one a share, at most 20000000.
        pub total: u64 as Kind::Between(1, MAX_TOTAL),
        /// Shares, 1 to 10000.
        pub count: u32 as Kind::Between(1, MAX_COUNT as u64),
        /// `lucky` (when absent: shares by chance) or `equal`.
        pub mode: Option<Mode>,
        /// Text that goes with it, at most 256 bytes.
        pub greeting: Option<String> as Kind::UpTo(MAX_GREETING_BYTES),
        /// The sender's id for it, so that a repeat is not paid twice.
        pub msg_id: MsgId,
    }
}

/// Answer of [`Create`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateResponse {
    /// The packet.
    pub packet_id: PacketId,
    /// When what nobody took goes back, Unix milliseconds.
    pub expires: u64,
    /// Id of the message that offers it.
    pub msg_id: MsgId,
    /// Number of that message in the conversation.
    pub offset: u64,
    /// Which history the offset belongs to.
    pub epoch: String,
    /// When the message was logged, Unix milliseconds.
    pub time: u64,
    /// The packet was created before; this is the first answer again.
    pub duplicate: bool,
}

impl Operation for Create {
    const PATH: &'static str = "/redPacket/create";
    const EFFECT: Effect = Effect::Changes;
    const ABOUT: &'static str = "Puts money of the sender into a packet and offers it to a conversation; repeating a msgId is harmless.";
    const RIGHTS: Rights = Rights::User("userId", Scope::Money);
    const KEY: Option<&'static str> = Some("msgId");
    type Request = CreateRequest;
    type Response = CreateResponse;
}

/// `/redPacket/grab`.
pub struct Grab;

parameters! {
    /// Parameters of [`Grab`].
    pub struct GrabRequest {
        /// Which world.
        pub app_id: AppId,
        /// Who takes.
        pub user_id: UserId,
        /// Which packet.
        pub packet_id: PacketId,
    }
}

/// What became of a grab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// A share is the user's.
    Won,
    /// The user has had their share before; the amount is the same.
    Already,
    /// All shares were gone.
    Empty,
    /// The packet's time was over.
    Expired,
}

/// Answer of [`Grab`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GrabResponse {
    /// What became of it.
    pub outcome: Outcome,
    /// Cents of the user's share; 0 without one.
    pub amount: u64,
}

impl Operation for Grab {
    const PATH: &'static str = "/redPacket/grab";
    const EFFECT: Effect = Effect::Changes;
    const ABOUT: &'static str = "Takes a share; repeating it answers the same amount.";
    const RIGHTS: Rights = Rights::User("userId", Scope::Money);
    type Request = GrabRequest;
    type Response = GrabResponse;
}

/// `/redPacket/detail`.
pub struct Detail;

parameters! {
    /// Parameters of [`Detail`].
    pub struct DetailRequest {
        /// Which world.
        pub app_id: AppId,
        /// The acting user; without one an operator asks.
        pub user_id: Option<UserId>,
        /// Which packet.
        pub packet_id: PacketId,
        /// Winners with a greater number.
        pub after: Option<u32>,
        /// At most so many winners, 1 to 1000; 100 when absent.
        pub limit: Option<u32> as Kind::Between(1, MAX_WINNERS_PAGE as u64),
    }
}

/// Whether there is something to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Shares are left.
    Open,
    /// All shares are gone.
    Empty,
    /// Its time is over; what was left goes back within seconds.
    Expired,
}

impl Parameter for State {
    const KIND: Kind = Kind::OneOf(&Self::WORDS);
}

impl State {
    /// All of them, as they stand on the wire.
    pub const WORDS: [&'static str; 3] =
        [State::Open.as_str(), State::Empty.as_str(), State::Expired.as_str()];

    /// As it stands on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Open => "open",
            State::Empty => "empty",
            State::Expired => "expired",
        }
    }
}

impl std::str::FromStr for State {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "open" => Ok(State::Open),
            "empty" => Ok(State::Empty),
            "expired" => Ok(State::Expired),
            _ => Err("must be open, empty or expired"),
        }
    }
}

/// Who took a share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Winner {
    /// 1 for the first who took one.
    pub number: u32,
    /// Who.
    pub user_id: UserId,
    /// Cents.
    pub amount: u64,
    /// When, Unix milliseconds.
    pub time: u64,
}

/// Answer of [`Detail`]. At every moment `total` = `grabbed` + `refunded` + `open`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DetailResponse {
    /// Which packet.
    pub packet_id: PacketId,
    /// Who gave it.
    pub from: UserId,
    /// The conversation it is for, as the giver names it.
    pub target: Target,
    /// How the total became shares.
    pub mode: Mode,
    /// Text that goes with it; may be empty.
    pub greeting: String,
    /// Whether there is something to take.
    pub state: State,
    /// Cents put in.
    pub total: u64,
    /// Shares it was made of.
    pub count: u32,
    /// Cents taken.
    pub grabbed: u64,
    /// Shares taken.
    pub grabbed_count: u32,
    /// Cents that go, or have gone, back to the giver.
    pub refunded: u64,
    /// Cents neither taken nor refunded: still to be had, or, for a moment after the packet's end, about to go back.
    pub open: u64,
    /// When it was created, Unix milliseconds.
    pub created: u64,
    /// When what nobody took goes back, Unix milliseconds.
    pub expires: u64,
    /// Who got the most of a lucky packet, the first of them; known once all shares are gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub luckiest: Option<UserId>,
    /// Part of the winners, in the order they took.
    pub winners: Vec<Winner>,
    /// Give it as `after` for the winners that follow; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u32>,
}

impl Operation for Detail {
    const PATH: &'static str = "/redPacket/detail";
    const EFFECT: Effect = Effect::Reads;
    const ABOUT: &'static str = "What became of a packet, and who took how much.";
    const RIGHTS: Rights = Rights::User("userId", Scope::Money);
    type Request = DetailRequest;
    type Response = DetailResponse;
}

/// Data of the [`FINISHED_PUSH`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finished {
    /// The conversation, as the giver names it.
    pub target: Target,
    /// Who gave it.
    pub from: UserId,
    /// Which packet.
    pub packet_id: PacketId,
    /// `empty` or `expired`.
    pub state: State,
    /// Who got the most of a lucky packet whose shares are all gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub luckiest: Option<UserId>,
}
