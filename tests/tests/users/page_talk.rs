//! What somebody does with the chat page beside reading: taking back, writing without a connection, finding people, and
//! the language.
//!
//! Invariant: by keys and clicks, in a real browser.

use chat_client::Session;
use chat_tests::browser::{Browser, keep_picture};
use chat_tests::fault_proxy::FaultProxy;
use chat_tests::node::Node;
use chat_tests::talk::texts;
use fantoccini::key::Key;
use serde_json::json;

const APP: u32 = 106;
const BODY: &str = ".message .body";

fn enter_key() -> char {
    Key::Enter.into()
}

async fn say(session: &mut Session, target: &str, text: &str) {
    session.send(target.parse().expect("a target"), text).await.expect("it is sent");
}

#[tokio::test]
async fn a_message_is_taken_back_by_its_button() {
    let (node, browser) = tokio::join!(Node::ephemeral(&[]), Browser::start());
    let (writer, reader) =
        (browser.enter(node.server(), APP, "马远").await, browser.enter(node.server(), APP, "马超").await);
    writer.type_into("#text", &format!("too early{}", enter_key())).await;
    reader.until_last(BODY, "too early").await;
    assert_eq!(reader.texts(".recall").await.len(), 0);
    let list = "document.getElementById('people').textContent.includes";
    reader.until(&format!("{list}('too early')")).await;
    writer.until("document.querySelector('.message.own:not(.pending) .recall')").await;
    writer.click(".recall").await;
    for window in [&writer, &reader] {
        window.until_last(BODY, "消息已撤回").await;
        window.until(&format!("!{list}('too early') && {list}('消息已撤回')")).await;
        assert_eq!(window.texts(".recall").await.len(), 0);
    }
}

/// What is written while there is no connection waits, says so, and arrives once, in the order of writing.
#[tokio::test]
async fn what_is_written_without_a_connection_is_sent_when_there_is_one() {
    let (node, browser) = tokio::join!(Node::ephemeral(&[]), Browser::start());
    let proxy = FaultProxy::start(node.server().authority().parse().expect("an address")).await;
    let mut other = node.login(APP, "other").await;
    let window = browser.enter(format!("http://{}", proxy.address()), APP, "writer").await;
    proxy.cut();
    window.until("document.getElementById('state').dataset.state !== 'online'").await;
    for text in ["one", "two"] {
        window.type_into("#text", &format!("{text}{}", enter_key())).await;
    }
    window.until("document.querySelectorAll('.message.own.pending .queued').length === 2").await;
    keep_picture(&window, "queued").await;
    proxy.heal();
    window.until("document.querySelectorAll('.message.own:not(.pending)').length === 2").await;
    assert_eq!(window.texts(".queued").await.len(), 0);
    assert_eq!(texts(&mut other, 2).await, ["one", "two"]);
    say(&mut other, "", "three").await;
    window.until_last(BODY, "three").await;
    assert_eq!(window.texts(BODY).await, ["one", "two", "three"]);
}

#[tokio::test]
async fn who_reads_above_is_told_how_much_came_and_led_back() {
    let (node, browser) = tokio::join!(Node::ephemeral(&[]), Browser::start());
    let mut other = node.login(APP, "other").await;
    for number in 1..=50 {
        say(&mut other, "", &format!("line {number}")).await;
    }
    let window = browser.enter(node.server(), APP, "reader").await;
    window.until_last(BODY, "line 50").await;
    assert_eq!(window.run("return document.getElementById('to-end').hidden").await, true);
    window.run("document.querySelectorAll('.message')[5].scrollIntoView()").await;
    window.until_last("#to-end", "回到最新 ↓").await;
    for text in ["new 1", "new 2"] {
        say(&mut other, "", text).await;
    }
    window.until_last("#to-end", "2 条新消息 ↓").await;
    window.click("#to-end").await;
    window
        .until("document.getElementById('to-end').hidden && document.getElementById('log').scrollTop === 0")
        .await;
}

#[tokio::test]
async fn an_address_in_a_text_can_be_opened_and_one_of_this_server_cannot() {
    let (node, browser) = tokio::join!(Node::ephemeral(&[]), Browser::start());
    let mut other = node.login(APP, "other").await;
    let window = browser.enter(node.server(), APP, "reader").await;
    let own = format!("{}/user/sendMessage?appId={APP}&userId=a&message=b", node.server());
    let text =
        format!("（https://example.com/a?b=1。） {own} http://user:secret@example.com/ javascript:alert(1)");
    say(&mut other, "", &text).await;
    window.until_last(BODY, &text).await;
    let links = "return [...document.querySelectorAll('.message .body a')].map(({ href, textContent, rel, target }) => \
                 [href, textContent, rel, target])";
    let address = "https://example.com/a?b=1";
    assert_eq!(window.run(links).await, json!([[address, address, "noopener noreferrer", "_blank"]]));
}

#[tokio::test]
async fn somebody_is_found_by_a_part_of_the_name_or_by_all_of_it() {
    let (node, browser) = tokio::join!(Node::ephemeral(&[]), Browser::start());
    let _others = tokio::join!(node.login(APP, "Zhang Fei"), node.login(APP, "Guan Yu"));
    let window = browser.enter(node.server(), APP, "reader").await;
    window.find("#people button[data-target='user:Guan Yu']").await;
    window.type_into("#search", "zhang").await;
    let shown =
        "[...document.querySelectorAll('#people button')].map(({ dataset }) => dataset.target).join()";
    window.until(&format!("{shown} === 'user:Zhang Fei,user:zhang'")).await;
    window.click("#people button[data-target='user:zhang']").await;
    window.until_last("#title", "zhang").await;
    window.type_into("#text", &format!("are you there?{}", enter_key())).await;
    window.until("document.querySelectorAll('.message.own:not(.pending)').length === 1").await;
    let history = json!({"appId": APP, "userId": "zhang", "target": "user:reader"});
    let history = node.http().call_raw("/message/history", &history).await.expect("a history");
    assert_eq!(history["messages"][0]["msg"], "are you there?");
}

#[tokio::test]
async fn the_language_is_switched_and_kept_and_each_has_all_words() {
    let (node, browser) = tokio::join!(Node::ephemeral(&[]), Browser::start());
    let window = browser.enter(node.server(), APP, "reader").await;
    window.until_last("#state", "已连接").await;
    window.click("#profile").await;
    window.click(".language").await;
    for _ in 0..2 {
        window.until_last("#state[data-state='online']", "Connected").await;
        assert_eq!(
            window.run("return [document.documentElement.lang, document.title.split(' · ')[1]]").await,
            json!(["en", "Chat"])
        );
        window.enter_again().await;
    }
    let shapes = "const shape = (words) => Object.entries(words).map(([key, value]) => \
                    [key, typeof value === 'object' ? shape(value) : `${typeof value} ${value.length > 0 && typeof value === 'function' ? value.length : ''}`]) \
                    .sort(([a], [b]) => (a < b ? -1 : 1)); \
                  return Promise.all(['zh', 'en'].map((language) => import(`/home/words-${language}.js`))) \
                    .then((all) => all.map((words) => shape(words.default)))";
    let shapes = window.run(shapes).await;
    assert!(shapes[0].as_array().is_some_and(|words| words.len() > 100), "{shapes}");
    assert_eq!(shapes[0], shapes[1]);
}
