//! A few connections to a PostgreSQL server, dialled when they are needed.
//!
//! Invariant: a connection on which something was begun and not seen to its end is closed and never used again, and
//! no wait is without a bound.
//!
//! deadpool-postgres in its place cost the same (4.4 against 4.6 µs of CPU a settled transfer in batches of 100, 14 against
//! 15 µs a read) for three more crates and 45 lines less; the invariant and the dials until the deadline stay ours.

use std::collections::HashMap;
use std::error::Error as _;
use std::fmt::Write as _;
use std::time::Duration;

use chat_protocol::backoff::Backoff;
use futures_util::future::select_ok;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Error, Row, Statement};

use super::site;
use super::tls::Tls;

/// Connections at most.
const CONNECTIONS: usize = 4;
/// How long a call waits for a connection.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// Longest pause after the first failed dial, and after any.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// How much earlier than the next one a server of several is dialled.
const HEAD_START: Duration = Duration::from_millis(250);

/// What every connection begins with: a commit waits for the disk whatever the server's default, unless that is even
/// stricter; a statement is planned for the tables as they are, for a plan kept from when they were empty reads all of
/// them; and the server ends what it heard nothing of, so that nothing stays locked by a connection that is lost.
const SETTINGS: &str = "
    SELECT set_config('synchronous_commit', 'on', false)
        WHERE current_setting('synchronous_commit') <> 'remote_apply';
    SET plan_cache_mode = force_custom_plan;
    SET statement_timeout = '5s';
    SET lock_timeout = '2s';
    SET idle_in_transaction_session_timeout = '5s';
    SET tcp_keepalives_idle = 10;
    SET tcp_keepalives_interval = 5;
    SET tcp_keepalives_count = 3;
    SET tcp_user_timeout = '10s';
    SET client_min_messages = warning";

/// What the server or the driver says, with its reasons.
pub fn described(error: &Error) -> String {
    if let Some(said) = error.as_db_error() {
        return format!("{} ({})", said.message(), said.code().code());
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(reason) = cause {
        // Writing to a string does not fail.
        let _ = write!(text, ": {reason}");
        cause = reason.source();
    }
    text
}

/// Whether dialling again soon is of no use: the server answers, and is neither starting (class 57) nor full (53).
fn is_final(error: &Error) -> bool {
    let passing = |class| error.code().is_some_and(|code| code.code().starts_with(class));
    error.as_db_error().is_some() && !passing("57") && !passing("53")
}

/// A connection.
pub struct Connection {
    client: Client,
    driver: JoinHandle<()>,
    statements: HashMap<&'static str, Statement>,
    /// Something was begun whose end was not seen.
    busy: bool,
    /// Between [`Connection::beginning`] and the end of the transaction.
    in_transaction: bool,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // It would wait for answers that nobody wants any more.
        self.driver.abort();
    }
}

impl Connection {
    /// Of several servers the first in their order that takes what is written; one that is silent gives the next a start.
    async fn dial(configs: &[Config]) -> Result<Self, Error> {
        let dials = configs.iter().zip(0..).map(|(config, at)| {
            Box::pin(async move {
                sleep(HEAD_START * at).await;
                Self::dial_one(config).await
            })
        });
        select_ok(dials).await.map(|(connection, _)| connection)
    }

    async fn dial_one(config: &Config) -> Result<Self, Error> {
        let (client, connection) = config.connect(Tls).await?;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::warn!(error = %described(&error), "a connection to PostgreSQL ended");
            }
        });
        let mut connection =
            Self { client, driver, statements: HashMap::new(), busy: false, in_transaction: false };
        connection.batch(SETTINGS).await?;
        Ok(connection)
    }

    fn is_usable(&self) -> bool {
        !self.busy && !self.in_transaction && !self.client.is_closed()
    }

    /// What ends with an answer of the server leaves the connection usable, be it a refusal.
    fn ended<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        self.busy = result.as_ref().is_err_and(|error| error.as_db_error().is_none());
        result
    }

    /// Statements without parameters.
    pub async fn batch(&mut self, sql: &str) -> Result<(), Error> {
        self.busy = true;
        let result = self.client.batch_execute(sql).await;
        self.ended(result)
    }

    /// The rows of a statement, which is prepared when it comes for the first time.
    pub async fn query(
        &mut self,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        let statement = self.prepared(sql).await?;
        self.busy = true;
        let result = self.client.query(&statement, values).await;
        self.ended(result)
    }

    /// The statement, prepared.
    pub async fn prepared(&mut self, sql: &'static str) -> Result<Statement, Error> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        self.busy = true;
        let result = self.client.prepare(sql).await;
        let statement = self.ended(result)?;
        self.statements.insert(sql, statement.clone());
        Ok(statement)
    }

    /// For several statements at once.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Says that from here on the connection is in a transaction, whoever begins it.
    pub fn beginning(&mut self) {
        self.in_transaction = true;
    }

    /// Makes what was done stay.
    pub async fn commit(&mut self) -> Result<(), Error> {
        self.batch("COMMIT").await?;
        self.in_transaction = false;
        Ok(())
    }

    /// Undoes what was done.
    pub async fn rollback(&mut self) -> Result<(), Error> {
        self.batch("ROLLBACK").await?;
        self.in_transaction = false;
        Ok(())
    }
}

/// Why a server cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refused {
    /// For the operator, without the password.
    pub reason: String,
    /// Whether it may be used later without anybody doing anything about it here.
    pub passes: bool,
}

/// Hands out at most [`CONNECTIONS`] connections, one caller each.
pub struct Pool {
    configs: Vec<Config>,
    permits: Semaphore,
    idle: Mutex<Vec<Connection>>,
}

/// A connection in use; it goes back when nothing is under way on it.
pub struct Lease<'a> {
    connection: Option<Connection>,
    idle: &'a Mutex<Vec<Connection>>,
    _permit: SemaphorePermit<'a>,
}

impl Pool {
    /// Dials nothing yet.
    pub fn new(configs: Vec<Config>) -> Self {
        Self { configs, permits: Semaphore::new(CONNECTIONS), idle: Mutex::default() }
    }

    /// Whether the server takes a connection.
    ///
    /// # Errors
    /// Why not, and whether that passes.
    pub async fn greet(&self) -> Result<(), Refused> {
        let refused = |reason: &str, passes| {
            let place = site::shown(&self.configs);
            Refused { reason: format!("cannot use PostgreSQL at {place} as a ledger: {reason}"), passes }
        };
        match timeout(PATIENCE, Connection::dial(&self.configs)).await {
            Ok(Ok(connection)) => {
                self.idle.lock().push(connection);
                Ok(())
            }
            Ok(Err(error)) => Err(refused(&described(&error), !is_final(&error))),
            Err(_) => Err(refused("it did not answer in time", true)),
        }
    }

    /// A connection, within [`PATIENCE`].
    ///
    /// # Errors
    /// Why there is none.
    pub async fn lease(&self) -> Result<Lease<'_>, String> {
        let deadline = Instant::now() + PATIENCE;
        let permit = match timeout_at(deadline, self.permits.acquire()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(closed)) => return Err(closed.to_string()),
            Err(_) => return Err("all connections are busy".to_owned()),
        };
        let idle = self.usable();
        let connection = match idle {
            Some(connection) => connection,
            None => self.dial(deadline).await?,
        };
        Ok(Lease { connection: Some(connection), idle: &self.idle, _permit: permit })
    }

    fn usable(&self) -> Option<Connection> {
        let mut idle = self.idle.lock();
        idle.retain(Connection::is_usable);
        idle.pop()
    }

    async fn dial(&self, deadline: Instant) -> Result<Connection, String> {
        let mut backoff = Backoff::half(FIRST_PAUSE, MAX_PAUSE);
        loop {
            let refused = match timeout_at(deadline, Connection::dial(&self.configs)).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) if is_final(&error) => return Err(described(&error)),
                Ok(Err(error)) => described(&error),
                Err(_) => "it did not answer in time".to_owned(),
            };
            let pause = backoff.pause(rand::random());
            if Instant::now() + pause >= deadline {
                return Err(format!("{}: {refused}", site::shown(&self.configs)));
            }
            sleep(pause).await;
        }
    }
}

impl std::ops::Deref for Lease<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("a lease holds its connection until it is dropped")
    }
}

impl std::ops::DerefMut for Lease<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("a lease holds its connection until it is dropped")
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take().filter(Connection::is_usable) {
            self.idle.lock().push(connection);
        }
    }
}
