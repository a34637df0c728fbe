//! The operator's side: money in, packets out, and at the end the server's own books.
//!
//! Invariant: what is read at the end is read whole: all winners, all transfers.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use chat_client::{Error, Http};
use chat_protocol::red_packet::{
    Audit, AuditRequest, AuditResponse, Create, CreateRequest, Detail, DetailRequest, DetailResponse,
    MAX_WINNERS_PAGE, Mode, State,
};
use chat_protocol::wallet::{
    Balance, BalanceRequest, Deposit, MAX_TRANSFERS_PAGE, MovementRequest, Transfer, Transfers,
    TransfersRequest,
};
use chat_protocol::{MsgId, Operation, PacketId, Target, TransferId, UserId};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;

use crate::clock::now_ns;
use crate::failure::Failure;
use crate::phases::stage::Stage;
use crate::scenario::redpacket::wanted::Grabbing;

/// Requests under way at once.
const CONCURRENT: usize = 32;
/// How long a request is repeated that no server answers.
const PATIENCE: Duration = Duration::from_secs(6);
/// Pause before it is.
const PAUSE: Duration = Duration::from_millis(200);
/// Pause between two looks at what is under way.
const LOOK: Duration = Duration::from_millis(20);

/// A packet as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// As the server calls it.
    pub id: PacketId,
    /// Who gave it.
    pub from: UserId,
    /// Cents.
    pub total: u64,
    /// Shares.
    pub count: u32,
    /// How they were made.
    pub mode: Mode,
}

/// A wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wallet {
    /// Whose.
    pub user: UserId,
    /// Cents put in by the operator of this run.
    pub deposited: u64,
    /// Cents in it.
    pub balance: u64,
    /// All there are, the newest first.
    pub transfers: Vec<Transfer>,
}

/// What the server says at the end.
#[derive(Debug, Clone)]
pub struct Books {
    /// Each packet with all winners.
    pub details: Vec<DetailResponse>,
    /// Each client's and each sender's.
    pub wallets: Vec<Wallet>,
    /// The server's own proof.
    pub audit: AuditResponse,
}

/// What became of the shares nobody took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// They go, or have gone, back.
    GoesBack,
    /// They do not go back although the packet has expired.
    Stays,
    /// The packet did not expire in time.
    StillOpen,
}

/// The operator.
pub struct Bank<'a> {
    stage: &'a Stage,
    wanted: &'a Grabbing,
    turn: AtomicUsize,
}

impl<'a> Bank<'a> {
    /// The operator of this run.
    pub fn new(stage: &'a Stage, wanted: &'a Grabbing) -> Self {
        Self { stage, wanted, turn: AtomicUsize::new(0) }
    }

    /// Cents for sender number `sender`: what they give away and one packet more, so that paying twice shows.
    fn deposited(&self, sender: u32) -> u64 {
        let packets = (sender..self.wanted.packets).step_by(self.wanted.senders as usize).count();
        (packets as u64 + 1) * self.wanted.total
    }

    fn sender(&self, sender: u32) -> Result<UserId, Failure> {
        self.stage.flow.plan.user(self.stage.flow.plan.receivers + sender)
    }

    /// Puts money into each sender's wallet.
    ///
    /// # Errors
    /// [`Failure::CouldNotRun`].
    pub async fn deposit(&self) -> Result<(), Failure> {
        let app_id = self.stage.flow.plan.app;
        let put = async |sender: u32| {
            let transfer_id = TransferId::new(&format!("bench-{}-{sender}", self.stage.flow.plan.run))
                .map_err(|error| Failure::Usage(error.to_string()))?;
            let (user_id, amount) = (self.sender(sender)?, self.deposited(sender));
            let request = MovementRequest { app_id, user_id, amount, transfer_id };
            self.call::<Deposit>(&request).await.map_err(|error| failed("a deposit", &error))
        };
        stream::iter((0..self.wanted.senders).map(put))
            .buffer_unordered(CONCURRENT)
            .try_collect::<Vec<_>>()
            .await
            .map(drop)
    }

    /// Creates all packets; each sender's first one twice, which must change nothing.
    ///
    /// # Errors
    /// [`Failure::CouldNotRun`].
    pub async fn create(&self) -> Result<Vec<Packet>, Failure> {
        self.stage.begin("packets", u64::from(self.wanted.packets));
        let packets = stream::iter((0..self.wanted.packets).map(|packet| self.create_one(packet)));
        packets.buffered(CONCURRENT).try_collect().await
    }

    async fn create_one(&self, number: u32) -> Result<Packet, Failure> {
        let plan = &self.stage.flow.plan;
        let from = self.sender(number % self.wanted.senders)?;
        let (total, count, mode) = (self.wanted.total, self.wanted.count, self.wanted.mode(number));
        let named = MsgId::new(&format!("bench-{}-p{number}", plan.run));
        let msg_id = named.map_err(|error| Failure::could_not_run(error, "use a shorter --run name"))?;
        let request = CreateRequest {
            app_id: plan.app,
            user_id: from.clone(),
            target: Target::World,
            total,
            count,
            mode: Some(mode),
            greeting: None,
            msg_id,
        };
        let refused = |error: Error| failed("a packet", &error);
        let created = self.call::<Create>(&request).await.map_err(refused)?;
        let id = created.packet_id;
        if number < self.wanted.senders {
            // A second packet would show in the sender's wallet.
            self.call::<Create>(&request).await.map_err(refused)?;
        }
        Ok(Packet { id, from, total, count, mode })
    }

    /// Waits until every packet has expired and its rest is on the way back, unless all shares are taken.
    ///
    /// # Errors
    /// As [`Bank::books`].
    pub async fn await_expiry(&self, packets: &[Packet], longest: Duration) -> Result<Rest, Failure> {
        let until = Instant::now() + longest;
        for packet in packets {
            loop {
                let page = self.detail_page(&packet.id, None).await?;
                let rest = match page.state {
                    State::Open => Rest::StillOpen,
                    State::Expired if page.open > 0 => Rest::Stays,
                    State::Empty | State::Expired => break,
                };
                if Instant::now() >= until {
                    return Ok(rest);
                }
                tokio::time::sleep(LOOK * 5).await;
            }
        }
        Ok(Rest::GoesBack)
    }

    /// Waits until the ledger has settled everything; gives the moment when that was seen, none when it was not in time.
    ///
    /// # Errors
    /// As [`Bank::books`].
    pub async fn settle(&self) -> Result<Option<u64>, Failure> {
        let begun = Instant::now();
        loop {
            let asked = Instant::now();
            if self.audit().await?.unsettled == 0 {
                return Ok(Some(now_ns()));
            }
            if begun.elapsed() >= self.wanted.drain {
                return Ok(None);
            }
            // An audit looks at every packet: half of the time is left to the settling.
            tokio::time::sleep(asked.elapsed().max(LOOK)).await;
        }
    }

    /// The server's books.
    ///
    /// # Errors
    /// [`Failure::CouldNotRun`] when a part of them cannot be read.
    pub async fn books(&self, packets: &[Packet]) -> Result<Books, Failure> {
        let plan = &self.stage.flow.plan;
        let users = plan.receivers + self.wanted.senders;
        self.stage.begin("reconcile", packets.len() as u64 + u64::from(users));
        let details = stream::iter(packets.iter().map(|packet| self.detail(&packet.id)));
        let details = details.buffered(CONCURRENT).try_collect().await?;
        let wallets = stream::iter((0..users).map(|number| self.wallet(number)));
        let wallets = wallets.buffered(CONCURRENT).try_collect().await?;
        Ok(Books { details, wallets, audit: self.audit().await? })
    }

    async fn audit(&self) -> Result<AuditResponse, Failure> {
        let mut request = AuditRequest::all(self.stage.flow.plan.app);
        let refused = |error: Error| failed("the audit", &error);
        let mut found = self.call::<Audit>(&request).await.map_err(refused)?;
        while let Some(cursor) = found.cursor.take() {
            request.cursor = Some(cursor);
            found.add(self.call::<Audit>(&request).await.map_err(refused)?);
        }
        Ok(found)
    }

    async fn detail(&self, id: &PacketId) -> Result<DetailResponse, Failure> {
        let mut winners = Vec::new();
        let mut after = None;
        loop {
            let mut page = self.detail_page(id, after).await?;
            winners.append(&mut page.winners);
            // A page that leads nowhere new would be asked for without end; what it hides is missed later.
            let Some(next) = page.next.filter(|next| after.is_none_or(|after| *next > after)) else {
                return Ok(DetailResponse { winners, ..page });
            };
            after = Some(next);
        }
    }

    async fn detail_page(&self, id: &PacketId, after: Option<u32>) -> Result<DetailResponse, Failure> {
        let (app_id, packet_id, limit) = (self.stage.flow.plan.app, id.clone(), Some(MAX_WINNERS_PAGE));
        let request = DetailRequest { app_id, user_id: None, packet_id, after, limit };
        self.call::<Detail>(&request).await.map_err(|error| failed("a packet's winners", &error))
    }

    async fn wallet(&self, number: u32) -> Result<Wallet, Failure> {
        let plan = &self.stage.flow.plan;
        let refused = |error: Error| failed("a wallet", &error);
        let (app_id, user) = (plan.app, plan.user(number)?);
        let deposited = number.checked_sub(plan.receivers).map_or(0, |sender| self.deposited(sender));
        let mut transfers = Vec::new();
        let mut before = None;
        loop {
            let (user_id, limit) = (user.clone(), Some(MAX_TRANSFERS_PAGE));
            let request = TransfersRequest { app_id, user_id, before, limit };
            let mut page = self.call::<Transfers>(&request).await.map_err(refused)?;
            transfers.append(&mut page.transfers);
            match page.next.filter(|next| before.is_none_or(|before| *next < before)) {
                Some(next) => before = Some(next),
                None => break,
            }
        }
        let request = BalanceRequest { app_id, user_id: user.clone() };
        let balance = self.call::<Balance>(&request).await.map_err(refused)?.balance;
        Ok(Wallet { user, deposited, balance, transfers })
    }

    /// Calls an operation, at the next server when one does not answer. All of them can be repeated.
    async fn call<O: Operation>(&self, request: &O::Request) -> Result<O::Response, Error> {
        let until = Instant::now() + PATIENCE;
        loop {
            let https: &[Http] = &self.stage.https;
            let http = &https[self.turn.fetch_add(1, Relaxed) % https.len()];
            match http.call::<O>(request).await {
                Err(error) if Instant::now() < until && can_pass(&error) => {}
                done => return done,
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn can_pass(error: &Error) -> bool {
    match error {
        Error::Refused { code, .. } => matches!(code, 1011 | 1013),
        Error::BadServer(_) | Error::Untrusted { .. } | Error::Redirected { .. } | Error::NotChatd { .. } => {
            false
        }
        _ => true,
    }
}

fn failed(what: &str, error: &Error) -> Failure {
    let next = match error {
        Error::Refused { code: 1010, .. } => "this server knows no red packets",
        Error::Refused { code: 1013, .. } => {
            "give chatd a ledger (--ledger), and see whether it can be reached"
        }
        Error::Refused { code: 1003, .. } => "only an operator may do this",
        _ => "see what the server's log says",
    };
    Failure::could_not_run(format!("{what} was not to be had: {error}"), next)
}
