//! The accept loop: HTTP/1 and HTTP/2 on one port, with every wait bounded.
//!
//! Invariant: a client that stops halfway through a request holds its socket for [`HEADER_TIMEOUT`] at most.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Time for the request line and headers.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
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
    let served = builder.serve_connection_with_upgrades(TokioIo::new(tcp), TowerToHyperService::new(router));
    tokio::pin!(served);
    tokio::select! {
        done = served.as_mut() => {
            if let Err(error) = done {
                tracing::debug!(%error, "HTTP connection");
            }
        }
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(Duration::from_secs(5), served).await;
        }
    }
}
