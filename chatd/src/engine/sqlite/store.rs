//! Connections to the tables: one that writes, and some that read beside it.
//!
//! Invariant: a read sees the tables of one moment.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tokio::sync::Semaphore;

use super::migrate::{self, Steps};
use super::{Fault, Sync};

/// Reads of the file at the same time.
const READERS: u32 = 4;
/// How long one connection waits for another.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Memory for pages that the writer keeps of its file, KiB.
const CACHE_KIB: i64 = 16 * 1024;
/// Pages that a `-wal` holds before they are moved into their file: 16 MiB. A page that is written often is moved once.
const WAL_PAGES: u32 = 4000;
/// Statements a connection keeps compiled; more than any one database has.
const STATEMENTS: usize = 64;

/// New tables in memory.
pub fn memory(steps: &Steps) -> rusqlite::Result<Connection> {
    prepared(Connection::open_in_memory()?, steps)
}

/// The tables in a file, created when missing, for writing.
pub fn file(file: &Path, sync: Sync, steps: &Steps) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let synchronous = match sync {
        Sync::Normal => "NORMAL",
        Sync::Full => "FULL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES)?;
    prepared(connection, steps)
}

fn prepared(mut connection: Connection, steps: &Steps) -> rusqlite::Result<Connection> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    keep_plans(&connection)?;
    migrate::prepare(&mut connection, steps)?;
    Ok(connection)
}

/// Otherwise a statement may be compiled anew whenever a value is bound to it.
fn keep_plans(connection: &Connection) -> rusqlite::Result<bool> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
}

fn reader(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    keep_plans(&connection)?;
    Ok(connection)
}

/// Connections that read the file beside the writer.
pub struct Readers {
    file: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    /// Of a file that is prepared.
    pub fn new(file: PathBuf) -> Self {
        Self { file, idle: Arc::default(), permits: Arc::new(Semaphore::new(READERS as usize)) }
    }

    /// Lets reads under way end and closes the connections; no other read begins.
    pub async fn close(&self) {
        // Fails only when it was closed before.
        let _all = self.permits.acquire_many(READERS).await;
        self.permits.close();
        self.idle.lock().clear();
    }

    /// Runs `work`, which looks at a few rows, at once and on this thread: another one costs more than such a look does.
    /// Gives it back while no connection is idle.
    pub fn look<T, E, W>(&self, work: W) -> Result<Result<T, E>, W>
    where
        E: Fault,
        W: FnOnce(&Connection) -> Result<T, E>,
    {
        let Ok(_permit) = self.permits.try_acquire() else { return Err(work) };
        let Some(mut connection) = self.idle.lock().pop() else { return Err(work) };
        let answer = within(&mut connection, work);
        self.idle.lock().push(connection);
        Ok(answer)
    }

    /// Runs `work` in a transaction that only reads.
    pub async fn read<T, E, W>(&self, work: W) -> Result<T, E>
    where
        T: Send + 'static,
        E: Fault,
        W: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    {
        let permit = self.permits.clone().acquire_owned().await.map_err(|error| E::unreachable(&error))?;
        let (file, idle) = (self.file.clone(), self.idle.clone());
        let read = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let pooled = idle.lock().pop();
            let mut connection = match pooled {
                Some(connection) => connection,
                None => reader(&file)?,
            };
            let answer = within(&mut connection, work);
            idle.lock().push(connection);
            answer
        });
        read.await.map_err(|error| E::unreachable(&error))?
    }
}

/// Runs `work` in a transaction that only reads.
fn within<T, E: Fault>(
    connection: &mut Connection,
    work: impl FnOnce(&Connection) -> Result<T, E>,
) -> Result<T, E> {
    work(&*connection.transaction()?)
}
