//! Operations on wallets. Amounts are whole cents.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{AppId, PacketId, TransferId, UserId};
use crate::operation::{Effect, Operation, Rights, Scope};
use crate::params::{Kind, parameters};

/// Reason of the refusal of every money operation at a node that has no ledger: repeating cannot help.
pub const NO_LEDGER: &str = "this node has no ledger: it was started without --ledger";

/// Largest deposit, and largest withdrawal, in cents: 10,000,000,000.00.
pub const MAX_DEPOSIT: u64 = 1_000_000_000_000;
/// Transfers in one page at most.
pub const MAX_TRANSFERS_PAGE: u32 = 200;
/// Transfers in one page when no limit is given.
pub const DEFAULT_TRANSFERS_PAGE: u32 = 50;

/// `/wallet/balance`.
pub struct Balance;

parameters! {
    /// Parameters of [`Balance`].
    pub struct BalanceRequest {
        /// Which world.
        pub app_id: AppId,
        /// Whose wallet.
        pub user_id: UserId,
    }
}

/// Answer of [`Balance`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BalanceResponse {
    /// Whose wallet.
    pub user_id: UserId,
    /// Cents; 0 for a user who never had any.
    pub balance: u64,
}

impl Operation for Balance {
    const PATH: &'static str = "/wallet/balance";
    const EFFECT: Effect = Effect::Reads;
    const ABOUT: &'static str = "How much a wallet holds.";
    const RIGHTS: Rights = Rights::User("userId", Scope::Money);
    type Request = BalanceRequest;
    type Response = BalanceResponse;
}

/// `/wallet/transfers`.
pub struct Transfers;

parameters! {
    /// Parameters of [`Transfers`].
    pub struct TransfersRequest {
        /// Which world.
        pub app_id: AppId,
        /// Whose wallet.
        pub user_id: UserId,
        /// Transfers with a lesser number.
        pub before: Option<u64>,
        /// At most so many, 1 to 200; 50 when absent.
        pub limit: Option<u32> as Kind::Between(1, MAX_TRANSFERS_PAGE as u64),
    }
}

/// What a transfer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TransferKind {
    /// An operator put money in.
    Deposit,
    /// An operator took money out.
    Withdrawal,
    /// Money went into a packet.
    Packet,
    /// A share of a packet.
    Grab,
    /// What nobody took of a packet came back.
    Refund,
}

impl TransferKind {
    /// As it stands on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            TransferKind::Deposit => "deposit",
            TransferKind::Withdrawal => "withdrawal",
            TransferKind::Packet => "packet",
            TransferKind::Grab => "grab",
            TransferKind::Refund => "refund",
        }
    }
}

impl std::str::FromStr for TransferKind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "deposit" => Ok(TransferKind::Deposit),
            "withdrawal" => Ok(TransferKind::Withdrawal),
            "packet" => Ok(TransferKind::Packet),
            "grab" => Ok(TransferKind::Grab),
            "refund" => Ok(TransferKind::Refund),
            _ => Err("no kind of transfer"),
        }
    }
}

/// A transfer as the owner of a wallet sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Transfer {
    /// Its number in the ledger; later ones are greater.
    pub number: u64,
    /// Its id: a deposit's or withdrawal's as the operator chose it, the others' as chatd names them.
    pub transfer_id: String,
    /// What it is for.
    pub kind: TransferKind,
    /// Cents; negative when they left the wallet.
    pub amount: i64,
    /// The packet it belongs to; none for a deposit or withdrawal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packet_id: Option<PacketId>,
    /// When it was posted, Unix milliseconds.
    pub time: u64,
}

/// Answer of [`Transfers`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TransfersResponse {
    /// The newest first.
    pub transfers: Vec<Transfer>,
    /// Give it as `before` for the ones that follow; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

impl Operation for Transfers {
    const PATH: &'static str = "/wallet/transfers";
    const EFFECT: Effect = Effect::Reads;
    const ABOUT: &'static str = "What went into a wallet and out of it, the newest first.";
    const RIGHTS: Rights = Rights::User("userId", Scope::Money);
    type Request = TransfersRequest;
    type Response = TransfersResponse;
}

/// `/wallet/deposit`.
pub struct Deposit;

parameters! {
    /// Parameters of [`Deposit`] and [`Withdraw`].
    pub struct MovementRequest {
        /// Which world.
        pub app_id: AppId,
        /// Whose wallet.
        pub user_id: UserId,
        /// Cents, 1 to 1000000000000; a withdrawal takes at most what the wallet holds.
        pub amount: u64 as Kind::Between(1, MAX_DEPOSIT),
        /// The operator's id for it, unique in the app.
        pub transfer_id: TransferId,
    }
}

/// Answer of [`Deposit`] and [`Withdraw`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MovementResponse {
    /// Whose wallet.
    pub user_id: UserId,
    /// Cents in it now.
    pub balance: u64,
    /// The same was done before; nothing was moved again.
    pub duplicate: bool,
}

impl Operation for Deposit {
    const PATH: &'static str = "/wallet/deposit";
    const EFFECT: Effect = Effect::Changes;
    const ABOUT: &'static str = "Puts money into a wallet; repeating a transferId is harmless.";
    const RIGHTS: Rights = Rights::Operator(Scope::Money);
    type Request = MovementRequest;
    type Response = MovementResponse;
}

/// `/wallet/withdraw`.
pub struct Withdraw;

impl Operation for Withdraw {
    const PATH: &'static str = "/wallet/withdraw";
    const EFFECT: Effect = Effect::Changes;
    const ABOUT: &'static str =
        "Takes money out of a wallet, never more than it holds; repeating a transferId is harmless.";
    const RIGHTS: Rights = Rights::Operator(Scope::Money);
    type Request = MovementRequest;
    type Response = MovementResponse;
}
