//! Apps of a node that runs alone, as a table beside the log.
//!
//! Invariant: an app is asked for and written down in one transaction.

use std::sync::Arc;

use async_trait::async_trait;
use chat_protocol::AppId;
use rusqlite::{Connection, params};

use super::Fault;
use super::broker::{Embedded, Step};
use crate::worlds::{WorldError, Worlds};

/// Which apps there are, in the file of the log.
pub struct EmbeddedWorlds(Arc<Embedded>);

impl EmbeddedWorlds {
    /// In the tables of `engine`.
    #[must_use]
    pub fn new(engine: Arc<Embedded>) -> Self {
        Self(engine)
    }
}

impl Fault for WorldError {
    fn unreachable(reason: &dyn std::fmt::Display) -> Self {
        WorldError::Unreachable(reason.to_string())
    }

    fn is_unreachable(&self) -> bool {
        matches!(self, WorldError::Unreachable(_))
    }
}

impl From<rusqlite::Error> for WorldError {
    fn from(error: rusqlite::Error) -> Self {
        Self::unreachable(&error)
    }
}

fn admit(tables: &Connection, app: AppId, most: u64) -> rusqlite::Result<bool> {
    let holds = |sql: &str| tables.prepare_cached(sql)?.exists(params![app]);
    if holds("SELECT 1 FROM app WHERE app = ?1")? {
        return Ok(true);
    }
    let admitted: u64 = tables.prepare_cached("SELECT count(*) FROM app")?.query_row([], |row| row.get(0))?;
    if admitted >= most && !holds("SELECT 1 FROM conversation WHERE app = ?1")? {
        return Ok(false);
    }
    tables.prepare_cached("INSERT INTO app(app) VALUES (?1)")?.execute(params![app])?;
    Ok(true)
}

#[async_trait]
impl Worlds for EmbeddedWorlds {
    async fn admit(&self, app: AppId, most: u64) -> Result<bool, WorldError> {
        self.0.change(move |step: &mut Step<'_>| Ok(admit(step.connection, app, most)?)).await
    }
}
