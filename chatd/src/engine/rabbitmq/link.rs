//! A connection to RabbitMQ that serves one purpose and is always being restored.
//!
//! Invariant: a link never gives up. Each connection is watched by a question every second; when it ends, does not
//! answer, or is [rejected](Live::reject), its socket is shut and another is dialled, at most [`MAX_PAUSE`] apart. The
//! driver's own recovery is not used: what was in the air on a connection is unknown and ends with it.

use std::fmt::Display;
use std::future::Future;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chat_protocol::backoff::Backoff;
use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};
use tokio::sync::{Mutex, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::topology::Names;
use super::wire;
use crate::money::settlement::QueueError;

/// Longest wait for what RabbitMQ answers at once when it is well.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for a link that is down.
const DIAL_PATIENCE: Duration = Duration::from_secs(1);
/// Longest wait for the network connection, and for everything until the link can be used.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
const PING_EVERY: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// Longest pause between two attempts to connect.
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// Seconds without a sign of life after which either side may hang up.
const HEARTBEAT_SECS: u16 = 10;
/// The driver keeps two buffers of 32 frames of this size for each connection; a settlement is a tenth of it.
const FRAME_BYTES: u32 = 16 * 1024;

/// Where RabbitMQ is, and what it is to hold.
pub(super) struct Server {
    /// The nodes of a cluster, or the one there is.
    uris: Vec<AMQPUri>,
    /// Whose turn it is.
    next: AtomicUsize,
    pub(super) names: Names,
    /// Held by whoever of this process looks at the dead letters.
    pub(super) turn: Mutex<()>,
}

impl Server {
    /// Begins with any of the nodes, so that they share their clients.
    pub(super) fn new(uris: Vec<AMQPUri>, names: Names) -> Self {
        Self { uris, next: AtomicUsize::new(rand::random_range(0..1 << 16)), names, turn: Mutex::default() }
    }

    /// The node whose turn it is, by its number.
    fn turn(&self) -> usize {
        self.next.load(Relaxed) % self.uris.len()
    }

    /// After `at` it is the turn of another, however many have found that out.
    fn pass(&self, at: usize) {
        let next = (at + 1) % self.uris.len();
        let _ = self.next.fetch_update(Relaxed, Relaxed, |now| (now % self.uris.len() == at).then_some(next));
    }
}

fn address(uri: &AMQPUri) -> String {
    format!("{}:{}", uri.authority.host, uri.authority.port)
}

/// What a link is for.
pub(super) trait Purpose: Sized + Send + Sync + 'static {
    /// Opens what it needs on a new connection.
    fn begin(connection: &Connection) -> impl Future<Output = lapin::Result<Self>> + Send;
}

/// One connection in the life of a link.
pub(super) struct Live<P> {
    /// A number no other connection of the link has.
    pub(super) lane: u64,
    pub(super) purpose: P,
    pub(super) connection: Connection,
    control: Channel,
    over: CancellationToken,
    socket: Arc<Socket>,
    /// Which node it is.
    address: String,
}

impl<P> Live<P> {
    /// Gives this connection up; the link dials another.
    pub(super) fn reject(&self) {
        self.over.cancel();
    }

    /// Messages in a queue that nobody has received.
    pub(super) async fn ready(&self, queue: &str) -> Result<u64, QueueError> {
        Ok(self.look(queue).await?.0)
    }

    /// Messages in a queue that nobody has received, and how many have received some or would; both of one moment. A
    /// RabbitMQ that is slow to answer says none at all.
    pub(super) async fn look(&self, queue: &str) -> Result<(u64, u64), QueueError> {
        let look = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let answer = self.control.queue_declare(queue.into(), look, FieldTable::default());
        let queue = self.answer(ANSWER_TIMEOUT, answer).await?;
        Ok((queue.message_count().into(), queue.consumer_count().into()))
    }

    /// Waits for an answer. When none comes, or the asker does not wait for it, the connection is given up.
    pub(super) async fn answer<T, E: Display>(
        &self,
        patience: Duration,
        asked: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, QueueError> {
        let unless_answered = self.over.clone().drop_guard();
        let detail = match timeout(patience, asked).await {
            Ok(Ok(value)) => {
                unless_answered.disarm();
                return Ok(value);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it did not answer in time".to_owned(),
        };
        Err(unreachable(&detail))
    }
}

impl<P> Drop for Live<P> {
    fn drop(&mut self) {
        self.socket.shut();
    }
}

/// A connection that is dialled again whenever it ends.
pub(super) struct Link<P> {
    live: watch::Receiver<Option<Arc<Live<P>>>>,
    _keeper: AbortOnDropHandle<()>,
}

impl<P: Purpose> Link<P> {
    /// Connects for the first time; from then on the link keeps itself alive until it is dropped.
    pub(super) async fn open(server: Arc<Server>) -> Result<Self, QueueError> {
        let first = Arc::new(dial_any::<P>(&server, 1).await.map_err(|error| unreachable(&error))?);
        let (sender, live) = watch::channel(Some(first.clone()));
        let keeper = tokio::spawn(keep(server, sender, first));
        Ok(Self { live, _keeper: AbortOnDropHandle::new(keeper) })
    }

    /// The connection in use; waits a little for one that is being restored.
    pub(super) async fn live(&self) -> Result<Arc<Live<P>>, QueueError> {
        let mut live = self.live.clone();
        let usable =
            |live: &Option<Arc<Live<P>>>| live.as_ref().is_some_and(|live| !live.over.is_cancelled());
        let found = timeout(DIAL_PATIENCE, live.wait_for(usable)).await;
        let live = found.ok().and_then(Result::ok).and_then(|live| live.clone());
        live.ok_or_else(|| unreachable("not connected"))
    }

    /// The connection in use, if there is one right now.
    pub(super) fn current(&self) -> Option<Arc<Live<P>>> {
        self.live.borrow().clone().filter(|live| !live.over.is_cancelled())
    }
}

pub(super) fn unreachable(detail: &str) -> QueueError {
    QueueError::Unreachable(format!("rabbitmq: {detail}"))
}

async fn keep<P: Purpose>(
    server: Arc<Server>,
    sender: watch::Sender<Option<Arc<Live<P>>>>,
    first: Arc<Live<P>>,
) {
    let mut live = first;
    loop {
        until_over(&live, &server.names.dead).await;
        tracing::warn!(rabbitmq = live.address, "connection lost");
        let lane = live.lane + 1;
        sender.send_replace(None);
        drop(live);
        let mut backoff = Backoff::half(FIRST_PAUSE, MAX_PAUSE);
        live = loop {
            match dial_at(&server, server.turn(), lane).await {
                Ok(live) => break Arc::new(live),
                Err(error) => tracing::debug!(%error, "cannot connect to rabbitmq"),
            }
            sleep(backoff.pause(rand::random())).await;
        };
        tracing::info!(rabbitmq = live.address, "connected");
        sender.send_replace(Some(live.clone()));
    }
}

async fn until_over<P>(live: &Live<P>, known_exchange: &str) {
    while live.over.run_until_cancelled(sleep(PING_EVERY)).await.is_some() {
        let look = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        let ping = live.control.exchange_declare(
            known_exchange.into(),
            ExchangeKind::Fanout,
            look,
            FieldTable::default(),
        );
        let ping = live.answer(ANSWER_TIMEOUT, ping);
        if let Some(Err(error)) = live.over.run_until_cancelled(ping).await {
            tracing::debug!(%error, "ping");
        }
    }
    live.socket.shut();
}

/// Connects to the first node that can be used.
///
/// # Errors
/// What each says.
pub(super) async fn dial_any<P: Purpose>(server: &Server, lane: u64) -> Result<Live<P>, String> {
    let (first, mut failed) = (server.turn(), Vec::new());
    for turn in 0..server.uris.len() {
        match dial_at(server, (first + turn) % server.uris.len(), lane).await {
            Ok(live) => return Ok(live),
            Err(error) => failed.push(error),
        }
    }
    Err(failed.join("; "))
}

/// Connects to the node of this number; when that fails, it is the turn of another.
async fn dial_at<P: Purpose>(server: &Server, at: usize, lane: u64) -> Result<Live<P>, String> {
    let (uri, socket) = (&server.uris[at], Arc::new(Socket::default()));
    let opening = async {
        let connection = connect(uri.clone(), socket.clone()).await?;
        let mut control = connection.create_channel().await?;
        if !server.names.exists(&control).await? {
            declared_anew(server, uri, lane);
            control = connection.create_channel().await?;
        }
        server.names.declare(&control).await?;
        let purpose = P::begin(&connection).await?;
        Ok::<_, lapin::Error>((connection, control, purpose))
    };
    let detail = match timeout(DIAL_TIMEOUT, opening).await {
        Ok(Ok((connection, control, purpose))) => {
            let (over, address) = (CancellationToken::new(), address(uri));
            return Ok(Live { lane, purpose, connection, control, over, socket, address });
        }
        Ok(Err(error)) => server.names.explain(&error),
        Err(_) => "it did not answer in time".to_owned(),
    };
    server.pass(at);
    Err(format!("{}: {detail}", address(uri)))
}

/// The first time it is the beginning of a deployment, mostly.
fn declared_anew(server: &Server, uri: &AMQPUri, lane: u64) {
    let (rabbitmq, queue) = (address(uri), &server.names.queue);
    if lane <= 1 {
        tracing::info!(rabbitmq, queue, "there is no such queue yet; it is declared");
    } else {
        tracing::warn!(
            rabbitmq,
            queue,
            "the queue was gone and is declared anew; settlements it held are paid after their packets end, or at once \
             by redPacket/replay with packetId"
        );
    }
}

async fn connect(mut uri: AMQPUri, socket: Arc<Socket>) -> lapin::Result<Connection> {
    uri.query.heartbeat = Some(HEARTBEAT_SECS);
    uri.query.frame_max = Some(FRAME_BYTES);
    let properties = ConnectionProperties::default().with_connection_name("chatd".into());
    let open = async move |uri: AMQPUri, _| {
        let stream = timeout(CONNECT_TIMEOUT, wire::connect(&uri, &socket)).await;
        Ok(stream.map_err(std::io::Error::from)??)
    };
    Connection::connector(uri, wire::runtime(), open, properties).await
}

/// A second handle on the socket of a connection. The driver waits for ever, in a thread of its own, for a server that
/// does not answer; once the socket is shut it ends.
#[derive(Default)]
pub(super) struct Socket(OnceLock<TcpStream>);

impl Socket {
    /// From now on this is the socket.
    pub(super) fn hold(&self, stream: &tokio::net::TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let second = TcpStream::from(stream.as_fd().try_clone_to_owned()?);
        self.0.set(second).map_err(|_| std::io::Error::other("a connection has one socket"))
    }

    fn shut(&self) {
        // It may be closed already.
        let _ = self.0.get().map(|stream| stream.shutdown(Shutdown::Both));
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.shut();
    }
}
