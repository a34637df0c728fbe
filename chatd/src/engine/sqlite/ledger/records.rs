//! The rows as they are, read from the SQLite tables.
//!
//! Invariant: a text that is no text and a number that is none become what can be shown of them.

use async_trait::async_trait;
use chat_protocol::AppId;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::EmbeddedLedger;
use crate::money::ledger::LedgerError;
use crate::money::ledger::records::{
    AccountRow, DiscardRow, Discards, PacketRow, Place, Placed, Records, Statement, TransferRecord,
};
use crate::money::ledger::rows::signed;
use crate::money::{Cents, Total};

fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    Ok(match row.get_ref(column)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        ValueRef::Null => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
    })
}

fn packet_row(row: &Row<'_>) -> rusqlite::Result<PacketRow> {
    Ok(PacketRow {
        packet: text(row, 0)?,
        terms: text(row, 1)?,
        created: row.get(2)?,
        expires: row.get(3)?,
        announced: row.get(4)?,
    })
}

fn transfer_record(row: &Row<'_>) -> rusqlite::Result<TransferRecord> {
    let packet = match row.get_ref(5)? {
        ValueRef::Null => None,
        _ => Some(text(row, 5)?),
    };
    Ok(TransferRecord {
        id: text(row, 0)?,
        debit: text(row, 1)?,
        credit: text(row, 2)?,
        amount: Cents::new(row.get(3)?),
        kind: text(row, 4)?,
        packet,
    })
}

fn packets(
    tables: &Connection,
    app: AppId,
    since_ms: u64,
    after: Option<Place>,
    limit: u32,
) -> rusqlite::Result<Vec<PacketRow>> {
    let after = after.unwrap_or(Place { created: i64::MIN, packet: String::new() });
    let mut statement = tables.prepare_cached(
        "SELECT packet, terms, created, expires, announced FROM escrow
         WHERE app = ?1 AND created >= ?2 AND (created, packet) > (?3, ?4) ORDER BY created, packet LIMIT ?5",
    )?;
    let values = params![app, signed(since_ms), after.created, after.packet, limit];
    statement.query_map(values, packet_row)?.collect()
}

fn latest(
    tables: &Connection,
    app: AppId,
    before: Option<Place>,
    limit: u32,
) -> rusqlite::Result<Vec<PacketRow>> {
    let before = before.map(|place| (place.created, place.packet)).unzip();
    let mut statement = tables.prepare_cached(
        "SELECT packet, terms, created, expires, announced FROM escrow
         WHERE app = ?1 AND (?2 IS NULL OR (created, packet) < (?2, ?3))
         ORDER BY created DESC, packet DESC LIMIT ?4",
    )?;
    statement.query_map(params![app, before.0, before.1, limit], packet_row)?.collect()
}

fn packet(tables: &Connection, app: AppId, packet: &str) -> rusqlite::Result<Option<PacketRow>> {
    tables
        .prepare_cached(
            "SELECT packet, terms, created, expires, announced FROM escrow WHERE app = ?1 AND packet = ?2",
        )?
        .query_row(params![app, packet], packet_row)
        .optional()
}

fn known(tables: &Connection, app: AppId, packets: Vec<String>) -> rusqlite::Result<Vec<String>> {
    let mut statement = tables.prepare_cached("SELECT 1 FROM escrow WHERE app = ?1 AND packet = ?2")?;
    let mut known = Vec::new();
    for packet in packets {
        if statement.exists(params![app, packet])? {
            known.push(packet);
        }
    }
    Ok(known)
}

fn statement(tables: &Connection, app: AppId, accounts: &[String]) -> rusqlite::Result<Statement> {
    let mut balance =
        tables.prepare_cached("SELECT name, balance FROM account WHERE app = ?1 AND name = ?2")?;
    let mut touching = tables.prepare_cached(
        "SELECT id, debit, credit, amount, kind, packet, number FROM transfer WHERE app = ?1 AND debit = ?2
         UNION ALL
         SELECT id, debit, credit, amount, kind, packet, number FROM transfer WHERE app = ?1 AND credit = ?2",
    )?;
    let mut statement = Statement::default();
    let mut numbered = std::collections::BTreeMap::new();
    for name in accounts {
        let held = balance
            .query_row(params![app, name], |row| Ok((row.get(0)?, Cents::new(row.get(1)?))))
            .optional()?;
        statement.balances.extend(held);
        let found = touching
            .query_map(params![app, name], |row| Ok((row.get::<_, i64>(6)?, transfer_record(row)?)))?;
        for transfer in found {
            let (number, transfer) = transfer?;
            numbered.insert(number, transfer);
        }
    }
    statement.transfers = numbered.into_values().collect();
    Ok(statement)
}

fn postings(
    tables: &Connection,
    app: AppId,
    since_ms: u64,
    after: &str,
    limit: u32,
) -> rusqlite::Result<Vec<Placed>> {
    let mut statement = tables.prepare_cached(
        "SELECT id, debit, credit, amount, kind, packet,
            EXISTS(SELECT 1 FROM account AS a WHERE a.app = t.app AND a.name = t.debit)
                AND EXISTS(SELECT 1 FROM account AS a WHERE a.app = t.app AND a.name = t.credit),
            EXISTS(SELECT 1 FROM escrow AS e WHERE e.app = t.app AND e.packet = substr(t.debit, 8)
                    AND substr(t.debit, 1, 7) = 'escrow:')
                OR EXISTS(SELECT 1 FROM escrow AS e WHERE e.app = t.app AND e.packet = substr(t.credit, 8)
                    AND substr(t.credit, 1, 7) = 'escrow:')
         FROM transfer AS t WHERE app = ?1 AND id > ?2 AND time >= ?3 ORDER BY id LIMIT ?4",
    )?;
    let found = statement.query_map(params![app, after, signed(since_ms), limit], |row| {
        Ok(Placed { transfer: transfer_record(row)?, has_accounts: row.get(6)?, is_of_packet: row.get(7)? })
    })?;
    found.collect()
}

fn accounts(tables: &Connection, app: AppId, after: &str, limit: u32) -> rusqlite::Result<Vec<AccountRow>> {
    let mut statement = tables.prepare_cached(
        "SELECT name, balance,
            EXISTS(SELECT 1 FROM escrow AS e WHERE e.app = a.app AND e.packet = substr(a.name, 8)
                AND substr(a.name, 1, 7) = 'escrow:')
         FROM account AS a WHERE app = ?1 AND name > ?2 ORDER BY name LIMIT ?3",
    )?;
    let mut moves = tables.prepare_cached(
        "SELECT amount FROM transfer WHERE app = ?1 AND credit = ?2
         UNION ALL SELECT -amount FROM transfer WHERE app = ?1 AND debit = ?2",
    )?;
    let found = statement.query_map(params![app, after, limit], |row| {
        let name = text(row, 0)?;
        let moved = moves.query_map(params![app, name], |row| row.get(0).map(Cents::new))?;
        let moved = moved.collect::<rusqlite::Result<Total>>()?.clamped();
        Ok(AccountRow { name, balance: Cents::new(row.get(1)?), moved, is_of_packet: row.get(2)? })
    })?;
    found.collect()
}

fn sum(tables: &Connection, app: AppId) -> rusqlite::Result<Cents> {
    let mut statement = tables.prepare_cached("SELECT balance FROM account WHERE app = ?1")?;
    let balances = statement.query_map([app], |row| row.get(0).map(Cents::new))?;
    Ok(balances.collect::<rusqlite::Result<Total>>()?.clamped())
}

fn discards(tables: &Connection, app: AppId, after: u64, limit: u32) -> rusqlite::Result<Discards> {
    let mut statement = tables.prepare_cached(
        "SELECT place, letter, reason, cause, body, time, digest FROM discard
         WHERE app = ?1 AND place > ?2 ORDER BY place LIMIT ?3",
    )?;
    let rows = statement.query_map(params![app, signed(after), limit], |row| {
        let found = DiscardRow {
            place: row.get(0)?,
            letter: text(row, 1)?,
            reason: text(row, 2)?,
            cause: text(row, 3)?,
            body: row.get(4)?,
            time: row.get(5)?,
        };
        Ok((found, row.get(6)?))
    })?;
    let rows = rows.collect::<rusqlite::Result<_>>()?;
    let counted = tables
        .prepare_cached("SELECT count, unsealed FROM discarded WHERE app = ?1")?
        .query_row([app], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (count, unsealed) = counted.unwrap_or_default();
    Ok(Discards { rows, count, unsealed })
}

#[async_trait]
impl Records for EmbeddedLedger {
    async fn packets(
        &self,
        app: AppId,
        since_ms: u64,
        after: Option<&Place>,
        limit: u32,
    ) -> Result<Vec<PacketRow>, LedgerError> {
        let after = after.cloned();
        self.database.query(move |tables| Ok(packets(tables, app, since_ms, after, limit)?)).await
    }

    async fn latest(
        &self,
        app: AppId,
        before: Option<&Place>,
        limit: u32,
    ) -> Result<Vec<PacketRow>, LedgerError> {
        let before = before.cloned();
        self.database.query(move |tables| Ok(latest(tables, app, before, limit)?)).await
    }

    async fn packet(&self, app: AppId, id: &str) -> Result<Option<PacketRow>, LedgerError> {
        let id = id.to_owned();
        self.database.query(move |tables| Ok(packet(tables, app, &id)?)).await
    }

    async fn known(&self, app: AppId, packets: &[String]) -> Result<Vec<String>, LedgerError> {
        let packets = packets.to_vec();
        self.database.query(move |tables| Ok(known(tables, app, packets)?)).await
    }

    async fn statement(&self, app: AppId, accounts: &[String]) -> Result<Statement, LedgerError> {
        let accounts = accounts.to_vec();
        self.database.query(move |tables| Ok(statement(tables, app, &accounts)?)).await
    }

    async fn postings(
        &self,
        app: AppId,
        since_ms: u64,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Placed>, LedgerError> {
        let after = after.to_owned();
        self.database.query(move |tables| Ok(postings(tables, app, since_ms, &after, limit)?)).await
    }

    async fn accounts(&self, app: AppId, after: &str, limit: u32) -> Result<Vec<AccountRow>, LedgerError> {
        let after = after.to_owned();
        self.database.query(move |tables| Ok(accounts(tables, app, &after, limit)?)).await
    }

    async fn discards(&self, app: AppId, after: u64, limit: u32) -> Result<Discards, LedgerError> {
        self.database.query(move |tables| Ok(discards(tables, app, after, limit)?)).await
    }

    async fn sum(&self, app: AppId) -> Result<Cents, LedgerError> {
        self.database.query(move |tables| Ok(sum(tables, app)?)).await
    }
}
