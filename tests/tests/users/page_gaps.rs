//! What the chat page shows when something is missing: a gap, another history, an answer that does not come.
//!
//! Invariant: what is not there is said, and asked for again.

use std::time::Duration;

use chat_client::Session;
use chat_protocol::Target;
use chat_tests::browser::{Browser, Window, keep_picture};
use chat_tests::fault_proxy::FaultProxy;
use chat_tests::node::Node;
use chat_tests::redis_server::RedisServer;
use serde_json::json;

const APP: u32 = 103;
const BODY: &str = ".message .body";
const FAILED: &str = ".history .error";

async fn say(session: &mut Session, target: &str, text: &str) {
    let target: Target = target.parse().expect("a target");
    session.send(target, text).await.expect("it is sent");
}

async fn open(window: &Window, target: &str) {
    let row = format!("#people button[data-target='{target}']");
    window.find(&row).await;
    // A row may be far down, and is made anew when it changes.
    window.run(&format!("document.querySelector(\"{row}\").click()")).await;
}

#[tokio::test]
async fn a_gap_after_a_cut_is_told_and_loaded() {
    let (node, browser) = tokio::join!(Node::ephemeral(&[]), Browser::start());
    let proxy = FaultProxy::start(node.server().authority().parse().expect("an address")).await;
    let mut other = node.login(APP, "other").await;
    say(&mut other, "", "before").await;
    let window = browser.enter(format!("http://{}", proxy.address()), APP, "reader").await;
    window.until_last(BODY, "before").await;
    proxy.cut();
    window.until("document.getElementById('state').dataset.state !== 'online'").await;
    // More than a log-in sends again: half the outbox of 1 MiB.
    for number in 1..=40 {
        say(&mut other, "", &format!("{number} {}", "x".repeat(16_000))).await;
    }
    say(&mut other, "", "after").await;
    proxy.heal();
    window.until("document.querySelectorAll('.message').length === 42").await;
    window.until_last(BODY, "after").await;
    let told = "离开期间有些消息没有推送，已从历史中载入；更早的可能已不在";
    window.until_last(".notice", told).await;
    let first_words = "return [...document.querySelectorAll('.message .body')].map((body) => body.textContent.split(' ')[0])";
    let expected: Vec<_> = ["before".to_owned()]
        .into_iter()
        .chain((1..=40).map(|number| number.to_string()))
        .chain(["after".to_owned()])
        .collect();
    assert_eq!(window.run(first_words).await, json!(expected));
}

#[tokio::test]
async fn a_group_that_was_founded_anew_shows_nothing_of_the_old_one() {
    let (node, browser) = tokio::join!(Node::ephemeral(&[]), Browser::start());
    let mut owner = node.login(APP, "owner").await;
    let mut reader = node.login(APP, "reader").await;
    let group = json!({"groupId": "g", "name": "n"});
    owner.request("group/create", &group).await.expect("created");
    reader.request("group/join", &group).await.expect("joined");
    for number in 1..=3 {
        say(&mut owner, "group:g", &format!("old {number}")).await;
    }
    let window = browser.enter(node.server(), APP, "reader").await;
    open(&window, "group:g").await;
    window.until_last(BODY, "old 3").await;
    owner.request("group/dismiss", &group).await.expect("dismissed");
    window.until_last(BODY, "解散了群").await;
    owner.request("group/create", &group).await.expect("created");
    say(&mut owner, "group:g", "new 1").await;
    reader.request("group/join", &group).await.expect("joined");
    say(&mut owner, "group:g", "new 2").await;
    window.until_last(BODY, "new 2").await;
    window.until("document.querySelectorAll('.message').length === 4").await;
    assert_eq!(window.texts(BODY).await, ["创建了群", "new 1", "加入了群", "new 2"]);
}

#[tokio::test]
async fn more_conversations_than_one_page_are_all_listed() {
    let (node, browser) = tokio::join!(Node::ephemeral(&[]), Browser::start());
    let http = node.http();
    for number in 1..=210 {
        let message = json!({"appId": APP, "userId": "reader", "from": format!("u{number:03}"), "message": number.to_string()});
        http.call_raw("/user/sendMessage", &message).await.expect("sent");
    }
    let window = browser.enter(node.server(), APP, "reader").await;
    window.until("document.title.split(' ')[0] === '(210)'").await;
    assert_eq!(
        window.run("return document.querySelector('#people li').ariaSetSize").await,
        "212",
        "and the world, and the reader"
    );
    // The one that spoke first is the last of all.
    window.run("const list = document.getElementById('people'); list.scrollTop = list.scrollHeight").await;
    open(&window, "user:u001").await;
    window.until_last(BODY, "1").await;
}

/// What was said before is gone, and so is any place in it; what is told of that is a line like the others.
#[tokio::test]
async fn a_notice_of_a_lost_history_goes_with_the_lines_around_it() {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let arguments = ["--redis", url.as_str()];
    let (node, browser) = tokio::join!(Node::start(&arguments), Browser::start());
    let proxy = FaultProxy::start(node.server().authority().parse().expect("an address")).await;
    // Over HTTP, for chatd closes a connection that may have missed something.
    let http = node.http();
    let say = async |text: &str| {
        let message = json!({"appId": APP, "userId": "other", "msgId": text, "message": text});
        http.call_raw("/user/sendMessageAll", &message).await.expect("sent");
    };
    say("before").await;
    let window = browser.enter(format!("http://{}", proxy.address()), APP, "reader").await;
    window.until_last(BODY, "before").await;
    for first in ["after", "line 1"] {
        proxy.cut();
        window.until("document.getElementById('state').dataset.state !== 'online'").await;
        redis.command(&["FLUSHALL"]).await;
        proxy.heal();
        window.until("document.getElementById('state').dataset.state === 'online'").await;
        say(first).await;
        window.until_last(BODY, first).await;
        window.until("document.querySelectorAll('#log li').length === 2").await;
        assert_eq!(
            (window.texts(".notice").await.len(), window.texts(BODY).await),
            (1, vec![first.to_owned()])
        );
    }
    for number in 2..=520 {
        say(&format!("line {number}")).await;
    }
    window.until_last(BODY, "line 520").await;
    let texts = window.texts("#log li").await;
    assert_eq!((texts.len(), window.texts(BODY).await.len()), (240, 240));
    for shown in [300, 360, 420, 480, 520] {
        window.run("document.querySelector('.history button').click()").await;
        window.until(&format!("document.querySelectorAll('.message').length >= {shown}")).await;
    }
    let lines: Vec<_> = (1..=520).map(|number| format!("line {number}")).collect();
    assert_eq!(window.texts(BODY).await, lines);
}

#[tokio::test]
async fn history_that_does_not_load_says_why_and_is_asked_for_again() {
    let mut redis = RedisServer::start_with_aof().await;
    let url = redis.url();
    let arguments = ["--redis", url.as_str()];
    let (node, browser) = tokio::join!(Node::start(&arguments), Browser::start());
    let mut other = node.login(APP, "other").await;
    say(&mut other, "user:reader", "kept").await;
    let proxy = FaultProxy::start(node.server().authority().parse().expect("an address")).await;
    let window = browser.enter(format!("http://{}", proxy.address()), APP, "reader").await;
    window.until_last("#people button[data-target='user:other'] .dot", "1").await;

    // The server answers nothing in time.
    proxy.stall();
    open(&window, "user:other").await;
    window.until_last(FAILED, "消息载入失败：服务器没有及时回答").await;
    keep_picture(&window, "history-late").await;
    // The store is away.
    redis.kill();
    proxy.heal();
    window.click(".history button").await;
    window.until_last(FAILED, "消息载入失败：服务暂时不可用，请稍后再试").await;
    keep_picture(&window, "history-failed").await;
    redis.restart().await;
    let deadline = tokio::time::Instant::now() + chat_tests::wait::SOON;
    while window.texts(BODY).await != ["kept"] {
        assert!(tokio::time::Instant::now() < deadline, "never loaded");
        window.run("document.querySelector('.history button')?.click()").await;
        chat_tests::wait::pace(Duration::from_millis(100)).await;
    }
    window.until("document.querySelector('.history').childElementCount === 0").await;
}
