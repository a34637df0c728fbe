//! Who is online, as the chat page shows it in a world too large for its list.
//!
//! Invariant: nobody is called away who is known to be here, and nothing that was found out is held for true for ever.

use chat_client::Session;
use chat_protocol::UserId;
use chat_tests::browser::{Browser, Window};
use chat_tests::fault_proxy::FaultProxy;
use chat_tests::node::Node;
use serde_json::json;
use tokio::task::JoinSet;

const APP: u32 = 104;
/// The page's rounds are begun by the test, and what it asks is counted.
const CLOCK: &str = "window.asked = []; window.rounds = []; const every = setInterval; \
                     window.setInterval = (act, ms) => ms === 30000 ? rounds.push(act) : every(act, ms); \
                     const send = WebSocket.prototype.send; WebSocket.prototype.send = function (text) { \
                     const { cmd, data } = JSON.parse(text); if (cmd === 'user/online') asked.push(data.userId); \
                     return send.call(this, text) }";
/// The first to set a clock, before any connection.
const NEXT_ROUND: &str = "rounds[0]()";

/// A world of more people than the page lists, to whom nobody who comes or goes is announced.
async fn crowd() -> (Node, Browser, Vec<Session>) {
    let quiet = ["--presence-announce-limit", "1"];
    let (node, browser) = tokio::join!(Node::ephemeral(&quiet), Browser::start());
    let mut crowd = JoinSet::new();
    for number in 1..=501 {
        let server = node.server().clone();
        let user = UserId::new(&format!("u{number:03}")).expect("a valid name");
        crowd.spawn(async move { Session::login(&server, APP, &user).await.expect("logged in") });
    }
    let crowd = crowd.join_all().await;
    (node, browser, crowd)
}

async fn write(node: &Node, from: &str) {
    let message = json!({"appId": APP, "userId": "reader", "from": from, "message": "hello"});
    node.http().call_raw("/user/sendMessage", &message).await.expect("sent");
}

async fn until_away(window: &Window, name: &str, is_away: bool) {
    let row = format!("#people button[data-target='user:{name}']");
    window
        .until(&format!("document.querySelector(\"{row}\")?.classList.contains('away') === {is_away}"))
        .await;
}

#[tokio::test]
async fn who_is_online_beyond_the_list_is_not_called_away() {
    let (node, browser, _crowd) = crowd().await;
    let _here = node.login(APP, "zed").await;
    write(&node, "zed").await;
    write(&node, "zoe").await;
    let window = browser.enter(node.server(), APP, "reader").await;
    window.until_last("#people button[data-target='user:zoe'].away .away-note", "离线").await;
    assert!(window.texts("#people button[data-target='user:zed'] .away-note").await.is_empty());
    assert_eq!(window.texts("#people .away").await.len(), 1);
}

#[tokio::test]
async fn who_writes_is_here_and_who_comes_or_goes_in_silence_is_asked_for_again() {
    let (node, browser, _crowd) = crowd().await;
    let listed = node.login(APP, "u000").await;
    write(&node, "zoe").await;
    write(&node, "u000").await;
    let window = browser.enter_with(CLOCK, node.server(), APP, "reader").await;
    until_away(&window, "zoe", true).await;
    until_away(&window, "u000", false).await;
    let mut zoe = node.login(APP, "zoe").await;
    zoe.send("".parse().expect("the world"), "I am back").await.expect("it is sent");
    until_away(&window, "zoe", false).await;

    zoe.close().await;
    listed.close().await;
    let gone = async |name: &str| {
        let online = node.http().call_raw("/user/online", &json!({"appId": APP, "userId": name})).await;
        online.expect("an answer")["online"] == false
    };
    for name in ["zoe", "u000"] {
        chat_tests::wait::until("chatd knows that they left", chat_tests::wait::SOON, || gone(name)).await;
    }
    window.run(NEXT_ROUND).await;
    until_away(&window, "zoe", true).await;
    until_away(&window, "u000", true).await;
    let _zoe = node.login(APP, "zoe").await;
    window.run(NEXT_ROUND).await;
    until_away(&window, "zoe", false).await;
}

#[tokio::test]
async fn a_conversation_that_is_opened_is_asked_for_and_no_round_asks_for_more_than_20() {
    let (node, browser, _crowd) = crowd().await;
    for number in 1..=25 {
        write(&node, &format!("z{number:02}")).await;
    }
    let window = browser.enter_with(CLOCK, node.server(), APP, "reader").await;
    window.until("document.querySelectorAll('#people .away').length === 20").await;
    until_away(&window, "z05", false).await;
    window.run(NEXT_ROUND).await;
    window.until("document.querySelectorAll('#people .away').length === 25").await;
    assert_eq!(window.run("return asked.length").await, 40);

    // Somebody who was not asked for in this round, though others are due as well.
    window.run("asked.length = 0").await;
    window.run("document.querySelector(\"#people button[data-target='user:z25']\").click()").await;
    window.run(NEXT_ROUND).await;
    window.until("asked.length === 20").await;
    assert_eq!(window.run("return asked[0]").await, "z25");
}

#[tokio::test]
async fn what_a_cut_left_unanswered_is_asked_again() {
    let (node, browser, _crowd) = crowd().await;
    write(&node, "zoe").await;
    let proxy = FaultProxy::start(node.server().authority().parse().expect("an address")).await;
    let window = browser.enter_with(CLOCK, format!("http://{}", proxy.address()), APP, "reader").await;
    until_away(&window, "zoe", true).await;
    let _zoe = node.login(APP, "zoe").await;
    proxy.stall();
    window.run(NEXT_ROUND).await;
    window.until("asked.length === 2").await;
    proxy.cut();
    window.until("document.getElementById('state').dataset.state !== 'online'").await;
    proxy.heal();
    until_away(&window, "zoe", false).await;
    assert_eq!(window.run("return asked").await, json!(["zoe", "zoe", "zoe"]));
}
