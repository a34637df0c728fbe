//! A packet as it stands in the tables of the money file.
//!
//! Invariant: nothing is left out that belongs to it; a row that cannot be read is an error.

use chat_protocol::{AppId, PacketId, UserId};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::user;
use crate::money::packets::record::{Flaw, Names, Record, Sums, differs, unreadable};
use crate::money::packets::{PacketError, Winner};
use crate::money::{Cents, Terms};

/// The row of a packet.
struct Packet {
    id: i64,
    terms: Option<String>,
    total: Cents,
    count: u32,
    expires_ms: u64,
    taken: u32,
    grabbed: Cents,
    best: Cents,
    luckiest: Option<String>,
    refunded: Option<Cents>,
}

fn packet(tables: &Connection, app: AppId, packet: &PacketId) -> rusqlite::Result<Option<Packet>> {
    tables
        .prepare_cached(
            "SELECT id, terms, total, count, expires_ms, taken, grabbed, best, luckiest, refunded
             FROM packet WHERE app = ?1 AND packet = ?2",
        )?
        .query_row(params![app, packet.as_str()], |row| {
            Ok(Packet {
                id: row.get(0)?,
                terms: row.get(1)?,
                total: row.get(2)?,
                count: row.get(3)?,
                expires_ms: row.get(4)?,
                taken: row.get(5)?,
                grabbed: row.get(6)?,
                best: row.get(7)?,
                luckiest: row.get(8)?,
                refunded: row.get(9)?,
            })
        })
        .optional()
}

/// See [`crate::money::packets::Contents::record`].
pub(super) fn record(tables: &Connection, app: AppId, id: &PacketId) -> Result<Record, PacketError> {
    let row = packet(tables, app, id).map_err(|error| unreadable("its row", error))?;
    let row = row.ok_or(PacketError::NoSuchPacket)?;
    let terms = row.terms.as_deref().ok_or(PacketError::NoSuchPacket)?;
    let terms: Terms = serde_json::from_str(terms).map_err(|error| unreadable("its terms", error))?;
    let (mut rest, mut winners, mut flaws) = (Vec::new(), Vec::new(), Vec::new());
    let mut shares = tables.prepare_cached(
        "SELECT number, user, amount, time_ms FROM share WHERE packet = ?1 ORDER BY number LIMIT 20000",
    )?;
    let mut found = shares.query([row.id])?;
    let mut last = 0;
    while let Some(row) = found.next()? {
        let (number, amount, taken) = share(row).map_err(|error| unreadable("a share", error))?;
        if number != last + 1 {
            flaws.push(Flaw::new("share", format!("share {} is not there", last + 1)));
        }
        last = number;
        match taken {
            None => rest.push(amount),
            Some((user, time_ms)) => winners.push(Winner { number, user, amount, time_ms }),
        }
    }
    flaws.extend(contradictions(&row, &terms, &winners));
    Ok(Record { rest, winners, grabbed: row.grabbed, refunded: row.refunded, flaws, terms })
}

/// Its number, its cents, and who took it when.
type Share = (u32, Cents, Option<(UserId, u64)>);

fn share(row: &Row<'_>) -> rusqlite::Result<Share> {
    let taken = match row.get_ref(1)? {
        ValueRef::Null => None,
        _ => Some((user(row, 1)?, row.get(3)?)),
    };
    Ok((row.get(0)?, row.get(2)?, taken))
}

fn contradictions(row: &Packet, terms: &Terms, winners: &[Winner]) -> Vec<Flaw> {
    let left = u64::from(row.count).saturating_sub(u64::from(row.taken));
    let mut flaws = Sums::of(winners, row.count).flaws(left, row.best, row.luckiest.as_deref());
    if row.total != terms.total {
        flaws.push(differs("total", row.total, terms.total));
    }
    if row.count != terms.count {
        flaws.push(differs("count", row.count, terms.count));
    }
    if row.expires_ms != terms.expires_ms {
        flaws.push(differs("end", row.expires_ms, terms.expires_ms));
    }
    flaws
}

/// A page of all packets of an app, by name.
pub(super) fn names(tables: &Connection, app: AppId, after: &str, limit: u32) -> rusqlite::Result<Names> {
    let mut statement = tables.prepare_cached(
        "SELECT packet FROM packet WHERE app = ?1 AND packet > ?2 ORDER BY packet LIMIT ?3",
    )?;
    let names = statement.query_map(params![app, after, limit], |row| row.get(0))?;
    let names: Vec<String> = names.collect::<Result<_, _>>()?;
    let next = names.last().filter(|_| names.len() == limit as usize).cloned();
    Ok(Names { names, parts: Vec::new(), next })
}
