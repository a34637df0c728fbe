//! HTTP by hand: exactly the bytes a test wants on the wire, and the whole answer.
//!
//! Invariant: nothing is added, corrected or retried between the test and the server.

use std::net::Ipv4Addr;
use std::time::Duration;

use chat_client::{Server, Stream};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::wait::SOON;

/// Headers that ask for a WebSocket, and for an end after a refusal.
pub const UPGRADE: [(&str, &str); 4] = [
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade, close"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// What follows the head.
    pub body: String,
    /// The same as it came.
    pub bytes: Vec<u8>,
}

impl Answer {
    /// The value of a header, or nothing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The body's `code`, after a check that the status says the same.
    ///
    /// # Panics
    /// When the body is no answer, or the status is 200 and the code is not, or the other way round.
    #[must_use]
    pub fn code(&self) -> u64 {
        let answer = self.json();
        let members: Vec<_> = answer.as_object().expect("an object").keys().collect();
        assert_eq!(members.len(), 3, "{self:?}");
        let code = answer["code"].as_u64().expect("a code");
        assert_eq!(self.status == 200, code == 200, "{self:?}");
        code
    }

    /// The body's `msg`.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn reason(&self) -> String {
        self.json()["msg"].as_str().expect("a reason").to_owned()
    }
}

/// Sends bytes and reads until the server closes; `None` when it closes without an answer.
///
/// # Panics
/// When the server is not there, or neither answers nor closes soon.
pub async fn exchange(server: &Server, request: &[u8]) -> Option<Answer> {
    let stream = Stream::open(server, None).await.expect("the server listens");
    exchange_over(stream, request).await
}

/// The same over this connection.
///
/// # Panics
/// When the server neither answers nor closes soon.
pub async fn exchange_over(stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8]) -> Option<Answer> {
    exchange_within(stream, request, SOON).await
}

/// The same of a server that is given so long to answer.
///
/// # Panics
/// When it has neither answered nor closed by then.
pub async fn exchange_within(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &[u8],
    patience: Duration,
) -> Option<Answer> {
    // A server may answer and close before it has read everything; what it said counts all the same.
    let _ = stream.write_all(request).await;
    let _ = stream.flush().await;
    let mut received = Vec::new();
    let read = timeout(patience, stream.read_to_end(&mut received)).await;
    assert!(read.is_ok(), "the server does not close after {:?}", String::from_utf8_lossy(&received));
    (!received.is_empty()).then(|| parse(&received))
}

/// A request with any method, headers and body.
///
/// # Panics
/// As [`exchange`], or when there is no answer.
pub async fn request(
    server: &Server,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n", server.authority());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("Connection: close\r\n\r\n");
    exchange(server, &[head.as_bytes(), body].concat()).await.expect("an answer")
}

/// A GET.
///
/// # Panics
/// As [`request`].
pub async fn get(server: &Server, target: &str) -> Answer {
    request(server, "GET", target, &[], &[]).await
}

/// A connection from one of the addresses of this machine, such as 127.0.0.2.
///
/// # Panics
/// When the server, which has an IPv4 address, does not listen.
pub async fn connect_from(source: Ipv4Addr, server: &Server) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((source, 0).into()).expect("an own address");
    let to = server.authority().parse().expect("an address");
    socket.connect(to).await.expect("the server listens")
}

/// A GET from one of the addresses of this machine.
///
/// # Panics
/// As [`request`].
pub async fn get_from(source: Ipv4Addr, server: &Server, target: &str) -> Answer {
    let request =
        format!("GET {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.authority());
    let tcp = connect_from(source, server).await;
    exchange_over(tcp, request.as_bytes()).await.expect("an answer")
}

/// A POST.
///
/// # Panics
/// As [`request`].
pub async fn post(server: &Server, target: &str, content_type: &str, body: impl AsRef<[u8]>) -> Answer {
    request(server, "POST", target, &[("Content-Type", content_type)], body.as_ref()).await
}

/// A POST of JSON.
///
/// # Panics
/// As [`request`].
pub async fn post_json(server: &Server, target: &str, body: impl AsRef<[u8]>) -> Answer {
    post(server, target, "application/json", body).await
}

/// The status of the answer to a GET with these headers, whatever becomes of the connection behind it.
///
/// # Panics
/// When there is no answer.
pub async fn status(server: &Server, target: &str, headers: &[(&str, &str)]) -> u16 {
    try_status(server, target, headers).await.expect("an open connection")
}

/// The same; none when the connection ends before the answer.
///
/// # Panics
/// When there is no answer in time.
pub async fn try_status(server: &Server, target: &str, headers: &[(&str, &str)]) -> Option<u16> {
    let mut stream = Stream::open(server, None).await.expect("the server listens");
    let mut head = format!("GET {target} HTTP/1.1\r\nHost: {}\r\n", server.authority());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all((head + "\r\n").as_bytes()).await.ok()?;
    stream.flush().await.ok()?;
    let mut start = [0; "HTTP/1.1 200".len()];
    timeout(SOON, stream.read_exact(&mut start)).await.expect("an answer").ok()?;
    let status = String::from_utf8_lossy(&start[start.len() - 3..]).parse();
    Some(status.unwrap_or_else(|_| panic!("no HTTP status: {}", String::from_utf8_lossy(&start))))
}

fn parse(received: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(received);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP head: {text:?}"));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let status = status.unwrap_or_else(|| panic!("no HTTP status: {text:?}"));
    let at = received.windows(4).position(|end| end == b"\r\n\r\n").map_or(0, |at| at + 4);
    Answer { status, headers, body: body.to_owned(), bytes: received[at..].to_vec() }
}
