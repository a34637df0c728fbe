//! The chat page through everything that goes wrong: restarts, cuts, sleep, and a flood.
//!
//! Invariant: afterwards it shows what the log has, in its order, each once, and its console has said nothing worse than
//! that a connection was lost.

use chat_client::{Server, Session};
use chat_protocol::UserId;
use chat_tests::browser::{Browser, Window};
use chat_tests::fault_proxy::FaultProxy;
use chat_tests::front::{Front, free_address};
use chat_tests::node::Node;
use chat_tests::redis_server::RedisServer;
use fantoccini::key::Key;
use serde_json::json;

const APP: u32 = 112;
const BODY: &str = ".message .body";
const STATE: &str = "document.getElementById('state').dataset.state";

async fn say(session: &mut Session, text: &str) {
    session.send("".parse().expect("the world"), text).await.expect("it is sent");
}

async fn log_in(server: &Server, user: &str) -> Session {
    Session::login(server, APP, &UserId::new(user).expect("a name")).await.expect("it logs in")
}

async fn write(window: &Window, text: &str) {
    window.type_into("#text", &format!("{text}{}", char::from(Key::Enter))).await;
}

/// Shows exactly this, and says of itself only that connections were lost.
async fn shows(window: &Window, expected: &[String]) {
    window.until("document.querySelectorAll('.message.pending').length === 0").await;
    window.until(&format!("document.querySelectorAll('{BODY}').length >= {}", expected.len())).await;
    assert_eq!(window.texts(BODY).await, expected);
    let complaints = window.complaints().await;
    let other: Vec<_> = complaints.iter().filter(|line| !line.contains("WebSocket connection to")).collect();
    assert!(other.is_empty(), "{other:?}");
}

#[tokio::test]
async fn a_node_that_is_started_again_is_found_again() {
    let data = tempfile::tempdir().expect("a directory");
    let address = free_address().to_string();
    let directory = data.path().to_str().expect("a path");
    let arguments = ["--data-dir", directory];
    let listen: &'static str = Box::leak(address.into_boxed_str());
    let (mut node, browser) = tokio::join!(Node::start_on(listen, &arguments), Browser::start());
    let mut other = node.login(APP, "other").await;
    say(&mut other, "before").await;
    let window = browser.enter(node.server(), APP, "reader").await;
    window.until_last(BODY, "before").await;
    let mut expected = vec!["before".to_owned()];
    for (round, is_killed) in [(1, false), (2, true)] {
        if is_killed {
            node.kill();
        } else {
            assert_eq!(node.stop().await, Some(0));
        }
        window.until(&format!("{STATE} !== 'online'")).await;
        write(&window, &format!("meanwhile {round}")).await;
        window.until("document.querySelector('.message.own.pending .queued')").await;
        node = Node::start_on(listen, &arguments).await;
        window.until(&format!("{STATE} === 'online'")).await;
        window.until("document.querySelectorAll('.message.pending').length === 0").await;
        say(&mut node.login(APP, "other").await, &format!("after {round}")).await;
        window.until_last(BODY, &format!("after {round}")).await;
        expected.extend([format!("meanwhile {round}"), format!("after {round}")]);
    }
    shows(&window, &expected).await;
}

#[tokio::test]
async fn a_redis_that_is_started_again_loses_nothing_of_the_page() {
    let mut redis = RedisServer::start_with_aof().await;
    let url = redis.url();
    let arguments = ["--redis", url.as_str()];
    let (node, browser) = tokio::join!(Node::start(&arguments), Browser::start());
    let window = browser.enter(node.server(), APP, "reader").await;
    write(&window, "before").await;
    window.until("document.querySelectorAll('.message.own:not(.pending)').length === 1").await;
    redis.kill();
    write(&window, "meanwhile").await;
    window.until("document.querySelector('.message.own.pending')").await;
    redis.restart().await;
    window.until("document.querySelectorAll('.message.own:not(.pending)').length === 2").await;
    window.until(&format!("{STATE} === 'online'")).await;
    let told = async || {
        let message = json!({"appId": APP, "userId": "other", "msgId": "after", "message": "after"});
        node.http().call_raw("/user/sendMessageAll", &message).await.is_ok()
    };
    chat_tests::wait::until("redis takes messages", chat_tests::wait::SOON, told).await;
    window.until_last(BODY, "after").await;
    shows(&window, &["before", "meanwhile", "after"].map(str::to_owned)).await;
}

#[tokio::test]
async fn ten_cuts_lose_and_repeat_nothing() {
    let (node, browser) = tokio::join!(Node::ephemeral(&[]), Browser::start());
    let proxy = FaultProxy::start(node.server().authority().parse().expect("an address")).await;
    let mut other = node.login(APP, "other").await;
    let window = browser.enter(format!("http://{}", proxy.address()), APP, "reader").await;
    let mut said = Vec::new();
    for cut in 1..=10 {
        window.until(&format!("{STATE} === 'online'")).await;
        write(&window, &format!("own {cut}")).await;
        proxy.cut();
        window.until(&format!("{STATE} !== 'online'")).await;
        say(&mut other, &format!("other {cut}")).await;
        proxy.heal();
        // Whoever waits longer than a person would is told to hurry, as by a network that is there again.
        window.run("dispatchEvent(new Event('online'))").await;
        said.extend([format!("own {cut}"), format!("other {cut}")]);
    }
    window.until(&format!("document.querySelectorAll('.message').length >= {}", said.len())).await;
    let history = json!({"appId": APP, "userId": "other", "target": "", "limit": 200});
    let logged = async || {
        let history = node.http().call_raw("/message/history", &history).await.expect("a history");
        let messages = history["messages"].as_array().expect("a list").iter();
        messages.map(|entry| entry["msg"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    chat_tests::wait::until("all are in the log", chat_tests::wait::SOON, async || {
        logged().await.len() == said.len()
    })
    .await;
    let logged = logged().await;
    shows(&window, &logged).await;
    let mut sorted = (logged, said);
    sorted.0.sort();
    sorted.1.sort();
    assert_eq!(sorted.0, sorted.1);
}

/// The browser lets a page sleep that nobody has looked at for long; its connection ends meanwhile, or does not.
#[tokio::test]
async fn a_page_that_slept_shows_what_it_missed() {
    let (node, browser) = tokio::join!(Node::ephemeral(&[]), Browser::start());
    let proxy = FaultProxy::start(node.server().authority().parse().expect("an address")).await;
    let mut other = node.login(APP, "other").await;
    let window = browser.enter(format!("http://{}", proxy.address()), APP, "reader").await;
    let mut expected = Vec::new();
    for is_cut in [false, true] {
        window.sleeps(true).await;
        if is_cut {
            proxy.cut();
        }
        for number in 1..=30 {
            expected.push(format!("{number} {is_cut}"));
            say(&mut other, expected.last().expect("a text")).await;
        }
        proxy.heal();
        window.sleeps(false).await;
        window.until_last(BODY, expected.last().expect("a text")).await;
    }
    shows(&window, &expected).await;
}

#[tokio::test]
async fn five_hundred_messages_at_once_are_all_there() {
    let (node, browser) = tokio::join!(Node::ephemeral(&[]), Browser::start());
    let speakers =
        futures_util::future::join_all((0..5).map(|n| log_in(node.server(), ["a", "b", "c", "d", "e"][n])))
            .await;
    let window = browser.enter(node.server(), APP, "reader").await;
    let floods = speakers.into_iter().enumerate().map(async |(speaker, mut session)| {
        for number in 0..100 {
            say(&mut session, &format!("{speaker} {number}")).await;
        }
    });
    futures_util::future::join_all(floods).await;
    let history = json!({"appId": APP, "userId": "reader", "target": "", "after": 260, "limit": 200});
    let newest = node.http().call_raw("/message/history", &history).await.expect("a history");
    let newest = newest["messages"].as_array().expect("a list").last().expect("an entry")["msg"].clone();
    let after = json!({"appId": APP, "userId": "reader", "target": "", "after": 460});
    let last = node.http().call_raw("/message/history", &after).await.expect("a history");
    let last = last["messages"].as_array().expect("a list").last().expect("an entry")["msg"].clone();
    assert_ne!(newest, last);
    window.until_last(BODY, last.as_str().expect("a text")).await;
    let shown = window.run("const rows = []; for (const body of document.querySelectorAll('.message .body')) rows.push(body.textContent); return [rows.length, new Set(rows).size]").await;
    assert_eq!(shown[0], shown[1], "none twice");
    assert!(shown[0].as_u64().is_some_and(|count| (60..=300).contains(&count)), "{shown}");
    // Up to the first.
    let first = "document.querySelector('.history button') === null \
                 || (document.querySelector('.history button').click(), false)";
    window.until(first).await;
    window.until("document.querySelector('.history').childElementCount === 0").await;
    assert!(window.complaints().await.is_empty());
}

/// What the page asks for stays below the path it came from.
#[tokio::test]
async fn below_a_path_of_nginx_it_is_as_at_the_root() {
    let (node, browser) = tokio::join!(Node::ephemeral(&[]), Browser::start());
    let (listen, upstream) = (free_address(), node.server().authority());
    let settings = format!(
        "server {{ listen {listen};\n\
         location = /livez {{ proxy_pass http://{upstream}; }}\n\
         location /chat/ {{ proxy_pass http://{upstream}/; proxy_http_version 1.1; proxy_buffering off;\n\
         proxy_set_header Host {upstream}; proxy_set_header Origin http://{upstream};\n\
         proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }}\n\
         location / {{ return 418; }} }}"
    );
    let nginx = Front::nginx(&settings, listen).await;
    let mut other = node.login(APP, "other").await;
    let join = browser.window(&format!("{}/chat/?appId={APP}", nginx.server())).await;
    join.type_into("#join-user", &format!("reader{}", char::from(Key::Enter))).await;
    join.until(&format!("{STATE} === 'online'")).await;
    write(&join, "from below").await;
    assert_eq!(chat_tests::talk::next_text(&mut other).await, "from below");
    say(&mut other, "to below").await;
    shows(&join, &["from below", "to below"].map(str::to_owned)).await;
    let asked = "return performance.getEntriesByType('resource').map(({ name }) => new URL(name).pathname) \
                 .filter((path) => !path.startsWith('/chat/'))";
    assert_eq!(join.run(asked).await, json!([]));
}
