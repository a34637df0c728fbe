//! A few connections to a PostgreSQL server, dialled when they are needed.
//!
//! Invariant: a connection on which something was begun and not seen to its end is closed and never used again, and
//! no wait is without a bound. Where a pooler lends sessions for a transaction only, that is known before anything is
//! said in one.
//!
//! deadpool-postgres in its place cost the same (4.4 against 4.6 µs of CPU a settled transfer in batches of 100, 14 against
//! 15 µs a read) for three more crates and 45 lines less; the invariant and the dials until the deadline stay ours.

use std::time::Duration;

use chat_protocol::backoff::Backoff;
use futures_util::future::select_ok;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_postgres::Error;

use super::connection::{Connection, described};
use super::settings;
use super::site::{self, Site};

/// Connections at most.
const CONNECTIONS: usize = 4;
/// How long a call waits for a connection.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// Longest pause after the first failed dial, and after any.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// How long a second connection is waited for that tells whether sessions are shared.
const GREETING: Duration = Duration::from_secs(1);
/// How much earlier than the next one a server of several is dialled.
const HEAD_START: Duration = Duration::from_millis(250);

/// What a pooler answers to whom it will not let in later either. It has one code for all it says (08P01).
const FINAL: [&str; 7] = [
    "authentication failed",
    "does not exist",
    "unsupported startup parameter",
    "no such user",
    "no such database",
    "SSL required",
    "login rejected",
];

/// Whether dialling again soon is of no use: the server answers, and is neither starting (class 57) nor full (53), nor
/// a pooler that has lost its own (08).
fn is_final(error: &Error) -> bool {
    let Some(said) = error.as_db_error() else { return false };
    let of = |class| said.code().code().starts_with(class);
    !(of("57") || of("53") || (of("08") && !FINAL.iter().any(|text| said.message().contains(text))))
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
    site: Site,
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
    pub fn new(site: Site) -> Self {
        Self { site, permits: Semaphore::new(CONNECTIONS), idle: Mutex::default() }
    }

    /// Whether the server takes connections, and gives each what the URL says: a session of its own, or not.
    ///
    /// # Errors
    /// Why not, and whether that passes.
    pub async fn greet(&self) -> Result<(), Refused> {
        let refused = |reason: &str, passes| {
            let place = site::shown(&self.site.servers);
            Refused { reason: format!("cannot use PostgreSQL at {place} as a ledger: {reason}"), passes }
        };
        let greeting = async {
            let mut connection = self.reach().await?;
            if !self.site.is_pooled && self.is_shared(&mut connection).await? {
                return Ok::<_, Error>(false);
            }
            connection.set_up().await?;
            self.idle.lock().push(connection);
            Ok(true)
        };
        match timeout(PATIENCE, greeting).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(refused(settings::POOLED, false)),
            Ok(Err(error)) => Err(refused(&described(&error), !is_final(&error))),
            Err(_) => Err(refused("it did not answer in time", true)),
        }
    }

    /// Whether another connection that is open at the same time has the same session. Nothing was said in it yet that
    /// would stay behind.
    async fn is_shared(&self, connection: &mut Connection) -> Result<bool, Error> {
        let own = connection.session().await?;
        let others = async { self.reach().await?.session().await };
        // Where there is room for one only, it is one's own for all that can be known.
        let others = timeout(GREETING, others).await.ok().and_then(Result::ok).flatten();
        Ok(own.is_some() && own == others)
    }

    /// Of several servers the first in their order that takes what is written; one that is silent gives the next a
    /// start.
    async fn reach(&self) -> Result<Connection, Error> {
        let dials = self.site.servers.iter().zip(0..).map(|(config, at)| {
            Box::pin(async move {
                sleep(HEAD_START * at).await;
                Connection::dial(config, self.site.is_pooled).await
            })
        });
        select_ok(dials).await.map(|(connection, _)| connection)
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
            let dialled = async {
                let mut connection = self.reach().await?;
                connection.set_up().await?;
                Ok::<_, Error>(connection)
            };
            let refused = match timeout_at(deadline, dialled).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) if is_final(&error) => return Err(described(&error)),
                Ok(Err(error)) => described(&error),
                Err(_) => "it did not answer in time".to_owned(),
            };
            let pause = backoff.pause(rand::random());
            if Instant::now() + pause >= deadline {
                return Err(format!("{}: {refused}", site::shown(&self.site.servers)));
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
