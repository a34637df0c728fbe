//! The statements that only read.
//!
//! Invariant: each answer is of one moment.

use chat_protocol::wallet::Transfer;
use chat_protocol::{AppId, PacketId, UserId};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use super::connection::Connection;
use super::posting::refusal;
use crate::money::Cents;
use crate::money::ledger::rows::{self, EscrowRow, PaidRow, TransferRow, signed};
use crate::money::ledger::{Escrow, LedgerError, Paid, Secret, book};

const BALANCE: &str = "SELECT balance FROM chat_account WHERE app = $1 AND name = $2";
const NOW: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
const SECRET: &str = "SELECT secret, made FROM chat_secret";
const TRANSFERS: &str = "(SELECT number, id, kind, -amount, packet, time FROM chat_transfer
        WHERE app = $1 AND debit = $2 AND number < $3 ORDER BY number DESC LIMIT $4)
    UNION ALL
    (SELECT number, id, kind, amount, packet, time FROM chat_transfer
        WHERE app = $1 AND credit = $2 AND number < $3 ORDER BY number DESC LIMIT $4)
    ORDER BY number DESC LIMIT $4";
const PAID: &str =
    "SELECT kind, credit, amount, time FROM chat_transfer WHERE app = $1 AND debit = $2 ORDER BY number";

const ESCROW: &str = "SELECT e.terms::text, a.balance, e.announced FROM chat_escrow AS e
    JOIN chat_account AS a ON a.app = e.app AND a.name = 'escrow:' || e.packet WHERE e.app = $1 AND e.packet = $2";

/// The rows of a statement, each as `read` takes it.
async fn list<R, T>(
    connection: &mut Connection,
    sql: &'static str,
    values: &[&(dyn ToSql + Sync)],
    take: fn(&Row) -> Result<R, Error>,
    read: fn(R) -> Result<T, LedgerError>,
) -> Result<Vec<T>, LedgerError> {
    let found = connection.query(sql, values).await.map_err(|error| refusal(&error))?;
    let taken: Result<Vec<_>, _> = found.iter().map(take).collect();
    rows::all(taken.map_err(|error| rows::corrupt(&error))?, read)
}

fn take_escrow(row: &Row) -> Result<EscrowRow, Error> {
    Ok(EscrowRow { terms: row.try_get(0)?, balance: Cents::new(row.try_get(1)?), announced: row.try_get(2)? })
}

/// What the clock of the database shows, Unix milliseconds.
pub async fn now_ms(connection: &mut Connection) -> Result<u64, LedgerError> {
    let found = list(connection, NOW, &[], |row| row.try_get(0), rows::count).await?;
    found.first().copied().ok_or_else(|| rows::corrupt(&"the database has no time"))
}

/// What the names of packets are made with.
pub async fn secret(connection: &mut Connection) -> Result<Secret, LedgerError> {
    let take = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
    let read = |(secret, made)| Ok(Secret { secret, made_ms: rows::count(made)? });
    let found = list(connection, SECRET, &[], take, read).await?.pop();
    found.ok_or_else(|| rows::corrupt(&"the secret of packets' names is gone"))
}

/// What an account holds; nothing when there is none.
pub async fn balance(connection: &mut Connection, app: AppId, name: &str) -> Result<Cents, LedgerError> {
    let take = |row: &Row| row.try_get(0).map(Cents::new);
    let found = list(connection, BALANCE, &[&i64::from(app), &name], take, rows::held).await?;
    Ok(found.first().copied().unwrap_or_default())
}

/// A page of a wallet's transfers, the newest first.
pub async fn transfers(
    connection: &mut Connection,
    app: AppId,
    user: &UserId,
    before: u64,
    limit: u32,
) -> Result<Vec<Transfer>, LedgerError> {
    let take = |row: &Row| {
        Ok(TransferRow {
            number: row.try_get(0)?,
            id: row.try_get(1)?,
            kind: row.try_get(2)?,
            amount: Cents::new(row.try_get(3)?),
            packet: row.try_get(4)?,
            time: row.try_get(5)?,
        })
    };
    let (app, wallet, before, limit) = (i64::from(app), book::wallet(user), signed(before), i64::from(limit));
    list(connection, TRANSFERS, &[&app, &wallet, &before, &limit], take, TransferRow::read).await
}

/// One packet.
pub async fn escrow(
    connection: &mut Connection,
    app: AppId,
    packet: &PacketId,
) -> Result<Option<Escrow>, LedgerError> {
    let values: [&(dyn ToSql + Sync); 2] = [&i64::from(app), &packet.as_str()];
    Ok(list(connection, ESCROW, &values, take_escrow, EscrowRow::read).await?.pop())
}

/// What left an escrow.
pub async fn paid(
    connection: &mut Connection,
    app: AppId,
    packet: &PacketId,
) -> Result<Vec<Paid>, LedgerError> {
    let take = |row: &Row| {
        Ok(PaidRow {
            kind: row.try_get(0)?,
            credit: row.try_get(1)?,
            amount: Cents::new(row.try_get(2)?),
            time: row.try_get(3)?,
        })
    };
    list(connection, PAID, &[&i64::from(app), &book::escrow(packet)], take, PaidRow::read).await
}
