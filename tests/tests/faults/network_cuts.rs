//! Cables that are pulled between clients, nginx, nodes and Redis: nobody is told, and nothing is lost.
//!
//! Invariant: what is cut is a real network between namespaces; the processes at both ends live on.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use chat_client::live::{Identity, Item, Options};
use chat_client::{Live, Session};
use chat_protocol::{Code, Target, UserId};
use chat_tests::front::{Front, free_address, nginx_for};
use chat_tests::island::{Island, Switch};
use chat_tests::node::{Node, program};
use chat_tests::raw_http::get;
use chat_tests::redis_server::RedisServer;
use chat_tests::talk::next_message;
use chat_tests::wait::{SOON, until};
use parking_lot::Mutex;

const APP: u32 = 638;
/// A cut is noticed by time-outs, one behind the other.
const LATER: Duration = Duration::from_secs(90);

async fn is_online(node: &Node, user: &str) -> bool {
    let answer = get(node.server(), &format!("/user/online?appId={APP}&userId={user}")).await;
    answer.json()["data"]["online"] == true
}

async fn say(speaker: &mut Session, from: usize, count: usize) {
    for number in from..from + count {
        speaker.send(Target::World, &format!("m{number}")).await.expect("accepted");
    }
}

/// A Redis that this machine and those on the switch reach.
async fn redis_on(switch: &Switch) -> RedisServer {
    let host = switch.host().to_string();
    RedisServer::start_with(&["--bind", "127.0.0.1", &host, "--protected-mode", "no"]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_cable_to_redis_is_pulled_catches_up_when_it_is_back() {
    let (clients, stores, island) = (Switch::new(), Switch::new(), Island::new());
    let (outside, inside) = (island.plug(&clients), island.plug(&stores));
    let redis = redis_on(&stores).await;
    let url = format!("redis://{}:{}", stores.host(), redis.address().port());
    let listen = format!("{}:0", outside.address);
    let cut = Node::start_on_island(&island, &listen, &["--allow-open", "--redis", &url]).await;
    let other = Node::start(&["--redis", &redis.url()]).await;
    let (mut reader, mut speaker) = (cut.login(APP, "reader").await, other.login(APP, "speaker").await);
    say(&mut speaker, 0, 5).await;
    for number in 0..5 {
        assert_eq!(next_message(&mut reader).await.content.msg, Some(format!("m{number}")));
    }
    inside.pull();
    say(&mut speaker, 5, 20).await;
    until("its users are offline to the others", LATER, async || !is_online(&other, "reader").await).await;
    // Whoever is connected to it stays so, and is told that nothing can be stored.
    let refused = async || match reader.send(Target::World, "from the cut node").await {
        Err(error) => error.code() == Some(Code::StoreUnreachable),
        Ok(_) => panic!("stored without a store"),
    };
    until("what cannot be stored is refused", LATER, refused).await;
    assert_eq!(get(cut.server(), "/readyz").await.status, 503);
    inside.plug();
    for number in 5..25 {
        let message = reader.next_push(LATER).await.expect("an open connection").expect("in time");
        let message = message.message().expect("a message");
        assert_eq!(message.content.msg, Some(format!("m{number}")));
    }
    until("its users are online again", LATER, async || is_online(&other, "reader").await).await;
    until("it stores again", LATER, async || reader.send(Target::World, "back").await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_whose_cable_is_pulled_is_given_up_and_gets_the_rest_when_it_is_back() {
    let (switch, island) = (Switch::new(), Island::new());
    let cable = island.plug(&switch);
    let listen = String::leak(format!("{}:0", switch.host()));
    let limits = ["--allow-open", "--heartbeat-timeout", "6s", "--ping-interval", "2s"];
    let node = Node::ephemeral_on(listen, &limits).await;
    let mut tail = island.command(program("chatctl"));
    tail.args([
        "--server",
        &node.server().to_string(),
        "--app",
        "638",
        "--as",
        "reader",
        "-o",
        "jsonl",
        "tail",
        "",
    ]);
    let mut tail =
        tail.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("nsenter");
    let shown = Arc::new(Mutex::new(Vec::new()));
    let lines = BufReader::new(tail.stdout.take().expect("piped")).lines();
    let kept = shown.clone();
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| kept.lock().push(line)));
    until("it is in", LATER, async || is_online(&node, "reader").await).await;
    let mut speaker = node.login(APP, "speaker").await;
    say(&mut speaker, 0, 5).await;
    until("it shows what came", LATER, async || shown.lock().len() == 5).await;
    cable.pull();
    say(&mut speaker, 5, 20).await;
    until("it is given up", LATER, async || !is_online(&node, "reader").await).await;
    cable.plug();
    until("it shows the rest", LATER, async || shown.lock().len() >= 25).await;
    let texts: Vec<_> = shown
        .lock()
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["msg"].clone())
        .collect();
    assert_eq!(texts, (0..25).map(|number| format!("m{number}")).collect::<Vec<_>>());
    tail.kill().expect("it runs");
    tail.wait().expect("it ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_on_a_node_that_nginx_cannot_reach_goes_on_at_another() {
    let (switch, stores, island) = (Switch::new(), Switch::new(), Island::new());
    let (cable, inside) = (island.plug(&switch), island.plug(&stores));
    let redis = redis_on(&stores).await;
    let url = format!("redis://{}:{}", stores.host(), redis.address().port());
    let listen = format!("{}:0", cable.address);
    let trusted = switch.host().to_string();
    let cut = Node::start_on_island(
        &island,
        &listen,
        &["--allow-open", "--redis", &url, "--trusted-proxies", &trusted],
    )
    .await;
    let at = free_address();
    // At first there is the one node only, so everybody is on it.
    let nginx = Front::nginx(&nginx_for(at, &[cut.server()]).await, at).await;
    let user_id = UserId::new("reader").expect("a name");
    let options =
        Options { heartbeat: Duration::from_secs(2), timeout: Duration::from_secs(10), ..Options::default() };
    let identity = Identity { app_id: APP, user_id, token: None };
    let mut reader = Live::start(vec![nginx.server().clone()], identity, options);
    until("the reader is in", LATER, async || matches!(reader.next().await, Some(Item::Connected { .. })))
        .await;
    let other = Node::start(&["--redis", &redis.url(), "--trusted-proxies", "127.0.0.1"]).await;
    nginx.reload(&nginx_for(at, &[cut.server(), other.server()]).await).await;
    let mut speaker = other.login(APP, "speaker").await;
    say(&mut speaker, 0, 5).await;
    cable.pull();
    say(&mut speaker, 5, 20).await;
    let mut texts = Vec::new();
    let all = async {
        while texts.len() < 25 {
            match reader.next().await.expect("it goes on") {
                Item::Message(message) => texts.extend(message.content.msg),
                Item::Gap(gap) => panic!("{gap:?}"),
                Item::Refused(error) => panic!("{error}"),
                _ => {}
            }
        }
    };
    tokio::time::timeout(LATER, all).await.expect("in time");
    assert_eq!(texts, (0..25).map(|number| format!("m{number}")).collect::<Vec<_>>());
    let on_other = async || get(other.server(), "/system/state").await.json()["data"]["sessions"] == 2;
    until("the reader is on the other node", SOON, on_other).await;
    drop(inside);
}
