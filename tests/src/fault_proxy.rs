//! A TCP proxy that fails on command.
//!
//! Invariant: between faults it passes every byte in order; it never closes one direction alone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What happens to the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weather {
    /// They pass, so much later.
    Passing(Duration),
    /// They wait.
    Stalled,
    /// Every connection is reset.
    Cut,
}

/// Bytes that were passed on since the start, of all connections.
#[derive(Default)]
struct Passed {
    there: AtomicU64,
    back: AtomicU64,
}

/// A proxy that cuts and stalls on demand.
pub struct FaultProxy {
    address: SocketAddr,
    weather: Arc<watch::Sender<Weather>>,
    passed: Arc<Passed>,
    acceptor: JoinHandle<()>,
}

impl FaultProxy {
    /// Listens on a free port and forwards to `target`.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let weather = Arc::new(watch::channel(Weather::Passing(Duration::ZERO)).0);
        let passed = Arc::new(Passed::default());
        let acceptor = tokio::spawn(accept(listener, target, weather.clone(), passed.clone()));
        Self { address, weather, passed, acceptor }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes that went to the target since the start.
    #[must_use]
    pub fn passed_there(&self) -> u64 {
        self.passed.there.load(Relaxed)
    }

    /// Bytes that came back from it since the start.
    #[must_use]
    pub fn passed_back(&self) -> u64 {
        self.passed.back.load(Relaxed)
    }

    /// Resets all connections, and new ones at once, until [`FaultProxy::heal`].
    pub fn cut(&self) {
        self.weather.send_replace(Weather::Cut);
    }

    /// Keeps connections open but passes nothing, until [`FaultProxy::heal`].
    pub fn stall(&self) {
        self.weather.send_replace(Weather::Stalled);
    }

    /// Passes every piece of data so much later, each way.
    pub fn delay(&self, by: Duration) {
        self.weather.send_replace(Weather::Passing(by));
    }

    /// Passes everything again.
    pub fn heal(&self) {
        self.delay(Duration::ZERO);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.cut();
        self.acceptor.abort();
    }
}

async fn accept(
    listener: TcpListener,
    target: SocketAddr,
    weather: Arc<watch::Sender<Weather>>,
    passed: Arc<Passed>,
) {
    while let Ok((client, _)) = listener.accept().await {
        if *weather.borrow() == Weather::Cut {
            reset(&client);
            continue;
        }
        tokio::spawn(forward(client, target, weather.subscribe(), passed.clone()));
    }
}

async fn forward(
    client: TcpStream,
    target: SocketAddr,
    mut weather: watch::Receiver<Weather>,
    passed: Arc<Passed>,
) {
    let Ok(server) = TcpStream::connect(target).await else { return reset(&client) };
    // Small pieces must not wait for each other; the proxy adds no delay of its own.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    reset(&client);
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        () = pump(from_client, to_server, weather.clone(), &passed.there) => {}
        () = pump(from_server, to_client, weather.clone(), &passed.back) => {}
        _ = weather.wait_for(|now| *now == Weather::Cut) => {}
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
    passed: &AtomicU64,
) {
    let mut piece = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        let passing = weather.wait_for(|now| *now != Weather::Stalled).await.map(|now| *now);
        let Ok(Weather::Passing(by)) = passing else { return };
        tokio::time::sleep(by).await;
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
        passed.fetch_add(length as u64, Relaxed);
    }
}

/// Makes the end of the connection a reset, as after a crash, and not an orderly close.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}
