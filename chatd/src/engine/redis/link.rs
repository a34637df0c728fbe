//! One connection to Redis that is always being restored.
//!
//! Invariant: a link never gives up, and never waits for a command to notice that it is down. Each connection is
//! watched by a PING every second; when it ends or does not answer it is dropped and dialled anew, at most
//! [`MAX_PAUSE`] apart. A command waits [`DIAL_PATIENCE`] for the link and [`ANSWER_TIMEOUT`] for its answer.

pub(super) mod errors;
mod replicas;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use chat_protocol::backoff::Backoff;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, FromRedisValue, Pipeline, PushInfo,
    PushKind, RedisError, ServerErrorKind, Value,
};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

pub(crate) use self::errors::LinkError;
use self::replicas::Replicas;
use super::site::Server;
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

/// What the links of this process met.
static LINKS: LazyLock<Links> = LazyLock::new(Links::default);

/// Takes what is pushed: channel and payload of a message, or the channel of which there will be no more. Called on the
/// connection's own task: no waiting. False when the connection is of no more use.
pub(crate) type OnMessage = Arc<dyn Fn(&PushKind, Vec<Value>) -> bool + Send + Sync>;

/// Of who is pushed nothing.
pub(crate) fn deaf() -> OnMessage {
    Arc::new(|_, _| true)
}

/// A Lua file.
pub(crate) struct Script {
    code: &'static str,
    hash: String,
    is_promised: bool,
}

impl Script {
    pub(crate) fn new(code: &'static str) -> Self {
        Self { code, hash: redis::Script::new(code).get_hash().to_owned(), is_promised: false }
    }

    /// One whose answer promises that what it wrote stays: it is in as many replicas as are to have it.
    pub(crate) fn promising(code: &'static str) -> Self {
        Self { is_promised: true, ..Self::new(code) }
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
    replicas: Option<Arc<Replicas>>,
    at: Arc<ConnectionAddr>,
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

/// Whether a server that refuses like this may take the same connection later.
pub(crate) fn passes(refused: &str) -> bool {
    ![
        "WRONGPASS",
        "NOAUTH",
        "NOPERM",
        "NoPerm",
        "AuthenticationFailed",
        "authentication failed",
        "invalid password",
    ]
    .iter()
    .any(|text| refused.contains(text))
}

impl Link {
    /// Connects for the first time; from then on the link keeps itself alive until its last handle is dropped.
    pub(crate) async fn open(
        server: &Server,
        replicas: u32,
        on_message: OnMessage,
    ) -> Result<Self, LinkError> {
        let dial = Dial { server: server.clone(), replicas, on_message };
        let first = dial
            .once()
            .await
            .map_err(|error| LinkError::Unreachable(format!("redis at {server}: {error}")))?;
        let (sender, live) = watch::channel(Some(first.clone()));
        let keeper = tokio::spawn(keep(dial, sender, first));
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

    /// Sends several commands at once.
    pub(crate) async fn run_all<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, LinkError> {
        let mut live = self.live().await?;
        let answer = timeout(ANSWER_TIMEOUT, pipeline.query_async(&mut live.connection));
        let answer = timed(&LINKS.pipelines, answer).await;
        live.judge(answer)
    }

    /// The same, with refusals among the answers.
    pub(crate) async fn run_each(&self, pipeline: &Pipeline) -> Result<Vec<Value>, LinkError> {
        let mut pipeline = pipeline.clone();
        self.run_all(pipeline.ignore_errors()).await
    }

    /// Runs a script, loading it first where Redis does not know it.
    pub(crate) async fn call<T: FromRedisValue>(&self, script: &Script, call: &Cmd) -> Result<T, LinkError> {
        self.live().await?.call(script, call).await
    }

    /// Whether this is the connection that the link has.
    pub(crate) fn is_live(&self, live: &Live) -> bool {
        self.live.borrow().as_ref().is_some_and(|now| now.is(live))
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
    /// What a command within a script, which went on, was refused with.
    pub(crate) fn refused(&self, detail: String) -> LinkError {
        if detail.contains("READONLY") {
            self.reject();
        }
        LinkError::refused(detail)
    }

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
        let answer = self.judge(answer)?;
        let replicas = self.replicas.as_ref().filter(|_| script.is_promised);
        if let Some(replicas) = replicas
            && !replicas.have_it(&self.connection).await
        {
            LINKS.unreachable.add(1);
            return Err(LinkError::Unreachable("too few replicas have it".to_owned()));
        }
        Ok(answer)
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

async fn keep(dial: Dial, sender: watch::Sender<Option<Live>>, first: Live) {
    let server = &dial.server;
    let (mut live, mut backoff) = (first, Backoff::half(FIRST_PAUSE, MAX_PAUSE));
    loop {
        let since = Instant::now();
        let why = until_ended(&live, server).await;
        tracing::warn!(redis = %server, why, "connection lost");
        let down = LINKS.lose();
        sender.send_replace(None);
        drop(live);
        if let Some(pause) = pause_after(since.elapsed(), &mut backoff) {
            sleep(pause).await;
        }
        let mut told = false;
        live = loop {
            match dial.once().await {
                Ok(live) => break live,
                // Once an outage: the reason of the first attempt, which all that follow most likely share.
                Err(error) if !told => {
                    tracing::warn!(redis = %server, %error, "cannot connect; trying on")
                }
                Err(error) => tracing::debug!(redis = %server, %error, "cannot connect"),
            }
            told = true;
            sleep(backoff.pause(rand::random())).await;
        };
        drop(down);
        tracing::info!(redis = %server, "reachable again");
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
async fn until_ended(live: &Live, server: &Server) -> &'static str {
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
        if server.has_moved(&live.at).await {
            return "another is the master";
        }
    }
}

/// How a connection comes about.
struct Dial {
    server: Server,
    replicas: u32,
    on_message: OnMessage,
}

impl Dial {
    async fn once(&self) -> Result<Live, RedisError> {
        let client = self.server.client().await?;
        self.connect(&client).await.inspect_err(|_| self.server.doubt())
    }

    async fn connect(&self, client: &Client) -> Result<Live, RedisError> {
        let ended = Arc::new(Notify::new());
        let (end, on_message) = (ended.clone(), self.on_message.clone());
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(ANSWER_TIMEOUT))
            .set_pipeline_buffer_size(PIPELINE_BUFFER)
            .set_push_sender(move |push: PushInfo| {
                let is_of_use = match push.kind {
                    PushKind::Message | PushKind::SMessage | PushKind::SUnsubscribe => {
                        on_message(&push.kind, push.data)
                    }
                    PushKind::Disconnection => false,
                    _ => true,
                };
                if !is_of_use {
                    end.notify_one();
                }
                Ok::<(), redis::aio::SendError>(())
            });
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        self.server.accepts(&mut connection).await?;
        let at = Arc::new(client.get_connection_info().addr().clone());
        Ok(Live { connection, ended, replicas: Replicas::new(self.replicas), at })
    }
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
