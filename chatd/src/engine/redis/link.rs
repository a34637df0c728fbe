//! One connection to Redis that is always being restored.
//!
//! Invariant: a link never gives up, and never waits for a command to notice that it is down. Each connection is
//! watched by a PING every second; when it ends or does not answer it is dropped and dialled anew, at most
//! [`MAX_PAUSE`] apart. A command waits [`DIAL_PATIENCE`] for the link and [`ANSWER_TIMEOUT`] for its answer.

mod errors;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use chat_protocol::backoff::Backoff;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    Arg, AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, FromRedisValue, IntoConnectionInfo,
    Pipeline, ProtocolVersion, PushInfo, PushKind, RedisError, ServerErrorKind, Value,
};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

pub(crate) use self::errors::LinkError;
use crate::counters::links::{Links, timed};

/// Longest wait for the answer to a command.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait of a command for a link that is down.
const DIAL_PATIENCE: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const PING_EVERY: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// Longest pause between two attempts to connect.
const MAX_PAUSE: Duration = Duration::from_millis(500);
/// A connection that lived so long is a success; one that ends sooner counts as a failed attempt.
const SETTLED: Duration = Duration::from_secs(1);
/// Commands that may wait to be written; more make their callers wait.
const PIPELINE_BUFFER: usize = 4096;

/// Does the commands of a transaction in one step.
static READS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("reads.lua")));

/// What the links of this process met.
static LINKS: LazyLock<Links> = LazyLock::new(Links::default);

/// What a push of the kind `message` carries: channel and payload. Called on the connection's own task: no waiting.
pub(crate) type OnMessage = Arc<dyn Fn(Vec<Value>) + Send + Sync>;

/// A Lua file.
pub(crate) struct Script {
    code: &'static str,
    hash: String,
}

impl Script {
    pub(crate) fn new(code: &'static str) -> Self {
        Self { code, hash: redis::Script::new(code).get_hash().to_owned() }
    }

    /// A call of it; arguments are appended by the caller.
    pub(crate) fn call(&self, keys: &[String]) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(&self.hash).arg(keys.len()).arg(keys);
        command
    }
}

/// One connection in the life of a link.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) connection: MultiplexedConnection,
    ended: Arc<Notify>,
}

impl Live {
    /// Gives this connection up; the link dials another.
    pub(crate) fn reject(&self) {
        self.ended.notify_one();
    }

    /// Whether `other` is the same connection.
    pub(crate) fn is(&self, other: &Live) -> bool {
        Arc::ptr_eq(&self.ended, &other.ended)
    }
}

/// A connection that is dialled again whenever it ends; clones share it.
#[derive(Clone)]
pub(crate) struct Link {
    live: watch::Receiver<Option<Live>>,
    _keeper: Arc<AbortOnDropHandle<()>>,
}

/// What the links of this process met.
pub(crate) fn links() -> &'static Links {
    &LINKS
}

/// Reads a Redis URL.
pub(crate) fn client(url: &str) -> Result<Client, LinkError> {
    let refuse = |why: &str| LinkError::Unreachable(format!("redis url: {why}"));
    match url.split_once("://").map(|(scheme, _)| scheme) {
        Some("redis" | "redis+unix" | "unix") => {}
        Some("rediss") => return Err(refuse("TLS (rediss://) is not supported yet")),
        Some("redis+sentinel") => return Err(refuse("Sentinel (redis+sentinel://) is not supported yet")),
        Some("redis-cluster") => return Err(refuse("Cluster (redis-cluster://) is not supported yet")),
        _ => return Err(refuse("must begin with redis://")),
    }
    // The message of the parser names no part of the URL, which may hold a password.
    let info = url.into_connection_info().map_err(|error| refuse(&error.to_string()))?;
    let tcp = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(TcpKeepalive::new().with_time(Duration::from_secs(15)))
        .set_user_timeout(Duration::from_secs(10));
    let redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Client::open(info.set_tcp_settings(tcp).set_redis_settings(redis)).map_err(LinkError::from)
}

/// Host and port, without the password.
pub(crate) fn address(client: &Client) -> &ConnectionAddr {
    client.get_connection_info().addr()
}

/// Whether a server that refuses like this may take the same connection later.
pub(crate) fn passes(refused: &str) -> bool {
    !["WRONGPASS", "NOAUTH", "NOPERM", "AuthenticationFailed", "authentication failed", "invalid password"]
        .iter()
        .any(|text| refused.contains(text))
}

/// Number of the database that a client uses.
pub(crate) fn database(client: &Client) -> i64 {
    client.get_connection_info().redis_settings().db()
}

impl Link {
    /// Connects for the first time; from then on the link keeps itself alive until its last handle is dropped.
    pub(crate) async fn open(client: &Client, on_message: OnMessage) -> Result<Self, LinkError> {
        let first = dial(client, &on_message)
            .await
            .map_err(|error| LinkError::Unreachable(format!("redis at {}: {error}", address(client))))?;
        let (sender, live) = watch::channel(Some(first.clone()));
        let keeper = tokio::spawn(keep(client.clone(), on_message, sender, first));
        Ok(Self { live, _keeper: Arc::new(AbortOnDropHandle::new(keeper)) })
    }

    /// Follows the connections of the link; nothing while it is down.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<Live>> {
        self.live.clone()
    }

    /// Sends a command.
    pub(crate) async fn run<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, LinkError> {
        let mut live = self.live().await?;
        let answer = timeout(ANSWER_TIMEOUT, command.query_async(&mut live.connection));
        let answer = timed(&LINKS.commands, answer).await;
        live.judge(answer)
    }

    /// Sends a command that Redis holds back until there is something to tell; how long that takes says nothing.
    pub(crate) async fn wait<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, LinkError> {
        let mut live = self.live().await?;
        let answer = timeout(ANSWER_TIMEOUT, command.query_async(&mut live.connection)).await;
        live.judge(answer)
    }

    /// Sends several commands at once. Those that are to be done together have one key each.
    pub(crate) async fn run_all<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, LinkError> {
        if pipeline.is_transaction() {
            return self.call(&READS, &together(pipeline)).await;
        }
        let mut live = self.live().await?;
        let answer = timeout(ANSWER_TIMEOUT, pipeline.query_async(&mut live.connection));
        let answer = timed(&LINKS.pipelines, answer).await;
        live.judge(answer)
    }

    /// Runs a script, loading it first where Redis does not know it.
    pub(crate) async fn call<T: FromRedisValue>(&self, script: &Script, call: &Cmd) -> Result<T, LinkError> {
        self.live().await?.call(script, call).await
    }

    /// Whether this is the connection that the link has.
    pub(crate) fn is_live(&self, live: &Live) -> bool {
        self.live.borrow().as_ref().is_some_and(|now| now.is(live))
    }

    /// What a command within a script, which went on, was refused with.
    pub(crate) fn refused(&self, detail: String) -> LinkError {
        if detail.contains("READONLY")
            && let Some(live) = &*self.live.borrow()
        {
            live.reject();
        }
        LinkError::refused(detail)
    }

    /// The connection, when there is one soon.
    pub(crate) async fn live(&self) -> Result<Live, LinkError> {
        if let Some(live) = &*self.live.borrow() {
            return Ok(live.clone());
        }
        let mut live = self.live.clone();
        let found = timeout(DIAL_PATIENCE, live.wait_for(Option::is_some)).await;
        let live = found.ok().and_then(Result::ok).and_then(|live| live.clone());
        live.ok_or_else(|| {
            LINKS.unreachable.add(1);
            LinkError::Unreachable("not connected to redis".to_owned())
        })
    }
}

impl Live {
    /// Runs a script over this connection and no other one, loading it first where Redis does not know it.
    pub(crate) async fn call<T: FromRedisValue>(&self, script: &Script, call: &Cmd) -> Result<T, LinkError> {
        let mut connection = self.connection.clone();
        let attempt = async {
            match call.query_async(&mut connection).await {
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    let mut load = redis::cmd("SCRIPT");
                    load.arg("LOAD").arg(script.code).query_async::<Value>(&mut connection).await?;
                    call.query_async(&mut connection).await
                }
                answer => answer,
            }
        };
        let answer = timed(&LINKS.scripts, timeout(ANSWER_TIMEOUT, attempt)).await;
        self.judge(answer)
    }

    fn judge<T>(
        &self,
        answer: Result<Result<T, RedisError>, tokio::time::error::Elapsed>,
    ) -> Result<T, LinkError> {
        let judged = match answer {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => {
                // After a failover the old master stays behind this connection as a replica.
                let demoted = error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly);
                if demoted || error.is_unrecoverable_error() {
                    self.reject();
                }
                Err(error.into())
            }
            Err(_) => Err(LinkError::Unreachable("redis did not answer in time".to_owned())),
        };
        match &judged {
            Err(LinkError::Corrupt(_)) => LINKS.corrupt.add(1),
            _ => LINKS.unreachable.add(1),
        }
        judged
    }
}

/// A call of the script that does the commands of a pipeline.
fn together(pipeline: &Pipeline) -> Cmd {
    let (mut keys, mut rest) = (Vec::new(), Vec::new());
    for command in pipeline.cmd_iter() {
        let mut words = command.args_iter().filter_map(|word| match word {
            Arg::Simple(word) => Some(word),
            _ => None,
        });
        let (name, key) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let others: Vec<&[u8]> = words.collect();
        keys.push(key);
        rest.extend([name.to_vec(), others.len().to_string().into_bytes()]);
        rest.extend(others.into_iter().map(<[u8]>::to_vec));
    }
    let mut call = redis::cmd("EVALSHA");
    call.arg(&READS.hash).arg(keys.len()).arg(keys).arg(rest);
    call
}

async fn keep(client: Client, on_message: OnMessage, sender: watch::Sender<Option<Live>>, first: Live) {
    let (mut live, mut backoff) = (first, Backoff::half(FIRST_PAUSE, MAX_PAUSE));
    loop {
        let since = Instant::now();
        let why = until_ended(&live).await;
        tracing::warn!(redis = %address(&client), why, "connection lost");
        let down = LINKS.lose();
        sender.send_replace(None);
        drop(live);
        if let Some(pause) = pause_after(since.elapsed(), &mut backoff) {
            sleep(pause).await;
        }
        let mut told = false;
        live = loop {
            match dial(&client, &on_message).await {
                Ok(live) => break live,
                // Once an outage: the reason of the first attempt, which all that follow most likely share.
                Err(error) if !told => {
                    tracing::warn!(redis = %address(&client), %error, "cannot connect; trying on")
                }
                Err(error) => tracing::debug!(redis = %address(&client), %error, "cannot connect"),
            }
            told = true;
            sleep(backoff.pause(rand::random())).await;
        };
        drop(down);
        tracing::info!(redis = %address(&client), "reachable again");
        sender.send_replace(Some(live.clone()));
    }
}

/// After a connection that lived so long: none, unless Redis takes connections only to end or be refused.
fn pause_after(lived: Duration, backoff: &mut Backoff) -> Option<Duration> {
    if lived < SETTLED {
        return Some(backoff.pause(rand::random()));
    }
    backoff.reset();
    None
}

/// Gives the reason.
async fn until_ended(live: &Live) -> &'static str {
    const ENDED: &str = "it ended, or its answers were of no use";
    let mut connection = live.connection.clone();
    loop {
        tokio::select! {
            () = live.ended.notified() => return ENDED,
            () = sleep(PING_EVERY) => {}
        }
        let ping = redis::cmd("PING");
        let ping = timeout(ANSWER_TIMEOUT, ping.query_async::<Value>(&mut connection));
        tokio::select! {
            () = live.ended.notified() => return ENDED,
            answer = ping => match answer {
                Ok(Ok(_)) => {}
                // An answer that is an error, such as LOADING, still shows a living connection.
                Ok(Err(error)) if !error.is_unrecoverable_error() && !error.is_timeout() => {}
                Ok(Err(_)) => return ENDED,
                Err(_) => return "it did not answer a PING in time",
            }
        }
    }
}

async fn dial(client: &Client, on_message: &OnMessage) -> Result<Live, RedisError> {
    let ended = Arc::new(Notify::new());
    let (end, on_message) = (ended.clone(), on_message.clone());
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(ANSWER_TIMEOUT))
        .set_pipeline_buffer_size(PIPELINE_BUFFER)
        .set_push_sender(move |push: PushInfo| {
            match push.kind {
                PushKind::Message => on_message(push.data),
                PushKind::Disconnection => end.notify_one(),
                _ => {}
            }
            Ok::<(), redis::aio::SendError>(())
        });
    let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    Ok(Live { connection, ended })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_end_at_once_are_not_dialled_without_a_pause() {
        let mut backoff = Backoff::half(FIRST_PAUSE, MAX_PAUSE);
        assert_eq!(pause_after(SETTLED, &mut backoff), None);
        let mut least = FIRST_PAUSE / 2;
        for _ in 0..40 {
            let pause = pause_after(Duration::ZERO, &mut backoff).expect("a pause");
            assert!(least <= pause && pause <= MAX_PAUSE, "{pause:?}");
            least = (least * 2).min(MAX_PAUSE / 2);
        }
        assert_eq!(pause_after(SETTLED, &mut backoff), None);
        assert!(backoff.pause(1.0) <= FIRST_PAUSE);
    }
}
