//! What an audit of all of an app goes through, a part at a time.
//!
//! Invariant: what a part holds in memory is bounded, whatever the app holds.

use std::collections::{HashMap, HashSet};

use chat_protocol::cursor::{AuditPlace, Stage};
use chat_protocol::{AppId, PacketId, Refusal};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::Auditor;
use super::findings::Findings;
use super::packet::{Account, examine};
use super::waiting::DEAD_LETTERS;
use crate::money::ledger::moves::{self, Move, escrow};
use crate::money::ledger::records::{AccountRow, PacketRow, Placed, TransferRecord};
use crate::money::packets::PacketError;
use crate::money::packets::record::Record;
use crate::money::settlement::Settlement;
use crate::money::{Cents, Terms, Total};

/// Packets in one part, and shares of all of them together if there is more than one.
const PACKETS: u32 = 500;
const SHARES: u64 = 20_000;
/// Transfers, accounts, or names of packets in one part.
const ROWS: u32 = 2000;
/// Packets that are read at the same time.
const AT_ONCE: usize = 32;

/// How much was looked at, and what is next; nothing at the end.
type Step = (u32, Option<Stage>);

/// A row and what it tells.
struct Known {
    id: PacketId,
    row: PacketRow,
    terms: Terms,
}

impl Auditor {
    /// The next part, of at most `limit`.
    pub(super) async fn step(
        &self,
        app: AppId,
        place: &AuditPlace,
        limit: u32,
        findings: &mut Findings,
    ) -> Result<Step, Refusal> {
        let since_ms = place.since_ms;
        match &place.stage {
            Stage::Packets(after) => {
                let limit = limit.min(PACKETS);
                let mut page = self.records.packets(app, since_ms, after.as_ref(), limit).await?;
                page.truncate(manageable(&page));
                let (looked, next) = (count(&page), page.last().map(PacketRow::place));
                self.rows(app, page, findings).await?;
                let next = next.map_or(Stage::Stored(None), |place| Stage::Packets(Some(place)));
                Ok((looked, Some(next)))
            }
            Stage::Stored(after) => {
                let page = self.packets.names(app, after.as_deref(), limit.min(ROWS)).await?;
                let looked = count(&page.names);
                self.stored_names(app, page.names, page.parts, findings).await?;
                let first = || Stage::Transfers(String::new());
                Ok((looked, Some(page.next.map_or_else(first, |next| Stage::Stored(Some(next))))))
            }
            Stage::Transfers(after) => {
                let page = self.records.postings(app, since_ms, after, limit.min(ROWS)).await?;
                page.iter().for_each(|placed| transfer(placed, findings));
                findings.answer.transfers += page.len() as u64;
                let rest = if since_ms == 0 { Stage::Accounts(String::new()) } else { Stage::Discards(0) };
                let next = page.last().map_or(rest, |last| Stage::Transfers(last.transfer.id.clone()));
                Ok((count(&page), Some(next)))
            }
            Stage::Accounts(after) => {
                let page = self.records.accounts(app, after, limit.min(ROWS)).await?;
                page.iter().for_each(|row| account(row, findings));
                findings.answer.accounts += page.len() as u64;
                let next = page.last().map_or(Stage::Discards(0), |last| Stage::Accounts(last.name.clone()));
                Ok((count(&page), Some(next)))
            }
            Stage::Discards(after) => {
                let (looked, last) = self.discards(app, *after, limit.min(ROWS), findings).await?;
                Ok((looked, Some(last.map_or(Stage::Whole, Stage::Discards))))
            }
            Stage::Whole => {
                self.sum(app, findings).await?;
                self.letters(app, None, findings).await?;
                Ok((0, None))
            }
        }
    }

    /// Packets of the ledger, held against the packets' store.
    pub(super) async fn rows(
        &self,
        app: AppId,
        rows: Vec<PacketRow>,
        findings: &mut Findings,
    ) -> Result<(), Refusal> {
        findings.answer.packets += rows.len() as u64;
        let known: Vec<Known> = rows.into_iter().filter_map(|row| readable(row, findings)).collect();
        let escrows: Vec<String> = known.iter().map(|known| escrow(&known.row.packet)).collect();
        let statement = self.records.statement(app, &escrows).await?;
        let balances: HashMap<&str, Cents> =
            statement.balances.iter().map(|(name, balance)| (name.as_str(), *balance)).collect();
        let mut transfers: HashMap<&str, Vec<&TransferRecord>> = HashMap::new();
        for transfer in &statement.transfers {
            for name in [&transfer.debit, &transfer.credit] {
                transfers.entry(name).or_default().push(transfer);
            }
        }
        let ids: Vec<PacketId> = known.iter().map(|known| known.id.clone()).collect();
        let records = ids.into_iter().map(|id| async move { self.record(app, &id).await });
        let records: Vec<_> = stream::iter(records).buffered(AT_ONCE).try_collect().await?;
        let now_ms = self.packets.now_ms().await?;
        for ((known, escrow), record) in known.iter().zip(&escrows).zip(records) {
            let Known { id, row, terms } = known;
            let none = Vec::new();
            let transfers = transfers.get(escrow.as_str()).unwrap_or(&none);
            let balance = balances.get(escrow.as_str()).copied();
            let account = Account { id, row, terms, balance, transfers };
            match record {
                Ok(record) => examine(app, &account, record.as_ref(), now_ms, findings),
                Err(detail) => findings.violation(Some(id), "unreadable", detail),
            }
        }
        Ok(())
    }

    /// None when the packets do not know it, or a text when what they have cannot be read.
    async fn record(&self, app: AppId, packet: &PacketId) -> Result<Result<Option<Record>, String>, Refusal> {
        match self.packets.record(app, packet).await {
            Ok(record) => Ok(Ok(Some(record))),
            Err(PacketError::NoSuchPacket) => Ok(Ok(None)),
            Err(PacketError::Corrupt(detail)) => Ok(Err(detail)),
            Err(error) => Err(error.into()),
        }
    }

    async fn stored_names(
        &self,
        app: AppId,
        names: Vec<String>,
        parts: Vec<String>,
        findings: &mut Findings,
    ) -> Result<(), Refusal> {
        for name in self.strangers(app, names).await? {
            stranger(&name, findings);
        }
        for part in self.strangers(app, parts).await? {
            let is_whole = match PacketId::new(&part) {
                Ok(packet) => matches!(self.record(app, &packet).await?, Ok(Some(_))),
                Err(_) => false,
            };
            if !is_whole {
                stranger(&part, findings);
            }
        }
        Ok(())
    }

    /// Those of the names that the ledger does not know.
    async fn strangers(&self, app: AppId, mut names: Vec<String>) -> Result<Vec<String>, Refusal> {
        names.sort_unstable();
        names.dedup();
        let known: HashSet<String> = self.records.known(app, &names).await?.into_iter().collect();
        names.retain(|name| !known.contains(name));
        Ok(names)
    }

    /// Whether the packets know a packet that the ledger does not.
    pub(super) async fn stored(
        &self,
        app: AppId,
        packets: &[PacketId],
        findings: &mut Findings,
    ) -> Result<bool, Refusal> {
        let mut any = false;
        for packet in packets {
            if !matches!(self.record(app, packet).await?, Ok(None)) {
                any = true;
                stranger(packet.as_str(), findings);
            }
        }
        Ok(any)
    }

    async fn sum(&self, app: AppId, findings: &mut Findings) -> Result<(), Refusal> {
        let sum = self.records.sum(app).await?;
        findings.answer.ledger_sum = sum.get();
        if sum != Cents::ZERO {
            findings.violation(None, "ledger", format!("all balances together are {sum} cents, not 0"));
        }
        Ok(())
    }

    /// What was given up.
    pub(super) async fn letters(
        &self,
        app: AppId,
        packet: Option<&PacketId>,
        findings: &mut Findings,
    ) -> Result<(), Refusal> {
        for queue in &self.queues {
            let dead = queue.dead(app, DEAD_LETTERS).await?;
            if dead.len() == DEAD_LETTERS {
                let detail = format!("{DEAD_LETTERS} settlements or more were given up; replay them first");
                findings.violation(None, "deadLetter", detail);
            }
            for dead in dead {
                let settlement: Option<Settlement> = serde_json::from_slice(&dead.body).ok();
                let about = settlement.as_ref().map(|settlement| &settlement.packet);
                if packet.is_none() || about == packet {
                    let detail = format!("settlement {} was given up: {}", dead.id, dead.reason);
                    findings.violation(about, "deadLetter", detail);
                }
            }
        }
        Ok(())
    }

    /// How much the queues hold.
    pub(super) async fn depth(&self, findings: &mut Findings) -> Result<(), Refusal> {
        for queue in &self.queues {
            let depth = queue.depth().await?;
            findings.answer.queued += depth.waiting;
            findings.answer.dead_letters += depth.dead;
        }
        Ok(())
    }
}

fn count<T>(of: &[T]) -> u32 {
    u32::try_from(of.len()).unwrap_or(u32::MAX)
}

/// How many of these packets can be looked at together: at least the first.
fn manageable(page: &[PacketRow]) -> usize {
    let shares = page.iter().scan(0, |shares, row| {
        let terms: Option<Terms> = serde_json::from_str(&row.terms).ok();
        *shares += terms.map_or(0, |terms| u64::from(terms.count));
        Some(*shares)
    });
    shares.take_while(|shares| *shares <= SHARES).count().max(1)
}

/// What a row of the ledger tells; what cannot be read is named.
fn readable(row: PacketRow, findings: &mut Findings) -> Option<Known> {
    let id = match PacketId::new(&row.packet) {
        Ok(id) => id,
        Err(error) => {
            let detail = format!("the ledger has a packet {:?}: {error}", row.packet);
            findings.violation(None, "unreadable", detail);
            return None;
        }
    };
    match serde_json::from_str(&row.terms) {
        Ok(terms) => Some(Known { id, row, terms }),
        Err(error) => {
            let detail = format!("its terms in the ledger cannot be read: {error}");
            findings.violation(Some(&id), "unreadable", detail);
            None
        }
    }
}

/// A packet that only the packets know.
fn stranger(name: &str, findings: &mut Findings) {
    match PacketId::new(name) {
        Ok(id) => {
            findings.violation(Some(&id), "unknown", "the packets have it, the ledger does not".to_owned());
        }
        Err(error) => {
            findings.violation(None, "unknown", format!("the packets have a packet {name:?}: {error}"));
        }
    }
}

/// A transfer as it stands alone; those that touch the escrow of a known packet were looked at with it.
fn transfer(placed: &Placed, findings: &mut Findings) {
    let Placed { transfer, has_accounts, is_of_packet } = placed;
    if !has_accounts {
        let TransferRecord { id, debit, credit, .. } = transfer;
        let detail = format!("of {debit} and {credit}, which {id} is between, one is no account");
        findings.violation(None, "ledger", detail);
    }
    if *is_of_packet {
        return;
    }
    match transfer.read() {
        Ok(Move::Cash) => {}
        Ok(of) => {
            let detail = format!("{} moves money of a packet that the ledger does not have", transfer.id);
            findings.violation(of.packet(), "escrow", detail);
        }
        Err(why) => {
            let packet = transfer.packet.as_deref().and_then(|packet| PacketId::new(packet).ok());
            findings.violation(packet.as_ref(), "transfer", why);
        }
    }
}

/// An account holds what its transfers say; escrows of known packets were looked at with these.
fn account(row: &AccountRow, findings: &mut Findings) {
    let AccountRow { name, balance, moved, is_of_packet } = row;
    if *is_of_packet {
        return;
    }
    if balance != moved {
        let off = Total::default().plus(*balance).minus(*moved);
        let detail = format!("the balance of {name} is {off} cents off from its transfers");
        findings.violation(None, "ledger", detail);
    }
    match name.parse() {
        Ok(moves::Account::Bank | moves::Account::Wallet(_)) => {}
        Ok(moves::Account::Escrow(packet)) => {
            let detail = format!("its escrow holds {balance} cents, and the ledger does not have it");
            findings.violation(Some(&packet), "escrow", detail);
        }
        Err(why) => findings.violation(None, "ledger", why),
    }
}
