//! HTTP connections as pools and proxies keep them: reused after a pause, and never cut with an answer under way.
//!
//! Invariant: no test concludes anything from how long something took.

use std::time::Duration;

use chat_tests::node::Node;
use chat_tests::raw_http;
use chat_tests::wait::{SOON, pace};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

async fn connect(node: &Node) -> TcpStream {
    TcpStream::connect(node.server().authority()).await.expect("the server listens")
}

/// Reads up to a text; the server neither closes nor resets before it.
async fn read_to(tcp: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        let byte = timeout(SOON, tcp.read_u8()).await.expect("an answer");
        read.push(byte.unwrap_or_else(|error| panic!("{error} after {:?}", String::from_utf8_lossy(&read))));
    }
    String::from_utf8_lossy(&read).into_owned()
}

async fn is_alive(node: &Node, tcp: &mut TcpStream, pause_within: Option<Duration>) {
    let request = format!("GET /livez HTTP/1.1\r\nHost: {}\r\n\r\n", node.server().authority());
    let (begin, rest) = request.split_at(7);
    tcp.write_all(begin.as_bytes()).await.expect("an open connection");
    if let Some(pause) = pause_within {
        pace(pause).await;
    }
    tcp.write_all(rest.as_bytes()).await.expect("an open connection");
    let answer = read_to(tcp, "ok\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn a_connection_is_kept_for_longer_than_a_request_may_take_to_arrive() {
    let node = Node::ephemeral(&[]).await;
    let mut tcp = connect(&node).await;
    for _ in 0..2 {
        is_alive(&node, &mut tcp, None).await;
        pace(Duration::from_secs(11)).await;
    }
    is_alive(&node, &mut tcp, None).await;
}

#[tokio::test]
async fn the_idle_time_does_not_cut_a_request_that_has_begun() {
    let node = Node::ephemeral(&["--keep-alive", "1"]).await;
    let mut tcp = connect(&node).await;
    is_alive(&node, &mut tcp, None).await;
    is_alive(&node, &mut tcp, Some(Duration::from_secs(5))).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_the_client_knows_when() {
    let node = Node::ephemeral(&["--keep-alive", "1"]).await;
    let mut tcp = connect(&node).await;
    let request = format!("GET /livez HTTP/1.1\r\nHost: {}\r\n\r\n", node.server().authority());
    tcp.write_all(request.as_bytes()).await.expect("an open connection");
    let head = read_to(&mut tcp, "ok\n").await.to_ascii_lowercase();
    assert!(head.contains("keep-alive: timeout=1\r\n"), "{head}");
    let end = timeout(SOON, tcp.read(&mut [0])).await.expect("the end");
    assert_eq!(end.expect("no reset"), 0);
    let last = raw_http::get(node.server(), "/livez").await;
    assert_eq!(last.header("keep-alive"), "", "the client said that it closes");
}

#[tokio::test]
async fn a_refused_request_is_read_to_its_end_or_its_answer_says_that_the_connection_ends() {
    let node = Node::ephemeral(&[]).await;
    for (length, sent, is_kept) in
        [(10, 10, true), (30_000, 30_000, true), (10, 9, false), (200_000, 10_000, false)]
    {
        for target in ["POST /nope", "PUT /user/list", "POST /livez", "GET /user/list"] {
            let mut tcp = connect(&node).await;
            let authority = node.server().authority();
            let head = format!("{target} HTTP/1.1\r\nHost: {authority}\r\nContent-Length: {length}\r\n\r\n");
            tcp.write_all(head.as_bytes()).await.expect("sent");
            // The body comes when the server knows already what it thinks of the head.
            pace(Duration::from_millis(20)).await;
            tcp.write_all(&vec![b'x'; sent]).await.expect("sent");
            let head = read_to(&mut tcp, "\r\n\r\n").await.to_ascii_lowercase();
            let says = head.contains("connection: close\r\n");
            assert_eq!(says, !is_kept, "{target}, {sent} of {length} bytes: {head}");
            if is_kept {
                let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
                let mut body = vec![0; length.and_then(|length| length.parse().ok()).expect("a length")];
                tcp.read_exact(&mut body).await.expect("a body");
                is_alive(&node, &mut tcp, None).await;
            }
        }
    }
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_is_still_sending() {
    let node = Node::ephemeral(&[]).await;
    for (target, headers, status) in [
        ("POST /user/sendMessage", "", 413),
        ("POST /nope", "", 404),
        ("PUT /user/list", "", 405),
        ("POST /livez", "", 405),
        ("POST /user/list", "Origin: http://evil.example\r\n", 403),
        ("POST /user/list", "Content-Encoding: gzip\r\n", 400),
        ("GET /livez", "", 200),
    ] {
        for length in [80_000, 300_000, 2_000_000] {
            let head = format!(
                "{target} HTTP/1.1\r\nHost: {}\r\nContent-Length: {length}\r\n{headers}\r\n",
                node.server().authority()
            );
            let mut tcp = connect(&node).await;
            let what = format!("{target} with {length} bytes");
            tcp.write_all(head.as_bytes()).await.expect("an open connection");
            let sent = timeout(SOON, tcp.write_all(&vec![b'a'; length])).await.expect("it is read");
            assert!(sent.is_ok(), "{what}: {sent:?}");
            let answer = read_to(&mut tcp, "\r\n").await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {answer}");
        }
    }
}

#[tokio::test]
async fn who_asks_before_sending_too_much_is_refused_at_once() {
    let node = Node::ephemeral(&[]).await;
    let head = |length: usize| {
        format!(
            "POST /user/list HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nExpect: 100-continue\r\n\r\n",
            node.server().authority()
        )
    };
    let mut tcp = connect(&node).await;
    tcp.write_all(head(70_000).as_bytes()).await.expect("an open connection");
    let first = read_to(&mut tcp, "\r\n").await;
    assert!(first.starts_with("HTTP/1.1 413 "), "{first}");
    let mut tcp = connect(&node).await;
    let body = br#"{"appId":1}"#;
    tcp.write_all(head(body.len()).as_bytes()).await.expect("an open connection");
    assert!(read_to(&mut tcp, "\r\n\r\n").await.starts_with("HTTP/1.1 100 "));
    tcp.write_all(body).await.expect("an open connection");
    assert!(read_to(&mut tcp, "\r\n").await.starts_with("HTTP/1.1 200 "));
}

/// A frame of HTTP/2 (RFC 9113 §4.1).
fn http2_frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short one").to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A literal field that is added to no table, its texts without Huffman coding (RFC 7541 §6.2.2).
fn field(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0];
    for text in [name, value] {
        let mut length = text.len();
        if length < 127 {
            field.push(u8::try_from(length).expect("a short one"));
        } else {
            field.push(127);
            length -= 127;
            while length >= 128 {
                field.push(u8::try_from(length % 128 + 128).expect("seven bits and a mark"));
                length /= 128;
            }
            field.push(u8::try_from(length).expect("seven bits"));
        }
        field.extend(text.as_bytes());
    }
    field
}

/// The library would answer it without a word.
#[tokio::test]
async fn a_head_of_http2_that_is_too_large_is_refused_with_words() {
    let node = Node::ephemeral(&[]).await;
    // :status 200 is in the static table; 431 is a literal of it, in Huffman's code.
    let (good, too_large) = (&[0x88][..], &[0x83, 0x69, 0x90, 0xff][..]);
    for (filler, status, words) in
        [(10_000, good, "ok"), (20_000, too_large, "16 KiB; send parameters with POST")]
    {
        let mut block = [&[0x82, 0x86, 0x04, 6][..], b"/livez", &[0x01, 9][..], b"localhost"].concat();
        block.extend(field("x-filler", &"x".repeat(filler)));
        let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        hello.extend(http2_frame(4, 0, 0, &[]));
        let (first, rest) = block.split_at(block.len().min(9000));
        hello.extend(http2_frame(1, 1, 1, first));
        let (second, third) = rest.split_at(rest.len().min(9000));
        hello.extend(http2_frame(9, 0, 1, second));
        hello.extend(http2_frame(9, 4, 1, third));
        let mut tcp = connect(&node).await;
        tcp.write_all(&hello).await.expect("an open connection");
        let (mut head, mut body) = (Vec::new(), Vec::new());
        loop {
            let mut front = [0; 9];
            timeout(SOON, tcp.read_exact(&mut front)).await.expect("an answer").expect("a frame");
            let length = u32::from_be_bytes([0, front[0], front[1], front[2]]);
            let mut payload = vec![0; usize::try_from(length).expect("a short one")];
            timeout(SOON, tcp.read_exact(&mut payload)).await.expect("an answer").expect("its payload");
            match front[3] {
                0 => body.extend(&payload),
                1 => head.extend(&payload),
                _ => {}
            }
            if front[3] <= 1 && front[4] & 1 == 1 {
                break;
            }
        }
        let body = String::from_utf8(body).expect("UTF-8");
        assert!(head.windows(status.len()).any(|part: &[u8]| part == status), "{head:x?}: {body}");
        assert!(body.contains(words), "{body:?}");
        assert_eq!(body.contains("\"code\":1012"), filler > 16_384, "{body:?}");
    }
}

/// The windows of its streams stay shut, and before the time of one answer is over it asks for another and gives the one
/// before up.
#[tokio::test]
async fn who_takes_none_of_its_answers_gains_no_time_by_asking_for_others() {
    const STALLED: Duration = Duration::from_secs(2);
    let node = Node::ephemeral(&["--stall-timeout", "2"]).await;
    let mut tcp = connect(&node).await;
    // Without a window for any stream: SETTINGS_INITIAL_WINDOW_SIZE is 0.
    let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    hello.extend(http2_frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]));
    // :method GET, :scheme http, :path /livez, :authority localhost
    let ask = [&[0x82, 0x86, 0x04, 6][..], b"/livez", &[0x01, 9][..], b"localhost"].concat();
    hello.extend(http2_frame(1, 5, 1, &ask));
    tcp.write_all(&hello).await.expect("an open connection");
    let deadline = tokio::time::Instant::now() + SOON;
    let (mut stream, mut buffer) = (1, [0; 4096]);
    loop {
        let mut turn = http2_frame(1, 5, stream + 2, &ask);
        turn.extend(http2_frame(3, 0, stream, &8_u32.to_be_bytes()));
        stream += 2;
        let next = tokio::time::Instant::now() + STALLED * 3 / 5;
        if tcp.write_all(&turn).await.is_err() {
            return;
        }
        while let Ok(read) = tokio::time::timeout_at(next, tcp.read(&mut buffer)).await {
            if matches!(read, Ok(0) | Err(_)) {
                return;
            }
        }
        assert!(tokio::time::Instant::now() < deadline, "it still has its place after {stream} answers");
    }
}
