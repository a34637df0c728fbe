//! Long lists on the chat page: of thousands of messages and names only those near what is seen are in the document.
//!
//! Invariant: none is left out, and none stands twice.

use chat_client::Session;
use chat_protocol::UserId;
use chat_tests::browser::{Browser, Window};
use chat_tests::node::Node;
use fantoccini::key::Key;
use serde_json::json;
use tokio::task::JoinSet;

const APP: u32 = 110;
const BODY: &str = ".message .body";
/// Messages of a long talk.
const MESSAGES: usize = 1_500;
/// Names of a large world: more than two pages of them.
const NAMES: usize = 1_100;
/// Lines in the document: those of who reads the end, and those of two steps of the way.
const MOST_LINES: u64 = 240 + 2 * 60;

fn key(key: Key) -> String {
    char::from(key).to_string()
}

/// Numbers of the lines in the document.
async fn numbers(window: &Window) -> Vec<usize> {
    let texts = window.texts(BODY).await;
    let number = |text: &String| text.strip_prefix("line ").and_then(|number| number.parse().ok());
    texts.iter().map(|text| number(text).unwrap_or_else(|| panic!("{text}"))).collect()
}

fn is_whole(numbers: &[usize]) -> bool {
    numbers.windows(2).all(|pair| pair[1] == pair[0] + 1)
}

#[tokio::test]
async fn a_long_talk_is_walked_from_its_end_to_its_beginning_and_back() {
    let (node, browser) = tokio::join!(Node::ephemeral(&[]), Browser::start());
    let mut speaker = node.login(APP, "speaker").await;
    for number in 1..=MESSAGES {
        speaker.send("".parse().expect("the world"), &format!("line {number}")).await.expect("sent");
    }
    let window = browser.enter(node.server(), APP, "reader").await;
    window.until_last(BODY, &format!("line {MESSAGES}")).await;
    let first = "document.querySelector('.message .body').textContent";
    let top = "document.querySelector('.message .body').getBoundingClientRect().top > 0";
    let mut most = 0;
    let mut shown = numbers(&window).await;
    while shown[0] > 1 {
        let before = shown[0];
        window.type_into("#log", &key(Key::Home)).await;
        window.until(&format!("{first} !== 'line {before}'")).await;
        shown = numbers(&window).await;
        assert!(is_whole(&shown), "{shown:?}");
        most = most.max(shown.len() as u64);
    }
    assert!(most <= MOST_LINES, "{most} lines");
    // What comes meanwhile is not in the document, and is told.
    speaker.send("".parse().expect("the world"), &format!("line {}", MESSAGES + 1)).await.expect("sent");
    window.until_last("#to-end", "1 条新消息 ↓").await;
    assert!(!numbers(&window).await.contains(&(MESSAGES + 1)));
    window.until(&format!("(document.getElementById('log').scrollTop = -1e9) && {top}")).await;
    // Down again, a screen at a time.
    let mut last = *shown.last().expect("a line");
    let below = "const log = document.getElementById('log'); log.scrollTop += 3 * log.clientHeight; \
                 return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done())))";
    while last <= MESSAGES {
        window.run(below).await;
        shown = numbers(&window).await;
        assert!(is_whole(&shown), "{shown:?}");
        assert!(shown.len() as u64 <= MOST_LINES, "{} lines", shown.len());
        last = *shown.last().expect("a line");
    }
    window.type_into("#log", &key(Key::End)).await;
    window.until("document.getElementById('to-end').hidden").await;
    // From far above the button leads to the end at once, and so does what one writes.
    for _ in 0..6 {
        window.type_into("#log", &key(Key::Home)).await;
    }
    window.type_into("#text", &format!("line {}{}", MESSAGES + 2, key(Key::Enter))).await;
    window.until("document.querySelectorAll('.message.own:not(.pending)').length === 1").await;
    shown = numbers(&window).await;
    assert!(is_whole(&shown) && shown.last() == Some(&(MESSAGES + 2)), "{shown:?}");
    assert!(window.complaints().await.is_empty());
}

#[tokio::test]
async fn many_names_are_scrolled_and_walked_through_by_keys() {
    let quiet = ["--presence-announce-limit", "1"];
    let (node, browser) = tokio::join!(Node::ephemeral(&quiet), Browser::start());
    let mut crowd = JoinSet::new();
    for number in 1..=NAMES {
        let server = node.server().clone();
        let user = UserId::new(&format!("u{number:04}")).expect("a valid name");
        crowd.spawn(async move { Session::login(&server, APP, &user).await.expect("logged in") });
    }
    let _crowd = crowd.join_all().await;
    let window = browser.enter(node.server(), APP, "reader").await;
    window.until(&format!("document.getElementById('count').textContent === '在线 {} 人'", NAMES + 1)).await;
    window.find("#people button[data-target='user:u0001']").await;
    // Down to the end, for which further pages are asked for on the way.
    let walk = format!(
        "const list = document.getElementById('people'); \
         const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 20))); \
         return (async () => {{ const seen = []; let most = 0; \
           for (let tries = 0; tries < 3000 && seen.length < {}; tries += 1) {{ \
             for (const button of list.querySelectorAll('button')) \
               if (!seen.includes(button.dataset.target)) seen.push(button.dataset.target); \
             most = Math.max(most, list.childElementCount); \
             list.scrollTop += 400; await frame(); }} \
           return [seen, most] }})()",
        NAMES + 2
    );
    let walked = window.run(&walk).await;
    let names = std::iter::once(String::new()).chain(std::iter::once("user:reader".to_owned()));
    let mut expected: Vec<_> = names.chain((1..=NAMES).map(|number| format!("user:u{number:04}"))).collect();
    let mut seen: Vec<String> = serde_json::from_value(walked[0].clone()).expect("targets");
    expected.sort();
    seen.sort();
    assert_eq!(seen, expected);
    assert!(walked[1].as_u64().is_some_and(|most| most < 80), "{} rows in the document", walked[1]);

    // By keys: one stop, and the arrows lead through all of it.
    let focused = "document.activeElement.dataset.target";
    window.run("document.getElementById('people').scrollTop = 0").await;
    window.type_into("#search", &key(Key::Down)).await;
    window.until(&format!("{focused} === ''")).await;
    for (press, target) in [
        (Key::Down, "user:u0001"),
        (Key::Down, "user:u0002"),
        (Key::End, "user:u1100"),
        (Key::Up, "user:u1099"),
    ] {
        // One's own name does nothing, and is passed by.
        window.press_key(&key(press)).await;
        window.until(&format!("{focused} === {}", json!(target))).await;
    }
    let stops =
        "[...document.querySelectorAll('#people button')].filter(({ tabIndex }) => tabIndex === 0).length";
    window.until(&format!("{stops} === 1")).await;
    window.press_key(&key(Key::Enter)).await;
    window.until_last("#title", "u1099").await;
    assert!(window.complaints().await.is_empty());
}
