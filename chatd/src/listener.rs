//! The accept loop: HTTP/1 and HTTP/2 on one port, over TLS or plain, with every wait bounded.
//!
//! Invariant: a client that stops halfway into a request loses its socket soon after [`HEADER_TIMEOUT`] (when its bytes
//! came together with the request before, soon after the time it may be idle), and one that asks nothing more soon after
//! the time it may be idle, whichever version of HTTP it speaks or has yet to choose. An answer is never lost with what
//! was not read of its request, and a slow reader gets all of it.

mod answer;
mod course;
mod dial;
mod greeting;
mod introduction;
pub mod places;
mod refused;
mod shortcut;
mod speech;
mod state;
mod stream;

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use futures_util::future::Either;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::answer::Answer;
use self::course::Course;
pub use self::course::Patience;
pub use self::dial::{Dialled, dial};
pub use self::greeting::Greeter;
use self::places::{Place, Places, Tongue};
pub use self::shortcut::{Grant, Shortcut, Taken};
pub use self::speech::Speech;
pub use self::stream::Stream;
use crate::config::Proxies;
use crate::quota::Quotas;
use crate::tls::Line;

/// Time for the request line and headers from their first byte, and for a new connection's first byte.
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

/// Where a request comes from, among its extensions.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// An address that is ours, where nobody is let in yet.
pub struct Bound(Socket);

/// Binds the first address that can be bound.
///
/// # Errors
/// What the system says about the last address.
pub fn bind(addresses: &[SocketAddr]) -> io::Result<Bound> {
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "no address to listen on");
    for address in addresses {
        match bind_one(*address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn bind_one(address: SocketAddr) -> io::Result<Bound> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // Accepted sockets inherit it: without a bound the kernel holds up to 4 MiB for a reader who stopped.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(&SockAddr::from(address))?;
    Ok(Bound(socket))
}

impl Bound {
    /// The address, with the port the system chose if it was asked to.
    ///
    /// # Errors
    /// What the system says.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }

    /// Lets callers in. Until then they are refused at once, so that nobody waits for a node that waits itself.
    ///
    /// # Errors
    /// What the system says, when another process was faster to listen there.
    pub fn listen(self) -> io::Result<TcpListener> {
        self.0.listen(BACKLOG)?;
        TcpListener::from_std(self.0.into())
    }
}

/// Where connections go.
pub struct Entrance {
    /// Where their requests go.
    pub router: Router,
    /// What takes some of them over before that.
    pub shortcut: Arc<dyn Shortcut>,
}

/// What connections are let into.
pub struct House {
    /// Where they go.
    pub entrance: Entrance,
    /// What they speak.
    pub speech: Speech,
    /// Who shakes hands with them; none where they come without TLS.
    pub greeter: Option<Arc<Greeter>>,
    /// Who speaks for others.
    pub proxies: Arc<Proxies>,
    /// How many there may be.
    pub places: Arc<Places>,
    /// How many of one address.
    pub quotas: Arc<Quotas>,
    /// How long each may be quiet.
    pub patience: Patience,
    /// They themselves, while they speak HTTP.
    pub tasks: TaskTracker,
}

/// Accepts until `stop` as many connections as there are places.
pub async fn serve(listener: TcpListener, house: House, stop: CancellationToken) {
    let House { entrance, speech, greeter, proxies, places, quotas, patience, tasks } = house;
    let Entrance { router, shortcut } = entrance;
    let tongue = if greeter.is_some() { Tongue::Tls } else { Tongue::Http };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((tcp, peer)) => {
                // Those behind a proxy are counted when it has told who they are.
                let is_proxy = proxies.trusts(peer.ip());
                let entered = if is_proxy { Ok(None) } else { quotas.address_enters(peer.ip()) };
                let visit = match entered {
                    Ok(visit) => visit,
                    Err(refusal) => {
                        places.refuse(tcp, tongue, peer, &refusal);
                        continue;
                    }
                };
                let course = Arc::new(Course::new(patience, speech.turns()));
                let place = tokio::select! {
                    place = places.enter(&course) => place,
                    () = stop.cancelled() => return,
                };
                match place {
                    Some(place) => {
                        place.is_of(visit);
                        let guest = Guest { peer, course, place, places: places.clone() };
                        let (router, shortcut, stop) = (router.clone(), shortcut.clone(), stop.clone());
                        let greeter = greeter.clone();
                        let introducer = proxies.introduces(peer.ip()).then(|| quotas.clone());
                        drop(tasks.spawn(async move {
                            // Each on its own, because those who go without it never need the room for it.
                            let met = match &introducer {
                                None => Some((tcp, guest)),
                                Some(quotas) => {
                                    Box::pin(introduction::meet(tcp, guest, quotas, tongue, &stop)).await
                                }
                            };
                            let Some((tcp, guest)) = met else { return };
                            let greeted = match &greeter {
                                None => Some((Line { tcp, tls: None }, guest)),
                                Some(greeter) => Box::pin(greeter.greet(tcp, guest, &stop)).await,
                            };
                            let Some((line, guest)) = greeted else { return };
                            if let Some((line, guest)) = shortcut::offer(line, guest, &*shortcut, &stop).await
                            {
                                Box::pin(serve_one(line, (router, speech), guest, stop)).await;
                            }
                        }));
                    }
                    None => places.refuse_full(tcp, tongue, peer),
                }
            }
            Err(error) => {
                // EMFILE and its like pass when a connection ends; anything else belongs to one client.
                tracing::warn!(%error, "accept");
                tokio::time::sleep(NO_FILE_PAUSE).await;
            }
        }
    }
}

/// A connection that speaks HTTP.
struct Guest {
    peer: SocketAddr,
    course: Arc<Course>,
    place: Place,
    places: Arc<Places>,
}

/// The place of a connection that speaks HTTP, among the extensions of its requests, for what it may become.
#[derive(Clone)]
pub struct Handed(Arc<Mutex<Option<Place>>>);

impl Handed {
    /// Takes the place; the connection speaks HTTP no more.
    #[must_use]
    pub fn take(&self) -> Option<Place> {
        self.0.lock().take().inspect(Place::leaves_http)
    }
}

async fn serve_one(line: Line<TcpStream>, to: (Router, Speech), guest: Guest, stop: CancellationToken) {
    let Guest { peer, course, place, places } = guest;
    let place = Handed(Arc::new(Mutex::new(Some(place))));
    let speaker = Speaker { peer, course: &course, place: &place, places: &places };
    speak(Stream::new(line, course.clone()), to, speaker, &stop).await.tell(peer);
    if let Some(tcp) = course.left() {
        tokio::select! {
            () = stream::part(tcp) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// How a connection that spoke HTTP ended.
#[derive(Debug, Clone, Copy)]
enum End {
    /// As HTTP ends: by the client, after an answer that said so, or by becoming a WebSocket.
    InOrder,
    /// The client broke the protocol, or was lost.
    Broken,
    /// Nothing was asked any more, or not to its end.
    Quiet,
    /// The client took nothing of its answers.
    Stalled,
    /// Others needed its place, or the memory of its answers.
    SentAway,
    /// The node stops.
    Stopping,
}

impl End {
    /// Ends that somebody may ask about are told; the others are as many as health checks.
    fn tell(self, peer: SocketAddr) {
        let reason = match self {
            End::InOrder => "in order",
            End::Broken => "broken",
            End::Quiet => "no request in time",
            End::Stopping => "the node is stopping",
            End::Stalled => "its answers were not taken",
            End::SentAway => "its place or memory was needed",
        };
        match self {
            End::Stalled | End::SentAway => tracing::info!(reason, %peer, "ended a connection of HTTP"),
            _ => tracing::debug!(reason, %peer, "ended a connection of HTTP"),
        }
    }
}

/// Who speaks HTTP, and what they hold.
#[derive(Clone, Copy)]
struct Speaker<'a> {
    peer: SocketAddr,
    course: &'a Arc<Course>,
    place: &'a Handed,
    places: &'a Places,
}

/// Speaks HTTP until either side has had enough.
async fn speak(
    stream: Stream,
    (router, speech): (Router, Speech),
    speaker: Speaker<'_>,
    stop: &CancellationToken,
) -> End {
    let Speaker { peer, course, place, places } = speaker;
    let peer = Peer(peer);
    let builder = speech.builder();
    let (watched, place, router) = (course.clone(), place.clone(), TowerToHyperService::new(router));
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let multiplexed = request.version() == hyper::Version::HTTP_2;
        let running = watched.run(multiplexed);
        let mut request = request.map(|body| Watched::new(body, watched.clone()));
        request.extensions_mut().insert(place.clone());
        request.extensions_mut().insert(peer);
        let answer = match refused::large_head(&request) {
            Some(refused) => Either::Left(std::future::ready(Ok(refused))),
            None => Either::Right(router.call(request)),
        };
        let course = watched.clone();
        async move {
            let turn = course.turn().await;
            let answer = answer.await?.map(|body| Answer::new(body, course.clone(), running, multiplexed));
            drop(turn);
            Ok::<_, Infallible>(answer)
        }
    });
    let served = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(served);
    let end = loop {
        tokio::select! {
            done = served.as_mut() => {
                let Err(error) = done else { return End::InOrder };
                tracing::debug!(%error, peer = %peer.0, "HTTP connection");
                return End::Broken;
            }
            () = stop.cancelled() => break End::Stopping,
            () = course.ceased() => {}
        }
        course.look();
        let polled = poll_fn(|cx| Poll::Ready(served.as_mut().poll(cx))).await;
        if polled.is_ready() {
            return End::InOrder;
        }
        if course.has_ceased() {
            if course.is_sending() && !course.is_dismissed() {
                places.note_stalled();
                return End::Stalled;
            }
            break if course.is_sent_away() { End::SentAway } else { End::Quiet };
        }
    };
    if course.is_cut_off() {
        return end;
    }
    served.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(FAREWELL, served).await;
    end
}

/// The body of a request, which notices when it is given up before its end.
struct Watched {
    body: Incoming,
    course: Arc<Course>,
    is_at_end: bool,
}

impl Watched {
    fn new(body: Incoming, course: Arc<Course>) -> Self {
        let is_at_end = body.is_end_stream();
        Self { body, course, is_at_end }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.course.awaits(polled.is_pending());
        let frame = ready!(polled);
        self.is_at_end = frame.is_none() || self.body.is_end_stream();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.course.awaits(false);
        if !self.is_at_end {
            self.course.leaves_unread();
        }
    }
}
