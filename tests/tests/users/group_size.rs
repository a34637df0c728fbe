//! What a message to a group costs Redis does not depend on how many members the group has.
//!
//! Invariant: every command Redis runs is counted, also those inside scripts, as far as it names the group.

use std::collections::BTreeMap;

use chat_client::Session;
use chat_protocol::Target;
use chat_tests::broker::APP;
use chat_tests::engine::{ALL, Engine, group_id, join};
use chat_tests::node::Node;
use chat_tests::redis_server::RedisServer;
use chat_tests::talk::next_message;
use futures_util::StreamExt;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const MEMBERS: usize = 20_000;
const ONLINE: usize = 200;
const MESSAGES: usize = 30;

/// Every command Redis runs, as it tells a client that watches.
struct Monitor {
    lines: tokio::io::Lines<BufReader<TcpStream>>,
    control: TcpStream,
}

impl Monitor {
    async fn start(server: &RedisServer) -> Self {
        let mut watching = TcpStream::connect(server.address()).await.expect("connected");
        let control = TcpStream::connect(server.address()).await.expect("connected");
        watching.write_all(b"MONITOR\r\n").await.expect("written");
        let mut lines = BufReader::new(watching).lines();
        assert_eq!(lines.next_line().await.expect("an answer").as_deref(), Some("+OK"));
        Self { lines, control }
    }

    /// How often which command named the group since the last call.
    async fn commands(&mut self, group: &str) -> BTreeMap<String, usize> {
        let mark = format!("mark-{:016x}", rand::random::<u64>());
        self.control.write_all(format!("ECHO {mark}\r\n").as_bytes()).await.expect("written");
        let mut counts = BTreeMap::new();
        loop {
            let line = self.lines.next_line().await.expect("readable").expect("a line");
            if line.contains(&mark) {
                return counts;
            }
            if line.contains(&format!("group:{group}")) || line.contains(&format!("members:{group}")) {
                let command = line.split('"').nth(1).expect("a command").to_uppercase();
                *counts.entry(command).or_default() += 1;
            }
        }
    }
}

async fn grow(engine: &Engine, group: &str, members: usize) {
    let nodes = [engine.node_keeping(ALL).await, engine.node_keeping(ALL).await];
    nodes[0].create(group, &["owner"]).await;
    let joining = futures_util::stream::iter(0..members).map(|number| {
        let node = nodes[number % 2].clone();
        async move { node.change(group, join(&format!("m{number}"))).await }
    });
    assert!(joining.buffer_unordered(256).all(async |changed| changed.changed).await);
    let grown = nodes[1].groups.group(APP, &group_id(group)).await.expect("a group");
    assert_eq!(grown.member_count, members as u64 + 1);
}

/// The owner speaks; everyone online gets all of it.
async fn talk(owner: &mut Session, online: &mut Vec<Session>, group: &str) {
    for index in 0..MESSAGES {
        let receipt = owner.send(Target::Group(group_id(group)), &index.to_string()).await;
        assert!(!receipt.expect("sent").duplicate);
    }
    let mut reading = JoinSet::new();
    for mut session in online.drain(..) {
        reading.spawn(async move {
            for index in 0..MESSAGES {
                assert_eq!(next_message(&mut session).await.content.msg, Some(index.to_string()));
            }
            session
        });
    }
    online.extend(reading.join_all().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_costs_redis_the_same_whatever_the_number_of_members() {
    let server = RedisServer::start().await;
    let url = server.url();
    let mut engine = Engine::on_redis(server);
    grow(&engine, "small", ONLINE).await;
    grow(&engine, "large", MEMBERS).await;
    let arguments = ["--redis", url.as_str()];
    let (one, two) = tokio::join!(Node::start(&arguments), Node::start(&arguments));
    let nodes = [&one, &two];
    let mut online = Vec::new();
    for number in 0..ONLINE {
        online.push(nodes[number % 2].login(APP, &format!("m{number}")).await);
    }
    let mut owner = one.login(APP, "owner").await;
    let mut monitor = Monitor::start(engine.redis_server().expect("a Redis")).await;
    // The first call of a script finds that Redis does not know it.
    talk(&mut owner, &mut online, "small").await;
    let mut costs = Vec::new();
    for group in ["small", "large"] {
        monitor.commands(group).await;
        talk(&mut owner, &mut online, group).await;
        let mut cost = monitor.commands(group).await;
        // A full log is cut once in many messages, whatever the members.
        assert!(cost.remove("LTRIM").unwrap_or(0) <= 1, "{cost:?}");
        for command in ["EVALSHA", "RPUSH", "PUBLISH"] {
            assert_eq!(cost.get(command), Some(&MESSAGES), "one of each for a message: {cost:?}");
        }
        costs.push(cost);
    }
    assert_eq!(costs[0], costs[1]);
}
