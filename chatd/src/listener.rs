//! The accept loop: HTTP/1 and HTTP/2 on one port, with every wait bounded.
//!
//! Invariant: a client that stops halfway into a request, or asks nothing more, loses its socket soon after
//! [`HEADER_TIMEOUT`], whichever version of HTTP it speaks or has yet to choose.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Time for the request line and headers, and for the first and every further request.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for the requests that run when a connection is given up.
const FAREWELL: Duration = Duration::from_secs(5);
/// Bytes of a request's head at most.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Connections the kernel keeps ready for us.
const BACKLOG: i32 = 4096;
/// Pause when the process has no file left for another connection.
const NO_FILE_PAUSE: Duration = Duration::from_millis(50);
/// Bytes the kernel may hold for one connection's reader.
const SEND_BUFFER: usize = 128 * 1024;

/// Binds the first address that can be bound.
///
/// # Errors
/// What the system says about the last address.
pub fn bind(addresses: &[SocketAddr]) -> io::Result<TcpListener> {
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "no address to listen on");
    for address in addresses {
        match bind_one(*address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // Accepted sockets inherit it: without a bound the kernel holds up to 4 MiB for a reader who stopped.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts until `stop`, at most `max_open` connections at a time (upgraded ones do not count any more).
pub async fn serve(
    listener: TcpListener,
    router: Router,
    max_open: usize,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let open = Arc::new(Semaphore::new(max_open));
    loop {
        let Ok(permit) = open.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((tcp, _)) => {
                let (router, stop) = (router.clone(), stop.clone());
                tasks.spawn(async move {
                    serve_one(tcp, router, stop).await;
                    drop(permit);
                });
            }
            Err(error) => {
                // EMFILE and its like pass when a connection ends; anything else belongs to one client.
                tracing::warn!(%error, "accept");
                tokio::time::sleep(NO_FILE_PAUSE).await;
            }
        }
    }
}

async fn serve_one(tcp: TcpStream, router: Router, stop: CancellationToken) {
    if tcp.set_nodelay(true).is_err() {
        return;
    }
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(MAX_HEAD_BYTES);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(256);
    let (activity, router) = (Arc::new(Activity::default()), TowerToHyperService::new(router));
    let watched = activity.clone();
    let service = service_fn(move |request| {
        let running = Running::begin(&watched);
        let answer = router.call(request);
        async move {
            let _running = running;
            answer.await
        }
    });
    let served = builder.serve_connection_with_upgrades(TokioIo::new(tcp), service);
    tokio::pin!(served);
    tokio::select! {
        done = served.as_mut() => {
            if let Err(error) = done {
                tracing::debug!(%error, "HTTP connection");
            }
            return;
        }
        () = stop.cancelled() => {}
        () = activity.ceased() => {}
    }
    served.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(FAREWELL, served).await;
}

/// What goes on on one connection. The HTTP library bounds the wait for a head only once it knows the version, and
/// only for HTTP/1.
#[derive(Default)]
struct Activity {
    running: AtomicUsize,
    begun: AtomicUsize,
}

/// A request on its way through the router.
struct Running(Arc<Activity>);

impl Activity {
    /// Returns when no request ran or began for a whole [`HEADER_TIMEOUT`].
    async fn ceased(&self) {
        loop {
            let begun = self.begun.load(Ordering::Relaxed);
            tokio::time::sleep(HEADER_TIMEOUT).await;
            if self.running.load(Ordering::Relaxed) == 0 && self.begun.load(Ordering::Relaxed) == begun {
                return;
            }
        }
    }
}

impl Running {
    fn begin(activity: &Arc<Activity>) -> Self {
        activity.begun.fetch_add(1, Ordering::Relaxed);
        activity.running.fetch_add(1, Ordering::Relaxed);
        Self(activity.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}
