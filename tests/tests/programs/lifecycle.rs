//! chatd from its start to its end: what it prints, which settings win, with which code it ends.
//!
//! Invariant: exit code 0 after a clean stop, 1 when it could not run, 2 for usage and configuration.

use std::net::TcpListener;
use std::time::Duration;

use chat_tests::fault_proxy::FaultProxy;
use chat_tests::node::Node;
use chat_tests::program::{Ended, run};
use chat_tests::raw_http::{UPGRADE, get, status};
use chat_tests::raw_socket::{RawSocket, frame, opcode};
use chat_tests::redis_server::RedisServer;
use chat_tests::talk::{Bystanders, close_code};
use chat_tests::wait::{SOON, pace, until};
use nix::sys::signal::Signal;
use serde_json::json;

const APP: u32 = 301;

async fn chatd(arguments: &[&str]) -> Ended {
    run("chatd", arguments, &[]).await
}

#[tokio::test]
async fn it_tells_where_it_listens_and_ends_with_0_when_stopped() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let node = Node::ephemeral(&[]).await;
        let line = format!("listening on {}\n", node.server());
        assert_eq!(node.log().matches(&line).count(), 1, "{}", node.log());
        assert!(!line.contains(":0\n"), "the real port is named");
        assert_eq!(get(node.server(), "/livez").await.status, 200, "it serves when it says so");
        assert_eq!(node.stop_with(signal).await, Some(0));
    }
}

#[tokio::test]
async fn wrong_usage_ends_with_2() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("chatd.toml");
    std::fs::write(&file, "[limits]\nspeed = 1\n").expect("written");
    let file = file.to_str().expect("a path");
    for (arguments, named) in [
        (&["--no-such-flag"][..], "--no-such-flag"),
        (&["nonsense"], "nonsense"),
        (&["--login-timeout", "x"], "login-timeout"),
        (&["--login-timeout", "0"], "login_timeout"),
        (&["--rate-per-user", "fast"], "rate-per-user"),
        (&["--rate-per-user=-1"], "rate-per-user"),
        (&["--burst-per-user", "0"], "limits.burst_per_user"),
        (&["--burst-per-connection", "1000001"], "limits.burst_per_connection"),
        (&["--queued-bytes", "1000"], "limits.outbox_bytes"),
        (&["--outbox-bytes", "600000000"], "limits.queued_bytes"),
        (&["--ping-interval=-1"], "ping-interval"),
        (&["--listen", "nowhere"], "listen"),
        (&["--listen", "127.0.0.1:99999"], "listen"),
        (&["--storage-sync", "maybe"], "storage-sync"),
        (&["--config", "/does/not/exist.toml"], "/does/not/exist.toml"),
        (&["--config", file], "speed"),
        (&["config"], "show"),
        (&["--ephemeral", "--redis-prefix", "a:b"], "redis_prefix"),
        (&["--role", "nobody"], "sender or settler"),
        (&["--role", "sender", "--redis", "redis://h"], "--grpc-listen"),
        (&["--role", "sender", "--grpc-listen", "127.0.0.1:0"], "--redis"),
        (&["--role", "gateway", "--grpc-listen", "127.0.0.1:0"], "grpc_listen"),
        (&["--role", "api", "--sender-url", "http://h:1"], "--redis"),
        (&["--redis", "redis://h", "--sender-url", "h:1"], "sender_url"),
        (&["--sender-key-file", "/does/not/exist"], "--sender-url"),
        (
            &[
                "--role=sender",
                "--redis",
                "redis://h",
                "--grpc-listen=127.0.0.1:0",
                "--sender-url=http://h:1",
            ],
            "sender_url",
        ),
    ] {
        let ended = chatd(arguments).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(named), "{arguments:?}: {ended:?}");
    }
}

#[tokio::test]
async fn an_address_others_can_reach_is_refused_without_allow_open() {
    for address in ["0.0.0.0:0", "[::]:0"] {
        let ended = chatd(&["--ephemeral", "--listen", address]).await;
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains("--allow-open") && ended.stderr.contains(address), "{ended:?}");
    }
    let node = Node::ephemeral_on("0.0.0.0:0", &["--allow-open"]).await;
    assert_eq!(node.stop().await, Some(0));
}

#[tokio::test]
async fn a_port_in_use_is_named_and_ends_with_1() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let ended = chatd(&["--ephemeral", "--listen", &address]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains(&address) && ended.stderr.contains("in use"), "{ended:?}");
    assert!(!ended.stderr.contains("listening on"), "{ended:?}");
}

#[tokio::test]
async fn a_data_directory_belongs_to_one_chatd_at_a_time() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("deep/inside");
    let path = path.to_str().expect("a path");
    let node = Node::start(&["--data-dir", path]).await;
    let ended = chatd(&["--listen", "127.0.0.1:0", "--data-dir", path]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains(path) && ended.stderr.contains("in use"), "{ended:?}");
    assert_eq!(node.stop().await, Some(0));
    let again = Node::start(&["--data-dir", path]).await;
    assert_eq!(again.stop().await, Some(0));
}

#[tokio::test]
async fn an_unusable_data_directory_ends_with_1() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("file");
    std::fs::write(&file, "not a directory").expect("written");
    let garbage = directory.path().join("garbage");
    std::fs::create_dir(&garbage).expect("made");
    std::fs::write(garbage.join("chat.sqlite3"), "this is no database, and long enough to be seen")
        .expect("written");
    for path in [file.to_str().expect("a path"), garbage.to_str().expect("a path")] {
        let ended = chatd(&["--listen", "127.0.0.1:0", "--data-dir", path]).await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains(path) && !ended.stderr.contains("panicked"), "{ended:?}");
    }
}

#[tokio::test]
async fn a_redis_that_is_not_there_ends_with_1_and_its_address_but_not_its_password() {
    let gone = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address");
    let url = format!("redis://user:secret@{gone}");
    let ended = chatd(&["--listen", "127.0.0.1:0", "--redis", &url, "--store-wait", "0"]).await;
    assert_eq!(ended.code, Some(1));
    let address = gone.to_string();
    assert!(ended.stderr.contains(&address) && ended.stderr.contains("Redis"), "{ended:?}");
    assert!(!ended.stderr.contains("secret"), "{ended:?}");
    let ended = chatd(&["--listen", "127.0.0.1:0", "--redis", "nonsense"]).await;
    assert!(matches!(ended.code, Some(1 | 2)), "{ended:?}");
}

#[tokio::test]
async fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("chatd.toml");
    std::fs::write(
        &file,
        "listen = '127.0.0.1:1'\n[limits]\nlogin_timeout = 11\noutbox_frames = 21\nheartbeat_timeout = 31\n",
    )
    .expect("written");
    let file = file.to_str().expect("a path");
    let variables =
        [("CHATD_CONFIG", file), ("CHATD_LOGIN_TIMEOUT", "12000ms"), ("CHATD_OUTBOX_FRAMES", "22")];
    for arguments in [&["--login-timeout", "13", "config", "show"][..], &["config", "show", "--config", file]]
    {
        let shown = run("chatd", arguments, &variables).await;
        let login = if arguments.contains(&"13") { 13 } else { 12 };
        assert_eq!((shown.code, shown.stderr.as_str()), (Some(0), ""), "{shown:?}");
        for line in [
            "listen = \"127.0.0.1:1\"".to_owned(),
            format!("login_timeout = \"{login}s\""),
            "outbox_frames = 22".to_owned(),
            "heartbeat_timeout = \"31s\"".to_owned(),
            "outbox_bytes = 1048576".to_owned(),
        ] {
            assert!(shown.stdout.lines().any(|found| found == line), "{line}: {}", shown.stdout);
        }
    }
}

#[tokio::test]
async fn settings_can_be_looked_at_without_starting() {
    let default = chatd(&["config", "default"]).await;
    assert_eq!((default.code, default.stderr.as_str()), (Some(0), ""));
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("chatd.toml");
    std::fs::write(&file, &default.stdout).expect("written");
    let file = file.to_str().expect("a path");
    let shown = chatd(&["config", "show", "--config", file]).await;
    assert_eq!(shown.stdout, default.stdout, "the defaults are a file that changes nothing");
    let checked = chatd(&["config", "check", "--config", file]).await;
    assert_eq!((checked.code, checked.stderr.as_str()), (Some(0), ""));
    assert!(!checked.stdout.is_empty());
    let checked = run("chatd", &["config", "check"], &[("CHATD_LISTEN", "0.0.0.0:80")]).await;
    assert_eq!((checked.code, checked.stdout.as_str()), (Some(2), ""));
    let shown = run("chatd", &["config", "show"], &[("CHATD_REDIS", "redis://u:hush@h")]).await;
    assert!(shown.stdout.contains("redis://u:***@h") && !shown.stdout.contains("hush"), "{shown:?}");
}

#[tokio::test]
async fn version_and_help_go_to_stdout() {
    for (flag, part) in [("--version", "chatd "), ("--help", "--listen")] {
        let ended = chatd(&[flag]).await;
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        assert!(ended.stdout.contains(part), "{ended:?}");
    }
}

#[tokio::test]
async fn a_node_is_alive_always_and_ready_while_it_has_its_store() {
    let mut redis = RedisServer::start_with_aof().await;
    let node = Node::start(&["--redis", &redis.url()]).await;
    let ready = async || get(node.server(), "/readyz").await.status == 200;
    assert!(ready().await);
    redis.kill();
    until("not ready without its store", SOON, async || get(node.server(), "/readyz").await.status == 503)
        .await;
    assert_eq!(get(node.server(), "/livez").await.status, 200);
    let reason = get(node.server(), "/readyz").await.body;
    assert!(!reason.contains("127.0.0.1"), "no inner detail: {reason}");
    let refused = get(node.server(), "/user/list?appId=1").await;
    assert_eq!((refused.code(), refused.status), (1013, 503));
    let state = get(node.server(), "/system/state").await;
    assert_eq!(state.json()["data"]["ready"], json!(false));
    redis.restart().await;
    until("ready again", SOON, ready).await;
}

#[tokio::test]
async fn a_full_node_answers_503_and_takes_connections_again_when_one_ends() {
    let node = Node::ephemeral(&["--max-connections", "3"]).await;
    let mut bystanders = Bystanders::arrive(&node, APP).await;
    let third = node.login(APP, "third").await;
    let refused = chat_tests::raw_http::request(node.server(), "GET", "/acc", &UPGRADE, &[]).await;
    assert_eq!((refused.code(), refused.status), (1013, 503));
    assert_eq!(refused.json()["data"], json!({"limit": "max_connections", "bound": 3}));
    assert_eq!(get(node.server(), "/user/list?appId=1").await.code(), 200, "operations go on");
    bystanders.are_undisturbed().await;
    third.close().await;
    until("room again", SOON, async || status(node.server(), "/acc", &UPGRADE).await == 101).await;
    bystanders.are_undisturbed().await;
}

#[tokio::test]
async fn stopping_tells_every_connection_to_go_elsewhere() {
    for signal in [Signal::SIGTERM, Signal::SIGHUP] {
        let node = Node::ephemeral(&[]).await;
        let (mut user, mut silent) = (node.login(APP, "user").await, node.connect().await);
        let server = node.server().clone();
        let stopping = node.stop_with(signal);
        let (code, user, silent) = tokio::join!(stopping, close_code(&mut user), close_code(&mut silent));
        assert_eq!((code, user, silent), (Some(0), 4002, 4002), "{signal}");
        assert!(std::net::TcpStream::connect(server.authority()).is_err(), "nothing listens any more");
    }
}

#[tokio::test]
async fn a_signal_told_twice_is_one_wish_and_a_later_one_ends_the_stop_at_once() {
    let mut node = Node::ephemeral(&[]).await;
    let mut user = node.login(APP, "user").await;
    node.signal(Signal::SIGTERM);
    node.signal(Signal::SIGTERM);
    assert_eq!((close_code(&mut user).await, node.ended().await), (4002, Some(0)));

    let mut node = Node::ephemeral(&[]).await;
    // Takes no leave, which a stop waits for.
    let _lingering = RawSocket::open(node.server()).await;
    node.signal(Signal::SIGTERM);
    until("stopping", SOON, async || node.log().contains("stopping")).await;
    let code = loop {
        match node.exit_code() {
            Some(code) => break code,
            None => node.signal(Signal::SIGINT),
        }
        pace(Duration::from_millis(50)).await;
    };
    assert_eq!(code, Some(1));
    until("its last words", SOON, async || node.log().contains("SIGINT again: ending at once\n")).await;
}

#[tokio::test]
async fn a_reader_of_a_pipe_who_is_gone_ends_nobody() {
    let node = Node::ephemeral(&[]).await;
    let mut bystanders = Bystanders::arrive(&node, APP).await;
    node.signal(Signal::SIGPIPE);
    bystanders.are_undisturbed().await;
    assert_eq!(node.stop().await, Some(0));
}

#[tokio::test]
async fn what_a_stopping_node_works_on_is_answered_before_the_close() {
    let redis = RedisServer::start().await;
    let proxy = FaultProxy::start(redis.address()).await;
    let mut node = Node::start(&["--redis", &format!("redis://{}", proxy.address())]).await;
    let mut sender = RawSocket::open(node.server()).await;
    sender.login(APP, "sender").await;
    // Whatever answers from the store are on their way, the one to this is not.
    proxy.stall();
    // In one piece, so that who answers the first has taken the second.
    let both = [r#"{"seq":"1","cmd":"ping"}"#, r#"{"seq":"late","cmd":"msg","data":{"msg":"hello"}}"#];
    let both = both.map(|text| frame(true, opcode::TEXT, text.as_bytes())).concat();
    sender.send(&both).await;
    assert_eq!(sender.answer().await["response"]["data"], "pong");
    node.signal(Signal::SIGTERM);
    let refused = async || status(node.server(), "/acc", &UPGRADE).await == 503;
    until("nobody new is let in", SOON, refused).await;
    proxy.heal();
    let answer = sender.answer().await;
    assert_eq!(answer["seq"], "late", "{answer}");
    assert_eq!(sender.close_code().await, 4002);
    assert_eq!(node.ended().await, Some(0));
}
