//! What operators gave up for good, in PostgreSQL.
//!
//! Invariant: a row and its count are written in one transaction, and the places of an app have no gaps.

use chat_protocol::AppId;
use tokio_postgres::{Error, Row};

use super::connection::Connection;
use super::settings::Begin;
use crate::money::ledger::records::DiscardRow;

const BEGIN: Begin = Begin { how: "ISOLATION LEVEL READ COMMITTED READ WRITE", more: "" };
const COUNT: &str = "INSERT INTO chat_discarded AS d(app, count, unsealed) VALUES ($1, 1, 0)
    ON CONFLICT (app) DO UPDATE SET count = d.count + 1
    RETURNING count, coalesce($2::bigint, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)";
const PUT: &str = "INSERT INTO chat_discard(app, place, letter, reason, cause, body, time, digest)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
/// The rows of an app behind a place.
pub(super) const BEHIND: &str = "SELECT place, letter, reason, cause, body, time, digest FROM chat_discard
    WHERE app = $1 AND place > $2 ORDER BY place LIMIT $3";
/// How many there are; parameters as those of [`BEHIND`].
pub(super) const COUNTED: &str = "SELECT count, unsealed FROM chat_discarded
    WHERE app = $1 AND $2::bigint >= 0 AND $3::bigint > 0";

/// Writes a row; its place and time come from the database, the latter unless it is given.
pub(super) async fn put(
    connection: &mut Connection,
    app: AppId,
    row: DiscardRow,
    now: Option<i64>,
) -> Result<(), Error> {
    let written = async {
        connection.transaction(BEGIN).await?;
        let counted = connection.query(COUNT, &[&i64::from(app), &now]).await?;
        let (place, time) = match counted.first() {
            Some(counted) => (counted.try_get(0)?, counted.try_get(1)?),
            None => (0, 0),
        };
        let row = DiscardRow { place, time, ..row };
        let DiscardRow { letter, reason, cause, body, .. } = &row;
        let (app_number, digest) = (i64::from(app), row.digest(app));
        connection.query(PUT, &[&app_number, &place, letter, reason, cause, body, &time, &digest]).await?;
        connection.commit().await
    };
    let written = written.await;
    if written.is_err() {
        // When this fails the connection is not used again, and the server undoes what was done on it.
        let _ = connection.rollback().await;
    }
    written
}

pub(super) fn row(row: &Row) -> Result<(DiscardRow, Option<String>), Error> {
    let found = DiscardRow {
        place: row.try_get(0)?,
        letter: row.try_get(1)?,
        reason: row.try_get(2)?,
        cause: row.try_get(3)?,
        body: row.try_get(4)?,
        time: row.try_get(5)?,
    };
    Ok((found, row.try_get(6)?))
}
