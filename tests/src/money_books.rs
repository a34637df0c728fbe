//! The books of clients who give and grab: what they were answered, to be compared with what chatd knows.
//!
//! Invariant: a client repeats until they are answered; every answer is entered, and none may contradict another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use chat_client::{Error, Http};
use chat_protocol::red_packet::{
    AuditResponse, Create, CreateRequest, Detail, DetailRequest, DetailResponse, Grab, GrabRequest, Outcome,
    Winner,
};
use chat_protocol::wallet::{Transfer, TransferKind, Transfers, TransfersRequest};
use chat_protocol::{AppId, MsgId, PacketId, Target, UserId};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::broker::user;
use crate::money_site::{audit, audit_pages, audited};
use crate::wait::{pace, until};

/// Longest wait for an answer or a settlement, faults and their end included.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// Clients of a crowd that ask at the same time.
const AT_ONCE: usize = 16;

/// The nodes that clients may ask, which change when one is killed or started.
pub type Ways = Arc<Mutex<Vec<Http>>>;

/// These nodes.
#[must_use]
pub fn ways(nodes: &[Http]) -> Ways {
    Arc::new(Mutex::new(nodes.to_vec()))
}

/// What one client was answered about one packet.
#[derive(Debug, Default)]
struct Entry {
    amount: Option<u64>,
    /// How often they were told that they win now.
    won: u32,
    /// Some request of theirs was not answered.
    lost: bool,
    /// They were told that there is nothing for them.
    nothing: bool,
}

/// A packet as its sender knows it.
#[derive(Debug, Clone)]
struct Given {
    sender: String,
    total: u64,
}

/// What users were told of their money.
pub struct Books {
    app: AppId,
    ways: Ways,
    turn: AtomicUsize,
    answered: AtomicUsize,
    given: Mutex<BTreeMap<PacketId, Given>>,
    entries: Mutex<BTreeMap<(PacketId, String), Entry>>,
}

/// Whether asking again may help.
fn is_passing(error: &Error) -> bool {
    match error {
        Error::Refused { code, .. } => *code == 1013,
        Error::Unreachable { .. } | Error::Timeout { .. } | Error::Interrupted { .. } => true,
        Error::NotChatd { .. }
        | Error::Closed { .. }
        | Error::BadServer(_)
        | Error::Untrusted { .. }
        | Error::Redirected { .. } => false,
    }
}

impl Books {
    /// Empty books of an app whose clients take turns with the nodes.
    #[must_use]
    pub fn new(app: AppId, ways: Ways) -> Arc<Self> {
        let (turn, answered, given) = (AtomicUsize::default(), AtomicUsize::default(), Mutex::default());
        Arc::new(Self { app, ways, turn, answered, given, entries: Mutex::default() })
    }

    /// The next node.
    fn way(&self) -> Http {
        let ways = self.ways.lock();
        ways[self.turn.fetch_add(1, SeqCst) % ways.len()].clone()
    }

    /// Creates a packet for the world, repeated until it is answered.
    ///
    /// # Panics
    /// When it is refused, or not answered in time.
    pub async fn create(&self, sender: &str, total: u64, count: u32, msg_id: &str) -> PacketId {
        let request = CreateRequest {
            app_id: self.app,
            user_id: user(sender),
            target: Target::World,
            total,
            count,
            mode: None,
            greeting: None,
            msg_id: MsgId::new(msg_id).expect("a valid id"),
        };
        let deadline = Instant::now() + PATIENCE;
        let created = loop {
            match self.way().call::<Create>(&request).await {
                Ok(created) => break created,
                Err(error) => assert!(is_passing(&error) && Instant::now() < deadline, "{msg_id}: {error}"),
            }
            pace(Duration::from_millis(50)).await;
        };
        let given = Given { sender: sender.to_owned(), total };
        self.given.lock().insert(created.packet_id.clone(), given);
        created.packet_id
    }

    /// Enters a packet that was created without them.
    pub fn knows(&self, packet: &PacketId, sender: &str, total: u64) {
        self.given.lock().insert(packet.clone(), Given { sender: sender.to_owned(), total });
    }

    /// Grabs, repeated until it is answered.
    ///
    /// # Panics
    /// When it is refused, not answered in time, or answered otherwise than before.
    pub async fn grab(&self, packet: &PacketId, who: &str) -> Outcome {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.grab_once(&self.way(), packet, who).await {
                Ok(outcome) => return outcome,
                Err(error) => {
                    assert!(is_passing(&error) && Instant::now() < deadline, "{who} grabs {packet}: {error}");
                }
            }
            pace(Duration::from_millis(50)).await;
        }
    }

    /// Grabs by this way.
    ///
    /// # Errors
    /// Why there was no answer.
    ///
    /// # Panics
    /// When it is answered otherwise than before.
    pub async fn grab_once(&self, way: &Http, packet: &PacketId, who: &str) -> Result<Outcome, Error> {
        let request = GrabRequest { app_id: self.app, user_id: user(who), packet_id: packet.clone() };
        let answer = way.call::<Grab>(&request).await;
        let mut entries = self.entries.lock();
        let entry = entries.entry((packet.clone(), who.to_owned())).or_default();
        let answer = answer.inspect_err(|_| entry.lost = true)?;
        self.answered.fetch_add(1, SeqCst);
        match answer.outcome {
            Outcome::Won | Outcome::Already => {
                entry.won += u32::from(answer.outcome == Outcome::Won);
                let amount = *entry.amount.get_or_insert(answer.amount);
                assert_eq!(answer.amount, amount, "{who} is answered two amounts of {packet}");
                assert!(amount > 0 && entry.won <= 1 && !entry.nothing, "{who} of {packet}: {entry:?}");
            }
            Outcome::Empty | Outcome::Expired => {
                entry.nothing = true;
                assert_eq!((answer.amount, entry.amount), (0, None), "{who} of {packet}: {entry:?}");
            }
        }
        Ok(answer.outcome)
    }

    /// Answers to grabs so far.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.answered.load(SeqCst)
    }

    /// Waits for so many answers to grabs.
    ///
    /// # Panics
    /// When they do not come in time.
    pub async fn has(&self, answers: usize) {
        until(&format!("{answers} answers"), PATIENCE, async || self.answered() >= answers).await;
    }

    /// Lets so many users, `u0` and on, grab each of the packets.
    #[must_use]
    pub fn crowd(self: &Arc<Self>, packets: &[PacketId], users: usize) -> JoinHandle<()> {
        let (packets, next) = (Arc::new(packets.to_vec()), Arc::<AtomicUsize>::default());
        let clients = (0..AT_ONCE).map(|_| {
            let (books, packets, next) = (self.clone(), packets.clone(), next.clone());
            tokio::spawn(async move {
                loop {
                    let turn = next.fetch_add(1, SeqCst);
                    let (user, packet) = (turn / packets.len(), turn % packets.len());
                    if user >= users {
                        return;
                    }
                    books.grab(&packets[packet], &format!("u{user}")).await;
                }
            })
        });
        let clients: Vec<_> = clients.collect();
        tokio::spawn(async move {
            for client in clients {
                client.await.expect("no panic");
            }
        })
    }

    /// Waits until all is settled; then the audit holds, and what every client was answered is what the packets and
    /// the wallets say, each share and each refund exactly once and to the cent. `http` is a node to ask.
    ///
    /// # Panics
    /// When a cent is missing, or settling takes too long.
    pub async fn agree(&self, http: &Http) -> AuditResponse {
        until("all is settled", PATIENCE, async || {
            let audit = audit_pages(http, self.app, None).await;
            audit.is_ok_and(|audit| audit.unsettled == 0 && audit.queued == 0)
        })
        .await;
        let given = self.given.lock().clone();
        let mut paid = Paid::default();
        for (packet, Given { sender, total }) in &given {
            let detail = detail(http, self.app, packet).await;
            let sum: u64 = detail.winners.iter().map(|winner| winner.amount).sum();
            assert_eq!((detail.total, detail.grabbed), (*total, sum), "{packet}");
            assert_eq!(detail.grabbed + detail.refunded + detail.open, *total, "{packet}");
            self.winners(packet, &detail.winners);
            for winner in &detail.winners {
                paid.due(winner.user_id.as_str(), TransferKind::Grab, packet, winner.amount);
            }
            paid.due(sender, TransferKind::Packet, packet, *total);
            if detail.refunded > 0 {
                paid.due(sender, TransferKind::Refund, packet, detail.refunded);
            }
        }
        for (who, due) in &paid.0 {
            let mut found = transfers(http, self.app, who).await;
            found.retain(|transfer| transfer.kind != TransferKind::Deposit);
            let mut found: Vec<_> = found.into_iter().map(Paid::entry).collect();
            found.sort_unstable();
            let mut due = due.clone();
            due.sort_unstable();
            assert_eq!(found, due, "the wallet of {who}");
        }
        let audit = audited(http, self.app).await;
        assert_eq!(audit.grabbed + audit.refunded + audit.open, audit.total);
        assert_eq!((audit.ledger_sum, audit.dead_letters), (0, 0));
        assert_eq!(audit.total, given.values().map(|given| given.total).sum::<u64>());
        audit
    }

    /// Who won by the detail of a packet is who was told so.
    fn winners(&self, packet: &PacketId, winners: &[Winner]) {
        let of_detail: BTreeMap<_, _> =
            winners.iter().map(|winner| (winner.user_id.to_string(), winner.amount)).collect();
        assert_eq!(of_detail.len(), winners.len(), "{packet}: nobody wins twice");
        let mut answered = BTreeMap::new();
        for ((_, who), entry) in self.entries.lock().iter().filter(|((of, _), _)| of == packet) {
            if let Some(amount) = entry.amount {
                answered.insert(who.clone(), amount);
                assert!(entry.won == 1 || entry.lost, "{who} never won {packet}: {entry:?}");
            }
        }
        assert_eq!(of_detail, answered, "{packet}");
    }
}

/// What must be in each wallet.
#[derive(Default)]
struct Paid(BTreeMap<String, Vec<(String, String, i64)>>);

impl Paid {
    fn due(&mut self, who: &str, kind: TransferKind, packet: &PacketId, amount: u64) {
        let amount = amount.cast_signed() * if kind == TransferKind::Packet { -1 } else { 1 };
        let due = (packet.to_string(), kind.as_str().to_owned(), amount);
        self.0.entry(who.to_owned()).or_default().push(due);
    }

    fn entry(transfer: Transfer) -> (String, String, i64) {
        let packet = transfer.packet_id.map(|packet| packet.to_string()).unwrap_or_default();
        (packet, transfer.kind.as_str().to_owned(), transfer.amount)
    }
}

/// A packet with all its winners.
///
/// # Panics
/// When it cannot be asked.
pub async fn detail(http: &Http, app: AppId, packet: &PacketId) -> DetailResponse {
    let (app_id, packet_id) = (app, packet.clone());
    let mut request = DetailRequest { app_id, packet_id, user_id: None, after: None, limit: Some(1000) };
    let mut whole = http.call::<Detail>(&request).await.expect("a detail");
    while whole.next.is_some() {
        request.after = whole.next;
        let page = http.call::<Detail>(&request).await.expect("a detail");
        whole.winners.extend(page.winners);
        whole.next = page.next;
    }
    whole
}

/// Every transfer of a wallet.
///
/// # Panics
/// When it cannot be asked.
pub async fn transfers(http: &Http, app: AppId, who: &str) -> Vec<Transfer> {
    let user_id: UserId = user(who);
    let mut request = TransfersRequest { app_id: app, user_id, before: None, limit: Some(200) };
    let mut all = Vec::new();
    loop {
        let page = http.call::<Transfers>(&request).await.expect("transfers");
        all.extend(page.transfers);
        request.before = page.next;
        if page.next.is_none() {
            return all;
        }
    }
}

/// Asks until an audit gives what is wanted.
///
/// # Panics
/// When none does in time.
pub async fn audit_until(
    http: &Http,
    app: AppId,
    what: &str,
    wanted: impl Fn(&AuditResponse) -> bool,
) -> AuditResponse {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = audit(http, app).await;
        if wanted(&found) {
            return found;
        }
        assert!(Instant::now() < deadline, "not {what}: {found:#?}");
        pace(Duration::from_millis(50)).await;
    }
}
