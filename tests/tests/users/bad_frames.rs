//! Frames that break the WebSocket protocol or stretch it: closed with the right code, or understood.
//!
//! Invariant: two bystanders talk on undisturbed, and a close frame really arrives.

use chat_tests::authority::Way;
use chat_tests::node::Node;
use chat_tests::raw_socket::{Frame, RawSocket, frame, handshake, opcode, unmasked};
use chat_tests::talk::Bystanders;
use chat_tests::wait::{SOON, until};
use serde_json::json;

chat_tests::over_plain_and_tls!(
    text_that_is_not_utf8_is_closed_with_1007,
    a_frame_without_mask_is_closed_with_1002,
    a_reserved_opcode_or_bit_is_closed_with_1002,
    fragments_out_of_order_are_closed_with_1002,
    an_overlong_control_frame_is_closed_with_1002,
    a_message_above_64_kib_is_closed_with_1009_and_the_close_arrives,
    a_frame_of_exactly_64_kib_is_answered,
    a_binary_frame_that_is_not_json_is_answered_1001_and_the_connection_stays,
    fragments_are_put_together_even_around_a_ping_and_inside_a_character,
    a_ping_frame_is_answered_with_its_own_content_even_before_login,
    a_close_is_answered_with_the_same_code,
    a_malformed_close_ends_the_connection,
    frames_right_behind_the_handshake_are_not_lost,
    a_client_that_goes_in_the_middle_of_a_login_leaves_no_trace
);

const APP: u32 = 202;
const PING: &[u8] = br#"{"seq":"1","cmd":"ping"}"#;

async fn stage(way: &Way) -> (Node, Bystanders, RawSocket) {
    let node = way.node(&[]).await;
    let bystanders = Bystanders::arrive(&node, APP).await;
    let mut socket = RawSocket::open(node.server()).await;
    socket.login(APP, "clumsy").await;
    (node, bystanders, socket)
}

/// Each of these byte sequences ends its connection with this close code.
async fn each_is_closed(way: &Way, sequences: &[Vec<u8>], code: u16) {
    let (node, mut bystanders, _) = stage(way).await;
    for (index, bytes) in sequences.iter().enumerate() {
        let mut socket = RawSocket::open(node.server()).await;
        socket.login(APP, "clumsy").await;
        socket.send(bytes).await;
        assert_eq!(socket.close_code().await, code, "sequence {index}");
        bystanders.are_undisturbed().await;
    }
}

async fn text_that_is_not_utf8_is_closed_with_1007(way: Way) {
    let split = "帝".as_bytes();
    each_is_closed(
        &way,
        &[
            frame(true, opcode::TEXT, b"\xff"),
            frame(true, opcode::TEXT, b"{\"seq\":\"\xc3\x28\"}"),
            frame(true, opcode::TEXT, b"\xed\xa0\x80"),
            frame(true, opcode::TEXT, &split[..2]),
            [frame(false, opcode::TEXT, &split[..2]), frame(true, opcode::CONTINUATION, b"x")].concat(),
        ],
        1007,
    )
    .await;
}

async fn a_frame_without_mask_is_closed_with_1002(way: Way) {
    each_is_closed(&way, &[unmasked(opcode::TEXT, PING), unmasked(opcode::PING, b"")], 1002).await;
}

async fn a_reserved_opcode_or_bit_is_closed_with_1002(way: Way) {
    let mut sequences: Vec<_> = [3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map(|code| frame(true, code, b"")).into();
    for bit in [0x40, 0x20, 0x10] {
        sequences.push(frame(true, opcode::TEXT | bit, PING));
    }
    each_is_closed(&way, &sequences, 1002).await;
}

async fn fragments_out_of_order_are_closed_with_1002(way: Way) {
    each_is_closed(
        &way,
        &[
            frame(true, opcode::CONTINUATION, PING),
            [frame(false, opcode::TEXT, b"{"), frame(true, opcode::TEXT, PING)].concat(),
            [frame(false, opcode::TEXT, b"{"), frame(true, opcode::BINARY, b"")].concat(),
            frame(false, opcode::PING, b""),
            frame(false, opcode::CLOSE, b""),
        ],
        1002,
    )
    .await;
}

async fn an_overlong_control_frame_is_closed_with_1002(way: Way) {
    each_is_closed(
        &way,
        &[frame(true, opcode::PING, &[b'x'; 126]), frame(true, opcode::CLOSE, &[3; 126])],
        1002,
    )
    .await;
}

async fn a_message_above_64_kib_is_closed_with_1009_and_the_close_arrives(way: Way) {
    let large = vec![b'x'; 64 * 1024 + 1];
    let half = vec![b'x'; 40 * 1024];
    let announced_only =
        |length: u64| [&[0x81, 0xff], length.to_be_bytes().as_slice(), &[1, 2, 3, 4]].concat();
    each_is_closed(
        &way,
        &[
            frame(true, opcode::TEXT, &large),
            frame(true, opcode::BINARY, &large),
            frame(true, opcode::TEXT, &vec![b'x'; 4 * 1024 * 1024]),
            [frame(false, opcode::TEXT, &half), frame(true, opcode::CONTINUATION, &half)].concat(),
            announced_only(64 * 1024 + 1),
            announced_only(1 << 40),
            [announced_only(1 << 20), vec![0; 1000]].concat(),
        ],
        1009,
    )
    .await;
}

async fn a_frame_of_exactly_64_kib_is_answered(way: Way) {
    let (_node, mut bystanders, mut socket) = stage(&way).await;
    let mut text = json!({"seq": "s", "cmd": "msg", "data": {"msg": ""}}).to_string();
    let room = 64 * 1024 - text.len();
    text = text.replace(r#""msg":"""#, &format!(r#""msg":"{}""#, "x".repeat(room)));
    assert_eq!(text.len(), 64 * 1024);
    socket.send_text(&text).await;
    assert_eq!(socket.answer().await["response"]["code"], 1012);
    bystanders.are_undisturbed().await;
}

async fn a_binary_frame_that_is_not_json_is_answered_1001_and_the_connection_stays(way: Way) {
    let (_node, mut bystanders, mut socket) = stage(&way).await;
    for bytes in [&b""[..], b"{", b"\xff\xfe", b"{\"seq\":\"\xff\",\"cmd\":\"ping\"}"] {
        socket.send(&frame(true, opcode::BINARY, bytes)).await;
        assert_eq!(socket.answer().await["response"]["code"], 1001);
    }
    socket.send_text(PING).await;
    assert_eq!(socket.answer().await["response"]["data"], "pong");
    bystanders.are_undisturbed().await;
}

async fn fragments_are_put_together_even_around_a_ping_and_inside_a_character(way: Way) {
    let (node, mut bystanders, mut socket) = stage(&way).await;
    let mut listener = node.login(APP, "listener").await;
    let text =
        json!({"seq": "s", "cmd": "msg", "data": {"target": "user:listener", "msg": "黄帝"}}).to_string();
    let bytes = text.as_bytes();
    let last = bytes.len() - 1;
    for (index, byte) in bytes.iter().enumerate() {
        let kind = if index == 0 { opcode::TEXT } else { opcode::CONTINUATION };
        socket.send(&frame(index == last, kind, &[*byte])).await;
        if index == 3 {
            socket.send(&frame(true, opcode::PING, b"between")).await;
            let pong = Frame { opcode: opcode::PONG, payload: b"between".to_vec() };
            while socket.next().await.expect("open") != pong {}
        }
    }
    assert_eq!(socket.answer().await["response"]["code"], 200);
    assert_eq!(chat_tests::talk::next_text(&mut listener).await, "黄帝");
    socket.send(&[frame(false, opcode::TEXT, PING), frame(true, opcode::CONTINUATION, b"")].concat()).await;
    assert_eq!(socket.answer().await["response"]["data"], "pong");
    drop(listener);
    bystanders.are_undisturbed().await;
}

async fn a_ping_frame_is_answered_with_its_own_content_even_before_login(way: Way) {
    let (node, mut bystanders, _) = stage(&way).await;
    let mut socket = RawSocket::open(node.server()).await;
    socket.send(&frame(true, opcode::PONG, b"nobody asked")).await;
    for payload in [&b""[..], b"x", &[0xff; 125]] {
        socket.send(&frame(true, opcode::PING, payload)).await;
        let pong = Frame { opcode: opcode::PONG, payload: payload.to_vec() };
        assert_eq!(socket.next().await, Some(pong));
    }
    bystanders.are_undisturbed().await;
}

async fn a_close_is_answered_with_the_same_code(way: Way) {
    let (node, mut bystanders, _) = stage(&way).await;
    for code in [1000_u16, 1001, 3000, 4999] {
        let mut socket = RawSocket::open(node.server()).await;
        socket.login(APP, "leaving").await;
        socket.send(&frame(true, opcode::CLOSE, &code.to_be_bytes())).await;
        assert_eq!(socket.close_code().await, code);
    }
    bystanders.are_undisturbed().await;
}

async fn a_malformed_close_ends_the_connection(way: Way) {
    let (node, mut bystanders, _) = stage(&way).await;
    for payload in [&b"\x03"[..], &999_u16.to_be_bytes(), &1005_u16.to_be_bytes(), b"\x03\xe8\xff\xff"] {
        let mut socket = RawSocket::open(node.server()).await;
        socket.send(&frame(true, opcode::CLOSE, payload)).await;
        let code = socket.close_code().await;
        assert!(code == 1002 || code == 1007, "{payload:?}: {code}");
    }
    bystanders.are_undisturbed().await;
}

async fn frames_right_behind_the_handshake_are_not_lost(way: Way) {
    let (node, mut bystanders, _) = stage(&way).await;
    let mut socket = RawSocket::connect(node.server()).await;
    let login = json!({"seq": "in", "cmd": "login", "data": {"appId": APP, "userId": "hasty"}}).to_string();
    let many: Vec<u8> = (0..100).flat_map(|_| frame(true, opcode::TEXT, PING)).collect();
    let login = frame(true, opcode::TEXT, login.as_bytes());
    socket.send(&[handshake(node.server()).as_bytes(), &login, &many].concat()).await;
    assert!(socket.read_head().await.starts_with("HTTP/1.1 101 "));
    assert_eq!(socket.answer().await["cmd"], "login");
    for _ in 0..100 {
        assert_eq!(socket.answer().await["response"]["data"], "pong");
    }
    bystanders.are_undisturbed().await;
}

async fn a_client_that_goes_in_the_middle_of_a_login_leaves_no_trace(way: Way) {
    let (node, mut bystanders, socket) = stage(&way).await;
    drop(socket);
    let login = json!({"seq": "in", "cmd": "login", "data": {"appId": APP, "userId": "gone"}}).to_string();
    let login = frame(true, opcode::TEXT, login.as_bytes());
    for round in 0..60 {
        let mut socket = RawSocket::open(node.server()).await;
        // A third cut off inside the frame, a third right behind it, a third reset.
        let sent = if round % 3 == 0 { &login[..login.len() / 2] } else { &login[..] };
        socket.send(sent).await;
        if round % 3 == 2 {
            socket.reset_on_drop();
        }
    }
    let http = node.http();
    let only_bystanders = async || {
        let list = http.call_raw("/user/list", &json!({"appId": APP})).await.expect("answered");
        let state = http.call_raw("/system/state", &json!({})).await.expect("answered");
        list["userList"] == json!(["bystander-1", "bystander-2"]) && state["connections"] == 2
    };
    until("only the bystanders are left", SOON, only_bystanders).await;
    bystanders.are_undisturbed().await;
}
