//! The proof that no cent is lost: an identity, name by name, between what the packets keep, what the ledger keeps, and
//! what is on its way from the one to the other; in both directions, from the raw state of both.
//!
//! Invariant: nothing is read twice as if it were one moment. Payments are read before wins, so every payment must have
//! its win; wins without a payment are looked for where settlements wait, and then among the payments once more. What
//! cannot be read is named, and the audit goes on.

mod discards;
mod findings;
mod packet;
mod results;
mod stages;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use chat_protocol::cursor::AuditPlace;
use chat_protocol::red_packet::{AuditResponse, MAX_AUDIT_PAGE};
use chat_protocol::{AppId, Code, PacketId, Refusal};
use tokio::sync::Mutex;
use tokio::time::Instant;

use self::findings::Findings;
pub use self::results::{Last, Results};
use crate::money::ledger::LedgerError;
use crate::money::ledger::records::Records;
use crate::money::packets::Packets;
use crate::money::settlement::{Queue, QueueError};

/// How long one page of an audit may look at more before it answers; shorter than a client's patience.
const TURN: Duration = Duration::from_secs(2);
/// Unpaid shares and refunds that one page keeps in mind.
const MAX_UNPAID: usize = 50_000;

/// A page of an audit of all of an app.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ask {
    /// Leaves out packets that were created, and transfers that were posted earlier, Unix milliseconds; and accounts, if
    /// it is not 0.
    pub since_ms: u64,
    /// Where the page before ended; the beginning when absent.
    pub cursor: Option<String>,
    /// Most packets, transfers and accounts to look at; as many as time allows when absent.
    pub limit: Option<u32>,
}

/// Holds the stores of money against each other.
pub struct Auditor {
    packets: Arc<dyn Packets>,
    records: Arc<dyn Records>,
    queues: Vec<Arc<dyn Queue>>,
    results: Arc<Results>,
    /// One of the audits of a whole app works, the others wait.
    turn: Mutex<()>,
}

impl Auditor {
    /// Audits these stores, by the clock of the packets; settlements travel over `queues`, the outbox first.
    #[must_use]
    pub fn new(packets: Arc<dyn Packets>, records: Arc<dyn Records>, queues: Vec<Arc<dyn Queue>>) -> Self {
        Self { packets, records, queues, results: Arc::default(), turn: Mutex::default() }
    }

    /// How audits of whole apps that ended here went.
    #[must_use]
    pub fn results(&self) -> Arc<Results> {
        self.results.clone()
    }

    /// Looks at one packet.
    ///
    /// # Errors
    /// When a store does not answer, or there is no such packet. What is wrong with the money is no error but the answer.
    pub async fn packet(&self, app: AppId, packet: &PacketId) -> Result<AuditResponse, Refusal> {
        let mut findings = Findings::default();
        match self.records.packet(app, packet.as_str()).await? {
            Some(row) => self.rows(app, vec![row], &mut findings).await?,
            None if self.stored(app, std::slice::from_ref(packet), &mut findings).await? => {}
            None => return Err(LedgerError::NoSuchPacket.into()),
        }
        self.letters(app, Some(packet), &mut findings).await?;
        self.on_their_way(app, &mut findings).await?;
        self.depth(&mut findings).await?;
        Ok(findings.into_answer())
    }

    /// Looks at all of an app, page by page: the answer has a cursor for the next one, and none at the end.
    ///
    /// # Errors
    /// When a store does not answer, or the cursor is none. What is wrong with the money is no error but the answer.
    pub async fn page(&self, app: AppId, ask: &Ask) -> Result<AuditResponse, Refusal> {
        let _turn = self.turn.lock().await;
        let place = match &ask.cursor {
            None => AuditPlace::new(ask.since_ms, self.packets.now_ms().await?),
            Some(cursor) => cursor.parse()?,
        };
        let walked = self.walk(app, place, ask.limit.unwrap_or(MAX_AUDIT_PAGE)).await;
        // That a cursor is none says nothing about the stores.
        if walked.as_ref().is_err_and(|refusal| refusal.code != Code::BadParameter) {
            self.results.failed();
        }
        walked
    }

    async fn walk(&self, app: AppId, mut place: AuditPlace, limit: u32) -> Result<AuditResponse, Refusal> {
        let (mut findings, mut left, end) = (Findings::default(), limit, Instant::now() + TURN);
        let is_over = loop {
            let (looked, next) = self.step(app, &place, left, &mut findings).await?;
            let Some(next) = next else { break true };
            place.stage = next;
            left = left.saturating_sub(looked);
            if left == 0 || findings.unpaid.len() >= MAX_UNPAID || Instant::now() >= end {
                break false;
            }
        };
        self.on_their_way(app, &mut findings).await?;
        self.depth(&mut findings).await?;
        let mut answer = findings.into_answer();
        place.found = place.found.saturating_add(answer.violation_count);
        if is_over {
            self.results.ended(&place, self.packets.now_ms().await?);
        } else {
            answer.cursor = Some(place.to_string());
        }
        Ok(answer)
    }
}

impl From<QueueError> for Refusal {
    fn from(error: QueueError) -> Self {
        tracing::warn!(%error, "settlements");
        Refusal::unreachable("settlements")
    }
}
