//! What the packets in the file owe, and how their books are compared with what the ledger paid.
//!
//! Invariant: books are read, mended and written in one transaction.

use chat_protocol::UserId;
use rusqlite::{Connection, OptionalExtension, params};

use super::{find, queue, terms, winners};
use crate::engine::sqlite::money_file::Step;
use crate::money::packets::books::{Books, Mended};
use crate::money::packets::{PacketError, Paid, tell_mended};
use crate::money::settlement::{Kind, Settlement};
use crate::money::{Cents, Terms};

/// See [`crate::money::packets::Debts::owed`].
pub(super) fn owed(tables: &Connection, settlement: &Settlement) -> Result<Option<Cents>, PacketError> {
    let Settlement { app, packet, kind, user, .. } = settlement;
    let Some(found) = find(tables, *app, packet)?.filter(|found| found.known) else { return Ok(None) };
    match kind {
        Kind::Grab => Ok(tables
            .prepare_cached("SELECT amount FROM share WHERE packet = ?1 AND user = ?2")?
            .query_row(params![found.id, user.as_str()], |row| row.get(0))
            .optional()?),
        Kind::Refund => {
            let sender = terms(tables, *app, packet)?.map(|terms| terms.sender);
            Ok(found.refunded.filter(|cents| cents.is_positive() && sender.as_ref() == Some(user)))
        }
        Kind::Rest => Ok(None),
    }
}

/// See [`crate::money::packets::Debts::restore`].
pub(super) fn restore(
    step: &mut Step<'_>,
    terms: &Terms,
    paid: &[Paid],
    era: i64,
) -> Result<bool, PacketError> {
    let tables = step.connection;
    let Some(found) = find(tables, terms.app, &terms.packet)?.filter(|found| found.known) else {
        return Ok(false);
    };
    tables.prepare_cached("UPDATE packet SET era = ?2 WHERE id = ?1")?.execute(params![found.id, era])?;
    let mut shares = tables.prepare_cached("SELECT amount FROM share WHERE packet = ?1 AND number > ?2")?;
    let shares = shares.query_map(params![found.id, found.taken], |row| row.get(0))?;
    let shares = shares.collect::<rusqlite::Result<Vec<Cents>>>()?;
    let books =
        Books { winners: winners(tables, found.id, 0, found.taken)?, shares, refunded: found.refunded };
    let Some(Mended { books, annulled }) = books.mended(terms, paid) else { return Ok(false) };
    write(tables, found.id, &books)?;
    let rest = books.refunded.unwrap_or_default();
    if found.refunded.is_none() && rest.is_positive() {
        let Terms { app, packet, sender, .. } = terms.clone();
        let time_ms = step.now_ms;
        let refund = Settlement { app, packet, kind: Kind::Refund, user: sender, amount: rest, time_ms };
        queue(step, &refund)?;
    }
    tell_mended(terms, &annulled);
    Ok(true)
}

fn write(tables: &Connection, id: i64, books: &Books) -> Result<(), PacketError> {
    tables.prepare_cached("DELETE FROM share WHERE packet = ?1")?.execute([id])?;
    let mut put = tables.prepare_cached(
        "INSERT INTO share(packet, number, amount, user, time_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for winner in &books.winners {
        let user: &UserId = &winner.user;
        put.execute(params![id, winner.number, winner.amount, user.as_str(), winner.time_ms])?;
    }
    for (number, amount) in (books.winners.len() + 1..).zip(&books.shares) {
        put.execute(params![id, number, amount, None::<&str>, None::<u64>])?;
    }
    let luckiest = books.winners.iter().rev().max_by_key(|winner| winner.amount);
    tables
        .prepare_cached(
            "UPDATE packet SET taken = ?2, grabbed = ?3, refunded = ?4, best = ?5, luckiest = ?6 WHERE id = ?1",
        )?
        .execute(params![
            id,
            books.winners.len(),
            books.grabbed(),
            books.refunded,
            luckiest.map_or(Cents::ZERO, |winner| winner.amount),
            luckiest.map(|winner| winner.user.as_str())
        ])?;
    Ok(())
}
