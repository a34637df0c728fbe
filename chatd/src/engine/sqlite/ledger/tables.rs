//! The statements on the tables of the ledger.
//!
//! Invariant: balances change only together with the transfers that say so.

use chat_protocol::wallet::Transfer;
use chat_protocol::{AppId, PacketId, UserId};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::money::ledger::book::{self, Account, Book, Posting};
use crate::money::ledger::records::DiscardRow;
use crate::money::ledger::rows::{self, EscrowRow, PaidRow, PostingRow, TransferRow, corrupt, signed};
use crate::money::ledger::{Escrow, FIRST_LOOK_MS, KEPT_OF_A_LETTER, LedgerError, Paid, Secret};
use crate::money::settlement::Dead;
use crate::money::{Cents, Terms};

/// What the postings touch.
pub fn open_book<'a>(
    tables: &Connection,
    postings: impl Iterator<Item = &'a Posting>,
) -> Result<Book, LedgerError> {
    let mut book = Book::default();
    for posting in postings {
        if let Some(earlier) = posted(tables, posting)? {
            book.show_posted(earlier.read()?);
        }
        for account in [posting.from(), posting.to()] {
            if !book.knows(&account)
                && let Some(balance) = balance(tables, &account)?
            {
                book.show_account(account, balance);
            }
        }
    }
    Ok(book)
}

fn posted(tables: &Connection, posting: &Posting) -> rusqlite::Result<Option<PostingRow>> {
    let sql = "SELECT app, id, debit, credit, amount, kind, packet FROM transfer WHERE app = ?1 AND id = ?2";
    tables
        .prepare_cached(sql)?
        .query_row(params![posting.app, posting.id], |row| {
            Ok(PostingRow {
                app: row.get(0)?,
                id: row.get(1)?,
                debit: row.get(2)?,
                credit: row.get(3)?,
                amount: Cents::new(row.get(4)?),
                kind: row.get(5)?,
                packet: row.get(6)?,
            })
        })
        .optional()
}

/// What an account holds; none when there is no such account.
pub fn balance(tables: &Connection, (app, name): &Account) -> rusqlite::Result<Option<Cents>> {
    tables
        .prepare_cached("SELECT balance FROM account WHERE app = ?1 AND name = ?2")?
        .query_row(params![app, name], |row| row.get(0).map(Cents::new))
        .optional()
}

/// Writes what is new in the book.
pub fn write(tables: &Connection, book: &Book, now_ms: u64) -> rusqlite::Result<()> {
    let mut insert = tables.prepare_cached(
        "INSERT INTO transfer(app, id, debit, credit, amount, kind, packet, time)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for new in book.new_postings() {
        let Posting { app, id, debit, credit, amount, kind, packet } = new;
        insert.execute(params![
            app,
            id,
            debit,
            credit,
            amount.get(),
            kind.as_str(),
            packet,
            signed(now_ms)
        ])?;
    }
    let mut update = tables.prepare_cached(
        "INSERT INTO account(app, name, balance) VALUES (?1, ?2, ?3)
         ON CONFLICT(app, name) DO UPDATE SET balance = excluded.balance",
    )?;
    for ((app, name), balance) in book.changes() {
        update.execute(params![app, name, balance.get()])?;
    }
    Ok(())
}

/// Keeps the terms of a packet.
pub fn put_terms(tables: &Connection, terms: &Terms) -> Result<(), LedgerError> {
    let json = serde_json::to_string(terms).map_err(|error| corrupt(&error))?;
    tables
        .prepare_cached(
            "INSERT INTO escrow(app, packet, terms, created, expires, look, target, sender)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            terms.app,
            terms.packet.as_str(),
            json,
            signed(terms.created_ms),
            signed(terms.expires_ms),
            signed(terms.created_ms.saturating_add(FIRST_LOOK_MS)),
            terms.target.to_string(),
            terms.sender.as_str()
        ])?;
    Ok(())
}

/// How many packets of a user hold money.
pub fn open_packets(tables: &Connection, app: AppId, sender: &UserId) -> rusqlite::Result<u64> {
    let sql = "SELECT count(*) FROM escrow AS e
               JOIN account AS a ON a.app = e.app AND a.name = 'escrow:' || packet
               WHERE e.app = ?1 AND sender = ?2 AND look IS NOT NULL AND balance > 0";
    tables.prepare_cached(sql)?.query_row(params![app, sender.as_str()], |row| row.get(0))
}

/// Marks a packet as announced.
pub fn announced(tables: &Connection, app: AppId, packet: &PacketId) -> Result<(), LedgerError> {
    let sql = "UPDATE escrow SET look = iif(announced OR look IS NULL, look, expires), announced = 1
               WHERE app = ?1 AND packet = ?2";
    match tables.prepare_cached(sql)?.execute(params![app, packet.as_str()])? {
        0 => Err(LedgerError::NoSuchPacket),
        _ => Ok(()),
    }
}

/// Packets whose time has come; they are due again at `again_ms`.
pub fn take_due(
    tables: &Connection,
    now_ms: u64,
    again_ms: u64,
    limit: u32,
) -> Result<Vec<(AppId, PacketId)>, LedgerError> {
    let mut statement = tables.prepare_cached(
        "UPDATE escrow SET look = ?2 WHERE (app, packet) IN
            (SELECT app, packet FROM escrow WHERE look <= ?1 ORDER BY look LIMIT ?3)
         RETURNING app, packet",
    )?;
    let found = statement
        .query_map(params![signed(now_ms), signed(again_ms), limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows::names(found.collect::<Result<_, _>>()?))
}

/// Sets the time of a packet that has one; [`u64::MAX`] takes it away, if the escrow is empty.
pub fn postpone(tables: &Connection, app: AppId, packet: &PacketId, at_ms: u64) -> rusqlite::Result<()> {
    let sql = "UPDATE escrow SET look = iif(a.balance > 0, ?3, nullif(?3, ?4)) FROM account AS a
               WHERE escrow.app = ?1 AND packet = ?2 AND look IS NOT NULL
                 AND a.app = escrow.app AND a.name = 'escrow:' || packet";
    let values = params![app, packet.as_str(), signed(at_ms), signed(u64::MAX)];
    tables.prepare_cached(sql)?.execute(values).map(drop)
}

/// What was offered to this target and has a time is due now.
pub fn hasten(tables: &Connection, app: AppId, target: &str) -> rusqlite::Result<()> {
    let sql = "UPDATE escrow SET look = 0 WHERE app = ?1 AND look IS NOT NULL AND target = ?2";
    tables.prepare_cached(sql)?.execute(params![app, target]).map(drop)
}

/// Keeps why a dead letter was given up.
pub fn give_up(
    tables: &Connection,
    app: AppId,
    letter: &Dead,
    reason: &str,
    now_ms: u64,
) -> rusqlite::Result<()> {
    let count = "INSERT INTO discarded(app, count, unsealed) VALUES (?1, 1, 0)
        ON CONFLICT (app) DO UPDATE SET count = count + 1 RETURNING count";
    let row = DiscardRow {
        place: tables.prepare_cached(count)?.query_row([app], |row| row.get(0))?,
        letter: letter.id.clone(),
        reason: reason.to_owned(),
        cause: letter.reason.clone(),
        body: letter.body[..letter.body.len().min(KEPT_OF_A_LETTER)].to_vec(),
        time: signed(now_ms),
    };
    let put = "INSERT INTO discard(app, place, letter, reason, cause, body, time, digest)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let digest = row.digest(app);
    let DiscardRow { place, letter, reason, cause, body, time } = row;
    let values = params![app, place, letter, reason, cause, body, time, digest];
    tables.prepare_cached(put)?.execute(values).map(drop)
}

/// What the names of packets are made with, and since when, Unix milliseconds.
pub fn secret(tables: &Connection) -> Result<Secret, LedgerError> {
    let sql = "SELECT secret, made FROM secret";
    let (secret, made) = tables.prepare_cached(sql)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Secret { secret, made_ms: rows::count(made)? })
}

/// A page of a wallet's transfers, the newest first.
pub fn transfers(
    tables: &Connection,
    app: AppId,
    user: &UserId,
    before: u64,
    limit: u32,
) -> Result<Vec<Transfer>, LedgerError> {
    let mut statement = tables.prepare_cached(
        "SELECT * FROM (SELECT number, id, kind, -amount, packet, time FROM transfer
                        WHERE app = ?1 AND debit = ?2 AND number < ?3 ORDER BY number DESC LIMIT ?4)
         UNION ALL
         SELECT * FROM (SELECT number, id, kind, amount, packet, time FROM transfer
                        WHERE app = ?1 AND credit = ?2 AND number < ?3 ORDER BY number DESC LIMIT ?4)
         ORDER BY number DESC LIMIT ?4",
    )?;
    let found = statement.query_map(params![app, book::wallet(user), signed(before), limit], |row| {
        Ok(TransferRow {
            number: row.get(0)?,
            id: row.get(1)?,
            kind: row.get(2)?,
            amount: Cents::new(row.get(3)?),
            packet: row.get(4)?,
            time: row.get(5)?,
        })
    })?;
    rows::all(found.collect::<Result<_, _>>()?, TransferRow::read)
}

/// One packet.
pub fn escrow(tables: &Connection, app: AppId, packet: &PacketId) -> Result<Option<Escrow>, LedgerError> {
    let mut statement = tables.prepare_cached(
        "SELECT e.terms, a.balance, e.announced FROM escrow AS e
         JOIN account AS a ON a.app = e.app AND a.name = 'escrow:' || e.packet WHERE e.app = ?1 AND e.packet = ?2",
    )?;
    let row = |row: &Row<'_>| {
        Ok(EscrowRow { terms: row.get(0)?, balance: Cents::new(row.get(1)?), announced: row.get(2)? })
    };
    let found = statement.query_row(params![app, packet.as_str()], row).optional()?;
    found.map(EscrowRow::read).transpose()
}

/// What left an escrow.
pub fn paid(tables: &Connection, app: AppId, packet: &PacketId) -> Result<Vec<Paid>, LedgerError> {
    let mut statement = tables.prepare_cached(
        "SELECT kind, credit, amount, time FROM transfer WHERE app = ?1 AND debit = ?2 ORDER BY number",
    )?;
    let found = statement.query_map(params![app, book::escrow(packet)], |row| {
        let amount = Cents::new(row.get(2)?);
        Ok(PaidRow { kind: row.get(0)?, credit: row.get(1)?, amount, time: row.get(3)? })
    })?;
    rows::all(found.collect::<Result<_, _>>()?, PaidRow::read)
}
