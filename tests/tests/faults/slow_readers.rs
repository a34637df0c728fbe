//! Readers who are slow, and readers who do not read: the first get everything, the others cost a bounded amount.
//!
//! Invariant: no test concludes anything from how long something took; only what arrives, what ends, and what is counted.

use std::time::Duration;

use chat_client::{Server, Stream};
use chat_protocol::Target;
use chat_tests::authority::Way;
use chat_tests::node::Node;
use chat_tests::raw_http::{get, try_status};
use chat_tests::raw_socket::{RawSocket, frame, opcode};
use chat_tests::redis_server::RedisServer;
use chat_tests::talk::Bystanders;
use chat_tests::wait::{SOON, pace, until};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

chat_tests::over_plain_and_tls!(
    a_connection_that_is_sent_nothing_gets_a_ping,
    a_slow_reader_gets_the_whole_answer_however_long_it_takes,
    an_http_answer_that_nobody_reads_does_not_stay,
    answers_behind_each_other_that_nobody_reads_do_not_stay,
    a_websocket_that_reads_no_answers_is_closed_and_its_memory_freed,
    who_asks_for_much_and_reads_late_gets_every_answer,
    many_who_recover_much_at_once_and_read_it_all_get_it,
    what_waits_for_all_slow_readers_together_is_bounded_and_the_slowest_go_first
);

const APP: u32 = 206;
/// A minute, because a reader has to be silent for some seconds before anything happens, on a machine that is shared.
const LATER: Duration = Duration::from_secs(60);
const HISTORY: &str = "/message/history?appId=206&target=&limit=200";

/// Fills the world's history with so many messages of 16 KiB.
async fn fill(node: &Node, messages: usize) {
    let mut speaker = node.login(APP, "speaker").await;
    let text = "x".repeat(16_000);
    for _ in 0..messages {
        speaker.send(Target::World, &text).await.expect("accepted");
    }
    speaker.close().await;
}

/// One number of a scrape.
async fn metric(node: &Node, name: &str) -> f64 {
    let page = get(node.server(), "/metrics").await.body;
    let line = page.lines().find_map(|line| line.strip_prefix(name).and_then(|rest| rest.strip_prefix(' ')));
    line.unwrap_or_else(|| panic!("no {name}")).parse().expect("a number")
}

async fn connections(node: &Node) -> u64 {
    let state = node.http().call_raw("/system/state", &json!({})).await.expect("answered");
    state["connections"].as_u64().expect("a number")
}

/// A socket for which the kernel keeps little.
async fn narrow(server: &Server) -> Stream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(8 * 1024).expect("a small buffer");
    let address = server.authority().parse().expect("an address");
    let tcp = socket.connect(address).await.expect("the server listens");
    Stream::over(tcp, server).await.expect("a handshake")
}

async fn ask_for_history(node: &Node) -> Stream {
    let mut tcp = narrow(node.server()).await;
    let request = format!("GET {HISTORY} HTTP/1.1\r\nHost: {}\r\n\r\n", node.server().authority());
    tcp.write_all(request.as_bytes()).await.expect("sent");
    tcp
}

fn history(seq: usize, limit: usize) -> Vec<u8> {
    let request =
        json!({"seq": seq.to_string(), "cmd": "message/history", "data": {"target": "", "limit": limit}});
    frame(true, opcode::TEXT, request.to_string().as_bytes())
}

async fn a_connection_that_is_sent_nothing_gets_a_ping(way: Way) {
    let node = way.node(&["--ping-interval", "1", "--heartbeat-timeout", "4"]).await;
    let mut quiet = RawSocket::open(node.server()).await;
    quiet.login(APP, "quiet").await;
    // Pongs are life enough: it says nothing else for longer than the heartbeat may take.
    for _ in 0..8 {
        let ping = quiet.next().await.expect("an open connection");
        assert_eq!((ping.opcode, ping.payload.len()), (opcode::PING, 0));
        quiet.send(&frame(true, opcode::PONG, b"")).await;
    }
    assert!(metric(&node, "chatd_pings_total").await >= 8.0);
}

async fn a_slow_reader_gets_the_whole_answer_however_long_it_takes(way: Way) {
    let node = way.node(&["--stall-timeout", "2", "--keep-alive", "1"]).await;
    fill(&node, 70).await;
    let mut tcp = ask_for_history(&node).await;
    let (mut received, mut piece) = (Vec::new(), vec![0; 16 * 1024]);
    let length = loop {
        let head = received.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        if let Some(head) = head {
            let text = String::from_utf8_lossy(&received[..head]).to_ascii_lowercase();
            let length =
                text.lines().find_map(|line| line.strip_prefix("content-length: ")).map(str::to_owned);
            break head + 4 + length.expect("a length").parse::<usize>().expect("a number");
        }
        let read = tcp.read(&mut piece).await.expect("an open connection");
        received.extend_from_slice(&piece[..read]);
    };
    // A page ends at a million bytes.
    assert!(length > 60 * 16_000);
    while received.len() < length {
        pace(Duration::from_millis(60)).await;
        let read = tcp.read(&mut piece).await.expect("an open connection");
        assert!(read > 0, "cut after {} of {length} bytes", received.len());
        received.extend_from_slice(&piece[..read]);
    }
    assert_eq!(metric(&node, "chatd_stalled_closes_total").await, 0.0);
}

async fn an_http_answer_that_nobody_reads_does_not_stay(way: Way) {
    let node = way.node(&["--stall-timeout", "1"]).await;
    fill(&node, 100).await;
    let mut bystanders = Bystanders::arrive(&node, APP).await;
    let unread = ask_for_history(&node).await;
    until("it is given up", LATER, async || metric(&node, "chatd_stalled_closes_total").await == 1.0).await;
    until("and freed", LATER, async || metric(&node, "chatd_queued_bytes").await < 100_000.0).await;
    drop(unread);
    bystanders.are_undisturbed().await;
}

async fn answers_behind_each_other_that_nobody_reads_do_not_stay(way: Way) {
    let node = way.node(&["--stall-timeout", "1"]).await;
    // Three answers and the end of a fourth fit into what the kernel keeps, or five, or six.
    fill(&node, 5).await;
    let mut bystanders = Bystanders::arrive(&node, APP).await;
    let mut unread = Vec::new();
    // Of answers of 80 KiB, of which hardly any goes whole into what is ahead of a socket that is full, and of 16, of which
    // each does: what TLS has sealed waits there, too.
    for (limit, requests) in (2..10).flat_map(|count| [(200, count * 5), (1, count * 30)]) {
        let mut stream = ask_for_history(&node).await;
        let path = HISTORY.replace("limit=200", &format!("limit={limit}"));
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", node.server().authority());
        stream.write_all(request.repeat(requests).as_bytes()).await.expect("sent");
        stream.flush().await.expect("sent");
        unread.push(stream);
    }
    let given_up = async || metric(&node, "chatd_stalled_closes_total").await == 16.0;
    until("all are given up", LATER, given_up).await;
    until("and freed", LATER, async || metric(&node, "chatd_queued_bytes").await < 100_000.0).await;
    bystanders.are_undisturbed().await;
}

async fn a_websocket_that_reads_no_answers_is_closed_and_its_memory_freed(way: Way) {
    let node = way.node(&["--stall-timeout", "1"]).await;
    fill(&node, 60).await;
    let mut bystanders = Bystanders::arrive(&node, APP).await;
    let mut deaf = RawSocket::open(node.server()).await;
    deaf.login(APP, "deaf").await;
    for seq in 0..50 {
        deaf.send(&[history(seq, 60), frame(true, opcode::PING, b"")].concat()).await;
    }
    until("it is given up", LATER, async || metric(&node, "chatd_stalled_closes_total").await == 1.0).await;
    until("it is gone", LATER, async || connections(&node).await == 2).await;
    assert_eq!(metric(&node, "chatd_slow_closes_total").await, 1.0);
    assert!(metric(&node, "chatd_queued_bytes").await < 100_000.0);
    bystanders.are_undisturbed().await;
}

async fn who_asks_for_much_and_reads_late_gets_every_answer(way: Way) {
    let node = way.node(&[]).await;
    fill(&node, 60).await;
    let mut patient = RawSocket::open(node.server()).await;
    patient.login(APP, "patient").await;
    for seq in 0..8 {
        patient.send(&history(seq, 60)).await;
    }
    // More than the queue of one connection may hold, so the later requests wait in the kernel until it reads.
    until("an answer waits", SOON, async || metric(&node, "chatd_queued_bytes").await > 900_000.0).await;
    assert!(metric(&node, "chatd_queued_bytes").await < 2_500_000.0);
    for seq in 0..8 {
        let answer = patient.answer().await;
        assert_eq!((&answer["seq"], &answer["response"]["code"]), (&json!(seq.to_string()), &json!(200)));
        assert_eq!(answer["response"]["data"]["messages"].as_array().map(Vec::len), Some(60));
    }
}

async fn many_who_recover_much_at_once_and_read_it_all_get_it(way: Way) {
    // What they read from the log is a multiple of what may wait in all.
    let node = way.node(&["--queued-bytes", "8000000"]).await;
    // Small ones, of which a log-in reads page by page, in turns with the others.
    let (mut speaker, text) = (node.login(APP, "speaker").await, "x".repeat(400));
    for _ in 0..1_000 {
        speaker.send(Target::World, &text).await.expect("accepted");
    }
    let request = json!({"seq": "in", "cmd": "login", "data": {
        "appId": APP, "userId": "back", "recover": [{"target": "", "epoch": "", "offset": 0}],
    }});
    let read = async |_| {
        let mut reader = RawSocket::open(node.server()).await;
        // Where reading is slow some are told that too many recover at this moment, and try again as a client does.
        loop {
            reader.send_text(request.to_string()).await;
            let code = reader.answer().await["response"]["code"].clone();
            if code == 200 {
                break;
            }
            assert_eq!(code, 1013);
        }
        for _ in 0..500 {
            assert_eq!(reader.next().await.expect("open").opcode, opcode::TEXT);
        }
    };
    let mut reading = std::pin::pin!(join_all((0..100).map(read)));
    let mut most = 0.0_f64;
    loop {
        tokio::select! {
            _ = &mut reading => break,
            queued = metric(&node, "chatd_queued_bytes") => most = most.max(queued),
        }
    }
    assert!(most <= 8_000_000.0, "{most} bytes waited");
    assert_eq!(metric(&node, "chatd_slow_closes_total").await, 0.0);
}

async fn what_waits_for_all_slow_readers_together_is_bounded_and_the_slowest_go_first(way: Way) {
    let node = way.node(&["--queued-bytes", "3000000"]).await;
    fill(&node, 60).await;
    let mut bystanders = Bystanders::arrive(&node, APP).await;
    let mut deaf = Vec::new();
    for index in 0..8_usize {
        let mut socket = RawSocket::open(node.server()).await;
        socket.login(APP, &format!("deaf-{index}")).await;
        socket.send(&history(0, 60)).await;
        deaf.push(socket);
    }
    let unread = [ask_for_history(&node).await, ask_for_history(&node).await];
    let shed = async || metric(&node, "chatd_shed_closes_total").await >= 5.0;
    until("the slowest are given up", LATER, shed).await;
    until("the rest fits", LATER, async || metric(&node, "chatd_queued_bytes").await <= 3_000_000.0).await;
    assert_eq!(get(node.server(), HISTORY).await.code(), 200, "others are answered");
    drop((deaf, unread));
    bystanders.are_undisturbed().await;
}

#[tokio::test]
async fn idle_connections_leave_the_node_its_store_and_its_operators_their_place() {
    let mut redis = RedisServer::start_with_aof().await;
    let node = Node::with_files(400, &["--redis", &redis.url()]).await;
    let http = node.http();
    let state: Value = http.call_raw("/system/state", &json!({})).await.expect("answered");
    let most = state["maxConnections"].as_u64().expect("a number");
    let mut speaker = node.login(APP, "speaker").await;
    let mut sockets = Vec::new();
    for _ in 1..most {
        sockets.push(RawSocket::open(node.server()).await);
    }
    // One more has no place, and idle HTTP takes none for good.
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(RawSocket::connect(node.server()).await);
    }
    let upgrade = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let refused = async || try_status(node.server(), "/acc", &upgrade).await == Some(503);
    until("one more is refused", SOON, refused).await;
    for path in ["/livez", "/readyz", "/user/list?appId=206"] {
        for _ in 0..20 {
            idle.push(RawSocket::connect(node.server()).await);
            assert_eq!(try_status(node.server(), path, &[]).await, Some(200), "{path}");
        }
    }
    assert!(metric(&node, "process_open_fds").await < 360.0);
    assert!(metric(&node, "chatd_crowded_out_total").await > 0.0);
    redis.kill();
    let stored = async || try_status(node.server(), "/readyz", &[]).await;
    until("the store is away", SOON, async || stored().await == Some(503)).await;
    redis.restart().await;
    until("and back", LATER, async || stored().await == Some(200)).await;
    speaker.send(Target::World, "still here").await.expect("accepted");
    drop((sockets, idle));
}
