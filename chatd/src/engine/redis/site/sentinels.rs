//! Sentinels, and whom they name.
//!
//! Invariant: the one that answered is asked again until whom it named proves to be of no use; then the next one is.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionInfo, ErrorKind, ProtocolVersion, RedisError};

use super::cluster::at_host;
use super::{info, refuse, told};
use crate::engine::redis::link::errors::LinkError;

/// Longest wait for a sentinel; the next one may know.
const PATIENCE: Duration = Duration::from_millis(500);
const PORT: u16 = 26_379;

/// Who watches over a master.
pub(crate) struct Sentinels {
    sentinels: Vec<ConnectionInfo>,
    /// Name of the master.
    name: String,
    /// Whose turn it is to be asked.
    turn: AtomicUsize,
    /// To whose turn it is.
    connection: Mutex<Option<MultiplexedConnection>>,
}

impl Sentinels {
    /// Reads what follows `://`. User, password and database are those of the master; `scheme` is how servers and
    /// sentinels are spoken to.
    pub(super) fn read(rest: &str, scheme: &str) -> Result<Self, LinkError> {
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = authority.rfind('@').map_or(("", authority), |at| authority.split_at(at + 1));
        let (name, database) = path.split_once('/').unwrap_or((path, ""));
        if name.is_empty() {
            return Err(refuse(
                "the name of the master is missing: redis+sentinel://HOST:PORT,HOST:PORT/NAME",
            ));
        }
        if hosts.is_empty() {
            return Err(refuse("a sentinel is missing: redis+sentinel://HOST:PORT,HOST:PORT/NAME"));
        }
        let read = |host: &str| {
            let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
            let port = if has_port { String::new() } else { format!(":{PORT}") };
            info(&format!("{scheme}://{user}{host}{port}/{database}"))
        };
        let sentinels = hosts.split(',').map(read).collect::<Result<_, _>>()?;
        Ok(Self { sentinels, name: name.to_owned(), turn: AtomicUsize::new(0), connection: Mutex::default() })
    }

    pub(super) fn database(&self) -> i64 {
        self.sentinels[0].redis_settings().db()
    }

    /// The master.
    pub(super) async fn master(&self) -> Result<Client, RedisError> {
        let known = self.connection.lock().clone();
        if let Some(mut connection) = known {
            if let Ok(Some(named)) = self.ask(&mut connection).await {
                return self.client(named);
            }
            self.ask_another();
        }
        let mut why = RedisError::from((ErrorKind::Client, "no sentinel"));
        for _ in &self.sentinels {
            let sentinel = &self.sentinels[self.turn.load(Relaxed) % self.sentinels.len()];
            let found = async {
                let mut connection = connect(sentinel).await?;
                Ok((self.ask(&mut connection).await?, connection))
            };
            match found.await {
                Ok((Some(named), connection)) => {
                    *self.connection.lock() = Some(connection);
                    return self.client(named);
                }
                Ok((None, _)) => {
                    let detail = format!("{} knows none of the name {}", sentinel.addr(), self.name);
                    why = (ErrorKind::Client, "no master", detail).into();
                }
                Err(error) => why = error,
            }
            self.ask_another();
        }
        Err(why)
    }

    /// Gives the turn to the next one.
    pub(super) fn ask_another(&self) {
        self.turn.fetch_add(1, Relaxed);
        *self.connection.lock() = None;
    }

    async fn ask(&self, connection: &mut MultiplexedConnection) -> Result<Option<(String, u16)>, RedisError> {
        let mut ask = redis::cmd("SENTINEL");
        ask.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.name).query_async(connection).await
    }

    fn client(&self, (host, port): (String, u16)) -> Result<Client, RedisError> {
        let like = &self.sentinels[0];
        Client::open(like.clone().set_addr(at_host(like.addr(), host, port)))
    }
}

impl fmt::Display for Sentinels {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sentinels: Vec<_> = self.sentinels.iter().map(|sentinel| told(sentinel.addr())).collect();
        write!(out, "{} of the sentinels {}", self.name, sentinels.join(", "))
    }
}

/// Without a password, or with that of the servers where a sentinel wants one.
async fn connect(sentinel: &ConnectionInfo) -> Result<MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    let plain = redis::RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP2);
    let own = sentinel.redis_settings();
    let mut known = plain.clone();
    if let Some(user) = own.username() {
        known = known.set_username(user);
    }
    if let Some(password) = own.password() {
        known = known.set_password(password);
    }
    let wants = |error: &RedisError| error.code() == Some("NOAUTH");
    let client = Client::open(sentinel.clone().set_redis_settings(plain))?;
    let opened = async {
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        redis::cmd("PING").exec_async(&mut connection).await.map(|()| connection)
    };
    match opened.await {
        Err(error) if wants(&error) => {
            let client = Client::open(sentinel.clone().set_redis_settings(known))?;
            client.get_multiplexed_async_connection_with_config(&config).await
        }
        opened => opened,
    }
}
