//! The chat page under real keys and a real mouse, in a real browser.
//!
//! Invariant: what is typed goes through the browser's input, as a user's keys do.

use chat_tests::browser::{Browser, Window};
use chat_tests::node::Node;
use fantoccini::key::Key;

const APP: u32 = 101;

async fn enter(browser: &Browser, node: &Node, user: &str) -> Window {
    browser.enter(node.server(), APP, user).await
}

fn keys(keys: &[Key]) -> String {
    keys.iter().map(|key| char::from(*key)).collect()
}

#[tokio::test]
async fn two_people_type_and_talk() {
    let (node, browser) = tokio::join!(Node::ephemeral(&[]), Browser::start());
    let first = enter(&browser, &node, "张三").await;
    let second = enter(&browser, &node, "李四").await;

    first.type_into("#text", "你好 hello").await;
    assert_eq!(first.run("return document.getElementById('text').value").await, "你好 hello");
    first.type_into("#text", &keys(&[Key::Enter])).await;
    second.until_last(".message .body", "你好 hello").await;
    second.until_last(".message .from", "张三").await;
    first.until("document.querySelectorAll('.message.own:not(.pending)').length === 1").await;

    let line = format!("一{}二{}", keys(&[Key::Shift, Key::Enter]), char::from(Key::Null));
    second.type_into("#text", &line).await;
    second.click("#composer button[type='submit']").await;
    first.until_last(".message .body", "一\n二").await;
    assert_eq!(second.run("return document.getElementById('text').value").await, "");

    first.click("#people button[data-target='user:李四']").await;
    first.type_into("#text", &format!("悄悄话{}", keys(&[Key::Enter]))).await;
    second.click("#people button[data-target='user:张三']").await;
    second.until_last(".message .body", "悄悄话").await;
    assert_eq!(second.texts("#title").await, ["张三"]);
}

#[tokio::test]
async fn escape_closes_the_list_and_other_keys_do_not() {
    let (node, browser) = tokio::join!(Node::ephemeral(&[]), Browser::start());
    let window = enter(&browser, &node, "张三").await;
    window.resize(390, 844).await;
    window.click("#menu").await;
    window.until("document.getElementById('chat').classList.contains('menu-open')").await;
    window.type_into("#menu", "a").await;
    assert_eq!(window.run("return document.querySelector('.menu-open') !== null").await, true);
    window.type_into("#menu", &keys(&[Key::Escape])).await;
    window.until("!document.querySelector('.menu-open')").await;
}

/// Of a list that changes, no row that stays is taken out: between press and release that would undo a click.
#[tokio::test]
async fn a_row_that_stays_can_be_clicked_while_others_come() {
    let (node, browser) = tokio::join!(Node::ephemeral(&[]), Browser::start());
    let _second = node.login(APP, "second").await;
    let window = enter(&browser, &node, "reader").await;
    window.find("#people button[data-target='user:second']").await;
    window
        .run(
            "window.taken = []; new MutationObserver((changes) => changes.forEach(({ removedNodes }) => \
             removedNodes.forEach((row) => window.taken.push(row.firstChild.dataset.target)))) \
             .observe(document.getElementById('people'), { childList: true })",
        )
        .await;
    let _first = node.login(APP, "first").await;
    window.find("#people button[data-target='user:first']").await;
    assert_eq!(window.run("return window.taken").await, serde_json::json!([]));
}

/// Whoever writes between press and release moves up the list, but not from under the mouse.
#[tokio::test]
async fn a_row_that_is_pressed_is_clicked_though_it_would_move() {
    let (node, browser) = tokio::join!(Node::ephemeral(&[]), Browser::start());
    let _first = node.login(APP, "first").await;
    let mut second = node.login(APP, "second").await;
    let window = enter(&browser, &node, "reader").await;
    let row = "#people button[data-target='user:second']";
    window.find("#people button[data-target='user:first']").await;
    window.press(row).await;
    second.send("user:reader".parse().expect("a target"), "look").await.expect("it is sent");
    window.until_last(&format!("{row} .dot"), "1").await;
    window.release().await;
    window.until_last("#title", "second").await;
    // Somebody who stops aiming finds the latest on top.
    let second_row = "document.querySelectorAll('#people button')[1].dataset.target";
    window.until(&format!("{second_row} === 'user:second'")).await;
}

#[tokio::test]
async fn the_enter_of_an_input_method_sends_nothing() {
    let (node, browser) = tokio::join!(Node::ephemeral(&[]), Browser::start());
    let window = enter(&browser, &node, "张三").await;
    window.type_into("#text", "ni").await;
    // Safari tells of the Enter that ended a composition after its end, as key 229.
    let press = "const key = (more) => document.getElementById('text').dispatchEvent(new KeyboardEvent('keydown', \
                 { key: 'Enter', bubbles: true, cancelable: true, ...more })); \
                 return [key({ keyCode: 229 }), key({ isComposing: true }), key({})]";
    assert_eq!(window.run(press).await, serde_json::json!([true, true, false]));
    window.until("document.querySelectorAll('.message').length === 1").await;
}

#[tokio::test]
async fn a_name_is_asked_for_and_taken_by_keys() {
    let (node, browser) = tokio::join!(Node::ephemeral(&[]), Browser::start());
    let window = browser.window(&format!("{}/?appId={APP}", node.server())).await;
    window.type_into("#join-user", &format!("张三{}", keys(&[Key::Enter]))).await;
    window.until("document.getElementById('state')?.dataset.state === 'online'").await;
    assert_eq!(window.texts("#self").await, ["张三"]);
}
