//! The rows as they are, read from the PostgreSQL tables.
//!
//! Invariant: each answer is of one moment. A page may have to pass many rows that it leaves out, so it has more time
//! than other calls.

use std::time::Duration;

use async_trait::async_trait;
use chat_protocol::AppId;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use super::PostgresLedger;
use super::discarding;
use super::posting::refusal;
use super::settings::Begin;
use crate::money::Cents;
use crate::money::ledger::LedgerError;
use crate::money::ledger::records::{
    AccountRow, Discards, PacketRow, Place, Placed, Records, Statement, TransferRecord,
};
use crate::money::ledger::rows::{corrupt, signed};

/// How long a page may take.
const PATIENCE: Duration = Duration::from_secs(60);
const BEGIN: Begin =
    Begin { how: "ISOLATION LEVEL REPEATABLE READ READ ONLY", more: "SET LOCAL statement_timeout = '60s'" };

/// Columns of a [`PacketRow`].
macro_rules! packet_sql {
    ($rest:literal) => {
        concat!("SELECT packet, terms::text, created, expires, announced FROM chat_escrow ", $rest)
    };
}

const PACKETS: &str = packet_sql!(
    "WHERE app = $1 AND created >= $2 AND (created, packet) > ($3, $4) ORDER BY created, packet LIMIT $5"
);
const LATEST: &str = packet_sql!(
    "WHERE app = $1 AND ($2::bigint IS NULL OR (created, packet) < ($2, $3))
     ORDER BY created DESC, packet DESC LIMIT $4"
);
const PACKET: &str = packet_sql!("WHERE app = $1 AND packet = $2");
const KNOWN: &str = "SELECT packet FROM chat_escrow WHERE app = $1 AND packet = ANY($2)";
const BALANCES: &str = "SELECT name, balance FROM chat_account WHERE app = $1 AND name = ANY($2)";
const TOUCHING: &str = "SELECT id, debit, credit, amount, kind, packet FROM (
        SELECT * FROM chat_transfer WHERE app = $1 AND debit = ANY($2)
        UNION ALL SELECT * FROM chat_transfer WHERE app = $1 AND credit = ANY($2) AND NOT debit = ANY($2)) AS t
    ORDER BY number";
const POSTINGS: &str = "SELECT id, debit, credit, amount, kind, packet,
        EXISTS(SELECT 1 FROM chat_account AS a WHERE a.app = t.app AND a.name = t.debit)
            AND EXISTS(SELECT 1 FROM chat_account AS a WHERE a.app = t.app AND a.name = t.credit),
        EXISTS(SELECT 1 FROM chat_escrow AS e WHERE e.app = t.app AND e.packet = substr(t.debit, 8)
                AND t.debit LIKE 'escrow:%')
            OR EXISTS(SELECT 1 FROM chat_escrow AS e WHERE e.app = t.app AND e.packet = substr(t.credit, 8)
                AND t.credit LIKE 'escrow:%')
    FROM chat_transfer AS t WHERE app = $1 AND id > $2 AND time >= $3 ORDER BY id LIMIT $4";
const ACCOUNTS: &str = "SELECT name, balance,
        greatest(least(
            coalesce((SELECT sum(amount) FROM chat_transfer AS t WHERE t.app = a.app AND t.credit = a.name), 0)
            - coalesce((SELECT sum(amount) FROM chat_transfer AS t WHERE t.app = a.app AND t.debit = a.name), 0),
            9223372036854775807), -9223372036854775808)::bigint,
        EXISTS(SELECT 1 FROM chat_escrow AS e WHERE e.app = a.app AND e.packet = substr(a.name, 8)
            AND a.name LIKE 'escrow:%')
    FROM chat_account AS a WHERE app = $1 AND name > $2 ORDER BY name LIMIT $3";
const SUM: &str =
    "SELECT greatest(least(coalesce(sum(balance), 0), 9223372036854775807), -9223372036854775808)::bigint
    FROM chat_account WHERE app = $1";

type Values<'a> = [&'a (dyn ToSql + Sync)];

fn packet_row(row: &Row) -> Result<PacketRow, Error> {
    Ok(PacketRow {
        packet: row.try_get(0)?,
        terms: row.try_get(1)?,
        created: row.try_get(2)?,
        expires: row.try_get(3)?,
        announced: row.try_get(4)?,
    })
}

fn transfer_record(row: &Row) -> Result<TransferRecord, Error> {
    Ok(TransferRecord {
        id: row.try_get(0)?,
        debit: row.try_get(1)?,
        credit: row.try_get(2)?,
        amount: Cents::new(row.try_get(3)?),
        kind: row.try_get(4)?,
        packet: row.try_get(5)?,
    })
}

fn placed(row: &Row) -> Result<Placed, Error> {
    let (has_accounts, is_of_packet) = (row.try_get(6)?, row.try_get(7)?);
    Ok(Placed { transfer: transfer_record(row)?, has_accounts, is_of_packet })
}

fn account_row(row: &Row) -> Result<AccountRow, Error> {
    Ok(AccountRow {
        name: row.try_get(0)?,
        balance: Cents::new(row.try_get(1)?),
        moved: Cents::new(row.try_get(2)?),
        is_of_packet: row.try_get(3)?,
    })
}

fn taken<T>(rows: &[Row], take: fn(&Row) -> Result<T, Error>) -> Result<Vec<T>, LedgerError> {
    rows.iter().map(take).collect::<Result<_, _>>().map_err(|error| corrupt(&error))
}

/// A place in the order of a text that PostgreSQL has. It takes no NUL, so that none of its texts has one.
fn place(text: &str) -> Result<&str, LedgerError> {
    if text.contains('\0') { Err(LedgerError::NoPlace) } else { Ok(text) }
}

impl PostgresLedger {
    /// The rows of each statement, all of one moment.
    async fn at_once(
        &self,
        statements: &[&'static str],
        values: &Values<'_>,
    ) -> Result<Vec<Vec<Row>>, LedgerError> {
        self.ask_within(PATIENCE, async |connection| {
            let found = async {
                connection.transaction(BEGIN).await?;
                let mut found = Vec::new();
                for statement in statements {
                    found.push(connection.query(statement, values).await?);
                }
                Ok::<_, Error>(found)
            };
            let found = found.await;
            // Nothing was written; when this fails the connection is not used again.
            let _ = connection.rollback().await;
            found.map_err(|error| refusal(&error))
        })
        .await
    }

    async fn rows<T>(
        &self,
        statement: &'static str,
        values: &Values<'_>,
        take: fn(&Row) -> Result<T, Error>,
    ) -> Result<Vec<T>, LedgerError> {
        let found = self.at_once(&[statement], values).await?;
        taken(&found.into_iter().next().unwrap_or_default(), take)
    }
}

#[async_trait]
impl Records for PostgresLedger {
    async fn packets(
        &self,
        app: AppId,
        since_ms: u64,
        after: Option<&Place>,
        limit: u32,
    ) -> Result<Vec<PacketRow>, LedgerError> {
        let (created, packet) = after.map_or((i64::MIN, ""), |after| (after.created, &after.packet));
        let packet = place(packet)?;
        let (app, since, limit) = (i64::from(app), signed(since_ms), i64::from(limit));
        self.rows(PACKETS, &[&app, &since, &created, &packet, &limit], packet_row).await
    }

    async fn latest(
        &self,
        app: AppId,
        before: Option<&Place>,
        limit: u32,
    ) -> Result<Vec<PacketRow>, LedgerError> {
        let (created, packet) = before.map(|before| (before.created, before.packet.as_str())).unzip();
        let packet = packet.map(place).transpose()?;
        self.rows(LATEST, &[&i64::from(app), &created, &packet, &i64::from(limit)], packet_row).await
    }

    async fn packet(&self, app: AppId, packet: &str) -> Result<Option<PacketRow>, LedgerError> {
        Ok(self.rows(PACKET, &[&i64::from(app), &packet], packet_row).await?.pop())
    }

    async fn known(&self, app: AppId, packets: &[String]) -> Result<Vec<String>, LedgerError> {
        let packets: Vec<&str> = packets.iter().filter_map(|packet| place(packet).ok()).collect();
        self.rows(KNOWN, &[&i64::from(app), &packets], |row| row.try_get(0)).await
    }

    async fn statement(&self, app: AppId, accounts: &[String]) -> Result<Statement, LedgerError> {
        let found = self.at_once(&[BALANCES, TOUCHING], &[&i64::from(app), &accounts]).await?;
        let [balances, transfers] = &found[..] else { return Err(corrupt(&"a statement without rows")) };
        Ok(Statement {
            balances: taken(balances, |row| Ok((row.try_get(0)?, Cents::new(row.try_get(1)?))))?,
            transfers: taken(transfers, transfer_record)?,
        })
    }

    async fn postings(
        &self,
        app: AppId,
        since_ms: u64,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Placed>, LedgerError> {
        let (app, since, limit) = (i64::from(app), signed(since_ms), i64::from(limit));
        self.rows(POSTINGS, &[&app, &place(after)?, &since, &limit], placed).await
    }

    async fn accounts(&self, app: AppId, after: &str, limit: u32) -> Result<Vec<AccountRow>, LedgerError> {
        self.rows(ACCOUNTS, &[&i64::from(app), &place(after)?, &i64::from(limit)], account_row).await
    }

    async fn discards(&self, app: AppId, after: u64, limit: u32) -> Result<Discards, LedgerError> {
        let values: &Values<'_> = &[&i64::from(app), &signed(after), &i64::from(limit)];
        let found = self.at_once(&[discarding::BEHIND, discarding::COUNTED], values).await?;
        let [rows, counted] = &found[..] else { return Err(corrupt(&"a statement without rows")) };
        let counted = taken(counted, |row| Ok((row.try_get(0)?, row.try_get(1)?)))?;
        let (count, unsealed) = counted.first().copied().unwrap_or_default();
        Ok(Discards { rows: taken(rows, discarding::row)?, count, unsealed })
    }

    async fn sum(&self, app: AppId) -> Result<Cents, LedgerError> {
        let sums = self.rows(SUM, &[&i64::from(app)], |row| row.try_get(0).map(Cents::new)).await?;
        Ok(sums.first().copied().unwrap_or_default())
    }
}
