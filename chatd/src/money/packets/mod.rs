//! The packets people take from: the ports.
//!
//! The law, which every adapter obeys (`tests/tests/laws/packet_laws.rs`):
//! - [`Shares::open`] makes a packet once; opening it again, with whatever shares, changes nothing.
//! - [`Shares::grab`] is one atomic step: the share, its winner and the settlement in the queue of this engine
//!   ([`super::settlement::Queue`]) are there together or not at all. A repeat answers the same amount and queues
//!   nothing.
//! - Shares are given out in the order they were opened with. Nobody gets two.
//! - Only members of the target take: of the group as it is at that moment, only the recipient of a one-to-one
//!   packet, in the world everyone. Membership is asked before the outcome, except of a winner. A group is its id and
//!   its incarnation: a later group of the same id has no part in the packet.
//! - The store's own clock decides ([`Shares::now_ms`]), whatever the clocks of its nodes say.
//! - A store that is short of memory gives no share, but ends packets and tells of them.
//! - Before `expires_ms` a grab wins while shares are left; from `expires_ms` on, or once closed, none does. A winner
//!   is answered `already`, whatever happened since, for as long as the packet is known: at least 30 days after its
//!   last share was taken or it was closed.
//! - [`Shares::close`] is one atomic step: nobody takes any more, and the refund of what is left, if anything is, is
//!   in the queue. A repeat answers the same and queues nothing. A grab and a close at the same moment come one after
//!   the other: total = grabbed + refunded + open in between, and always.
//! - A store that was started anew may have been restored from an older state: it gives no share of a packet before
//!   [`Debts::restore`] compared it with what the ledger paid. From then on whoever was paid has won, and nobody wins
//!   what others were paid.
//! - A packet that was closed before it was known is none to all but [`Shares::open`] and [`Shares::close`].

pub(crate) mod books;
pub mod record;

use async_trait::async_trait;
use chat_protocol::red_packet::State;
use chat_protocol::{AppId, Code, PacketId, Refusal, UserId};

use self::record::{Names, Record};
pub(crate) use super::ledger::Paid;
use super::settlement::Settlement;
use super::{Cents, Terms};

/// What became of a grab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grab {
    /// A share is the user's.
    Won {
        /// Cents.
        amount: Cents,
        /// 1 for the first share taken.
        number: u32,
        /// Whether this was the last share.
        last: bool,
    },
    /// The user has had their share before.
    Already {
        /// Cents.
        amount: Cents,
    },
    /// All shares are gone.
    Empty,
    /// Its time is over.
    Expired,
}

/// Who took a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Winner {
    /// 1 for the first.
    pub number: u32,
    /// Who.
    pub user: UserId,
    /// Cents.
    pub amount: Cents,
    /// When, Unix milliseconds.
    pub time_ms: u64,
}

/// How a packet stands at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// What it is.
    pub terms: Terms,
    /// `Open` until the last share is gone or the packet is closed; a packet whose time is over but which is not yet
    /// closed is `Expired` too, with its rest still in `open`.
    pub state: State,
    /// Cents taken.
    pub grabbed: Cents,
    /// Shares taken.
    pub grabbed_count: u32,
    /// Cents of the refund that closing queued; 0 before.
    pub refunded: Cents,
    /// Cents neither taken nor refunded.
    pub open: Cents,
    /// Who took the greatest share, the first of them.
    pub luckiest: Option<UserId>,
}

impl Snapshot {
    /// From what the stores keep.
    pub(crate) fn new(terms: Terms, tally: Tally, now_ms: u64) -> Result<Self, PacketError> {
        let Tally { grabbed_count, grabbed, refunded, luckiest } = tally;
        let gone = refunded.unwrap_or_default().checked_add(grabbed);
        let open = gone.and_then(|gone| terms.total.checked_sub(gone)).filter(|open| *open >= Cents::ZERO);
        let open = open.ok_or_else(|| {
            PacketError::Corrupt(format!("{gone:?} cents are gone from a packet of {}", terms.total))
        })?;
        let state = if grabbed_count >= terms.count {
            State::Empty
        } else if refunded.is_some() || now_ms >= terms.expires_ms {
            State::Expired
        } else {
            State::Open
        };
        let refunded = refunded.unwrap_or_default();
        Ok(Self { terms, state, grabbed, grabbed_count, refunded, open, luckiest })
    }
}

/// What changes of a packet.
pub(crate) struct Tally {
    pub(crate) grabbed_count: u32,
    pub(crate) grabbed: Cents,
    /// Nothing before it is closed.
    pub(crate) refunded: Option<Cents>,
    pub(crate) luckiest: Option<UserId>,
}

/// Whether these shares are the packet.
pub(crate) fn check_shares(terms: &Terms, shares: &[Cents]) -> Result<(), PacketError> {
    let total = shares.iter().try_fold(Cents::ZERO, |sum, share| sum.checked_add(*share));
    if shares.len() == terms.count as usize
        && total == Some(terms.total)
        && shares.iter().all(|share| share.is_positive())
    {
        return Ok(());
    }
    let (count, total) = (terms.count, terms.total);
    Err(PacketError::Corrupt(format!("{} shares are not the {count} of {total} cents", shares.len())))
}

/// What closing did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    /// Whether this call closed it; false: it was closed before.
    pub now: bool,
    /// Cents of the refund.
    pub refunded: Cents,
    /// False: the packet was not known here (a store that lost its data, or a creation that never got so far). It is
    /// known as closed from now on, so that nobody can open it later; to everyone else it stays unknown.
    pub known: bool,
}

/// Says that the books of a packet were not what the ledger paid.
pub(crate) fn tell_mended(terms: &Terms, annulled: &[UserId]) {
    let Terms { app, packet, .. } = terms;
    tracing::warn!(app, %packet, "the state of a red packet went back; who was paid is its winner again");
    for user in annulled {
        tracing::error!(app, %packet, %user, "nothing is left of a red packet for one of its winners");
    }
}

/// Why a packet was not opened, taken from, or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// There is no such packet.
    #[error("no such red packet")]
    NoSuchPacket,
    /// The user does not belong to its target.
    #[error("this red packet is not for you")]
    NotForYou,
    /// The store was started since the packet was last compared with the ledger, perhaps from an older state: see
    /// [`Debts::restore`].
    #[error("the red packet must be compared with the ledger first")]
    Doubtful,
    /// No call can have told to go on there.
    #[error("is none that a page gave")]
    NoPlace,
    /// The store did not answer; whether it did as asked is unknown.
    #[error("the store is unreachable: {0}")]
    Unreachable(String),
    /// The store answered something that cannot be.
    #[error("the store is corrupt: {0}")]
    Corrupt(String),
}

impl PacketError {
    /// The code for the caller.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            PacketError::NoSuchPacket => Code::NotFound,
            PacketError::NotForYou => Code::RefusedByRule,
            PacketError::NoPlace => Code::BadParameter,
            PacketError::Doubtful | PacketError::Unreachable(_) => Code::StoreUnreachable,
            PacketError::Corrupt(_) => Code::ServerError,
        }
    }
}

impl From<PacketError> for Refusal {
    fn from(error: PacketError) -> Self {
        match error {
            PacketError::Doubtful | PacketError::Unreachable(_) => {
                tracing::warn!(%error, "packets");
                Refusal::unreachable("red packets")
            }
            PacketError::Corrupt(_) => {
                tracing::error!(%error, "packets");
                error.code().into()
            }
            PacketError::NoPlace => Refusal::parameter("cursor", error),
            rule => Refusal::new(rule.code(), rule.to_string()),
        }
    }
}

/// What people take from; see the law above.
#[async_trait]
pub trait Shares: Send + Sync {
    /// The time that packets go by, Unix milliseconds.
    async fn now_ms(&self) -> Result<u64, PacketError>;

    /// Makes a packet of these shares: as many as `terms.count`, each at least 1, together `terms.total`; others are
    /// refused as [`PacketError::Corrupt`].
    async fn open(&self, terms: &Terms, shares: &[Cents]) -> Result<(), PacketError>;

    /// Takes a share for a user.
    async fn grab(&self, app: AppId, packet: &PacketId, user: &UserId) -> Result<Grab, PacketError>;

    /// Ends a packet and queues the refund of what is left.
    async fn close(&self, terms: &Terms) -> Result<Closed, PacketError>;

    /// How a packet stands.
    async fn snapshot(&self, app: AppId, packet: &PacketId) -> Result<Snapshot, PacketError>;

    /// At most `limit` winners with a number greater than `after`, in the order they took.
    async fn winners(
        &self,
        app: AppId,
        packet: &PacketId,
        after: u32,
        limit: u32,
    ) -> Result<Vec<Winner>, PacketError>;
}

/// What packets owe, and how they learn what was paid.
#[async_trait]
pub trait Debts: Send + Sync {
    /// What the packets themselves owe, for each settlement: the share of its user, or what goes back to its user, if
    /// they are the sender. None where nothing is owed.
    async fn owed(&self, settlements: &[Settlement]) -> Result<Vec<Option<Cents>>, PacketError>;

    /// Compares a packet with everything that the ledger paid of it, and enters what the packet forgot. Whether
    /// anything was; false for an unknown packet.
    async fn restore(&self, terms: &Terms, paid: &[Paid]) -> Result<bool, PacketError>;
}

/// All that a store has of packets, for the audit.
#[async_trait]
pub trait Contents: Send + Sync {
    /// All that is kept of a packet, at one moment, for the audit.
    async fn record(&self, app: AppId, packet: &PacketId) -> Result<Record, PacketError>;

    /// About `limit` of the packets of an app, from where another call told to go on, for the audit. Every packet that is
    /// there all the while comes at least once. Another place may be refused as [`PacketError::NoPlace`].
    async fn names(&self, app: AppId, after: Option<&str>, limit: u32) -> Result<Names, PacketError>;
}

/// Packets with all their parts.
pub trait Packets: Shares + Debts + Contents {}

impl<T: Shares + Debts + Contents> Packets for T {}
