//! Stores that are away, or not fit to be used, when a node starts.

use std::io::{BufRead, BufReader, ErrorKind};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use chat_tests::node::{Node, program};
use chat_tests::program::run;
use chat_tests::raw_http::get;
use chat_tests::redis_server::RedisServer;
use chat_tests::wait::until;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Longer than a running node takes to look at its Redis again.
const SOON: Duration = Duration::from_secs(60);

/// A node that was started and is not ready yet.
struct Starting {
    child: Child,
    lines: Box<dyn Iterator<Item = String> + Send>,
}

impl Starting {
    async fn with(arguments: &[&str]) -> Self {
        Self::at("127.0.0.1:0", arguments).await
    }

    async fn at(address: &str, arguments: &[&str]) -> Self {
        let path = tokio::task::spawn_blocking(|| program("chatd")).await.expect("the program is built");
        let mut child = Command::new(path)
            .args(["--listen", address])
            .args(arguments)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
        Self { child, lines: Box::new(lines) }
    }

    /// Reads on to a line with this text; panics when it ends before.
    fn says(&mut self, text: &str) -> String {
        let mut before = String::new();
        for line in &mut self.lines {
            if line.contains(text) {
                return line;
            }
            before.push_str(&(line + "\n"));
        }
        panic!("it never said {text:?}:\n{before}");
    }

    fn ends(&mut self) -> Option<i32> {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM).expect("it runs");
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address where nobody listens.
fn nowhere() -> String {
    TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address").to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_waits_for_a_redis_that_is_away() {
    let mut redis = RedisServer::start().await;
    redis.kill();
    let mut node = Starting::with(&["--redis", &redis.url().replace("//", "//user:secret@")]).await;
    let line = tokio::task::block_in_place(|| node.says("waiting for"));
    assert!(line.contains(&redis.address().to_string()) && !line.contains("secret"), "{line}");
    assert_eq!(tokio::task::block_in_place(|| node.ends()), Some(0), "SIGTERM ends the wait");

    let mut node = Starting::with(&["--redis", &redis.url()]).await;
    tokio::task::block_in_place(|| node.says("waiting for"));
    redis.restart().await;
    tokio::task::block_in_place(|| node.says("listening on"));
    assert_eq!(tokio::task::block_in_place(|| node.ends()), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_waits_for_a_redis_that_loads_its_data() {
    // It would take two minutes, if it were not told to hurry in the end.
    let slowly = ["--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024"];
    let mut redis = RedisServer::start_with(&slowly).await;
    let keys: Vec<_> = (0..100_000).map(|number| format!("key:{number}")).collect();
    let words: Vec<_> = ["MSET"].into_iter().chain(keys.iter().flat_map(|key| [&**key, "value"])).collect();
    redis.command(&words).await;
    redis.command(&["SAVE"]).await;
    redis.restart_loading().await;
    let mut node = Starting::with(&["--redis", &redis.url()]).await;
    let line = tokio::task::block_in_place(|| node.says("waiting for Redis"));
    assert!(line.contains("loading") && line.contains(&redis.address().to_string()), "{line}");
    redis.command(&["CONFIG", "SET", "key-load-delay", "0"]).await;
    let line = tokio::task::block_in_place(|| node.says("listening on"));
    let server = line.trim_start_matches("listening on ").parse().expect("an address");
    assert_eq!(get(&server, "/readyz").await.status, 200);
    assert_eq!(tokio::task::block_in_place(|| node.ends()), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_calls_a_node_that_waits_for_its_store_is_refused_and_kept_waiting_by_nobody() {
    let mut redis = RedisServer::start().await;
    redis.kill();
    let address = nowhere();
    let mut node = Starting::at(&address, &["--redis", &redis.url()]).await;
    tokio::task::block_in_place(|| node.says("waiting for"));
    let refusal = TcpStream::connect(&address).expect_err("nobody is let in");
    assert_eq!(refusal.kind(), ErrorKind::ConnectionRefused);
    redis.restart().await;
    tokio::task::block_in_place(|| node.says("listening on"));
    drop(TcpStream::connect(&address).expect("let in"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_waits_for_a_ledger_and_a_rabbitmq_that_are_away() {
    let redis = RedisServer::start().await;
    let (ledger, amqp) = (format!("postgres://u:secret@{}/d", nowhere()), format!("amqp://{}", nowhere()));
    let mut node = Starting::with(&["--redis", &redis.url(), "--ledger", &ledger]).await;
    let line = tokio::task::block_in_place(|| node.says("waiting for the ledger"));
    assert!(!line.contains("secret"), "{line}");
    let mut node = Starting::with(&["--ephemeral", "--amqp", &amqp]).await;
    tokio::task::block_in_place(|| node.says("waiting for RabbitMQ"));
}

#[tokio::test]
async fn a_wait_has_an_end_and_some_things_are_not_waited_for() {
    let url = format!("redis://{}", nowhere());
    let ended = run("chatd", &["--listen", "127.0.0.1:0", "--redis", &url, "--store-wait", "1"], &[]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("waiting for") && ended.stderr.contains("cannot use Redis"), "{ended:?}");
    let closed = RedisServer::start().await;
    closed.command(&["CONFIG", "SET", "requirepass", "other"]).await;
    let url = closed.url().replace("//", "//:secret@");
    let ended = run("chatd", &["--listen", "127.0.0.1:0", "--redis", &url], &[]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(!ended.stderr.contains("waiting for") && !ended.stderr.contains("secret"), "{ended:?}");
}

#[tokio::test]
async fn a_redis_that_drops_keys_is_refused_unless_that_is_meant() {
    let dropping = ["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"];
    let redis = RedisServer::start_with(&dropping).await;
    let url = redis.url();
    let ended = run("chatd", &["--listen", "127.0.0.1:0", "--redis", &url], &[]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for named in ["allkeys-lru", "noeviction", "--allow-eviction"] {
        assert!(ended.stderr.contains(named), "{ended:?}");
    }
    let node = Node::start(&["--redis", &url, "--allow-eviction"]).await;
    assert!(node.log().contains("drops keys") && node.log().contains("keeps nothing"), "{}", node.log());
}

#[tokio::test]
async fn a_running_node_says_when_its_redis_begins_to_drop_keys() {
    let redis = RedisServer::start_with(&["--maxmemory", "100mb"]).await;
    let node = Node::start(&["--redis", &redis.url()]).await;
    assert!(!node.log().contains("drops keys"), "{}", node.log());
    redis.command(&["CONFIG", "SET", "maxmemory-policy", "volatile-lru"]).await;
    until("it says so", SOON, async || node.log().contains("drops keys")).await;
}
