//! What the driver runs on: tokio, and connections that are plain or TLS.
//!
//! Invariant: whichever it is, the socket can be shut from outside; the driver itself knows one kind of connection.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use async_compat::Compat;
use async_rs::traits::{Executor, Reactor, RuntimeKit};
use async_rs::util::Task;
use async_rs::{Runtime, Tokio};
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::Stream;
use lapin::tcp::AsyncTcpStream;
use lapin::uri::{AMQPScheme, AMQPUri};
use tokio::net::TcpStream;

use super::link::Socket;
use crate::tls::seal;

/// Both ways of a connection.
pub(super) trait Duplex: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection as the driver uses it.
pub(super) type Wire = Compat<Box<dyn Duplex>>;

fn wire(duplex: impl Duplex + 'static) -> Wire {
    Compat::new(Box::new(duplex))
}

/// Connects to the server of the URL; `socket` gets a handle on what carries the connection.
///
/// # Errors
/// When the server is not reached, or not believed.
pub(super) async fn connect(uri: &AMQPUri, socket: &Socket) -> io::Result<AsyncTcpStream<Wire>> {
    let host = uri.authority.host.as_str();
    let plain = TcpStream::connect((host, uri.authority.port)).await?;
    socket.hold(&plain)?;
    Ok(AsyncTcpStream::Plain(match uri.scheme {
        AMQPScheme::AMQP => wire(plain),
        AMQPScheme::AMQPS => wire(seal(plain, host).await?),
    }))
}

/// The tokio that this is called on.
pub(super) fn runtime() -> Runtime<Network> {
    Runtime::new(Network(Tokio::current()))
}

/// tokio, whose connections are any [`Wire`].
#[derive(Debug, Clone)]
pub(super) struct Network(Tokio);

impl RuntimeKit for Network {}

impl Executor for Network {
    type Task<T: Send + 'static> = <Tokio as Executor>::Task<T>;

    fn block_on<T, F: Future<Output = T>>(&self, future: F) -> T {
        self.0.block_on(future)
    }

    fn spawn<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        future: F,
    ) -> Task<Self::Task<T>> {
        self.0.spawn(future)
    }

    fn spawn_blocking<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(
        &self,
        work: F,
    ) -> Task<Self::Task<T>> {
        self.0.spawn_blocking(work)
    }
}

impl Reactor for Network {
    type TcpStream = Wire;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + AsFd + AsRawFd + Send + 'static>(
        &self,
        socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        self.0.register(socket)
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(duration)
    }

    /// Connections are made by [`connect`]; a second one would have no handle outside.
    fn tcp_connect_addr(&self, _: SocketAddr) -> impl Future<Output = io::Result<Wire>> + Send + 'static {
        std::future::ready(Err(io::ErrorKind::Unsupported.into()))
    }
}
