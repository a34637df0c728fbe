//! Windows over the chat on a phone: however long the names in one are, what is to be pressed stays where it can be.
//!
//! Invariant: the names are the longest that chatd takes, in wide letters; what is measured is the browser's layout.

use std::sync::LazyLock;

use chat_tests::browser::{Browser, Window, keep_picture};
use chat_tests::files::{APP, carrying, png, upload};
use chat_tests::node::Node;
use fantoccini::key::Key;
use serde_json::{Value, json};

/// Names of as many bytes as a name may have: Latin ones of 64 letters, Chinese ones of 21.
static WIDE: LazyLock<String> = LazyLock::new(|| "W".repeat(64));
static LONG: LazyLock<String> = LazyLock::new(|| "名".repeat(21));
const READER: &str = "reader";
/// Groups of the reader and of somebody else, whose names have 128 bytes.
const OWN: &str = "own";
const OTHERS: &str = "others";
/// Inside, in CSS pixels.
const PHONES: [(u32, u32); 2] = [(320, 640), (390, 844)];
/// What in the open window cannot be pressed: brought into view, it is not in the window, something covers it, or it is
/// smaller than a finger; and whether anything is wider than it may be.
const ASTRAY: &str = "const dialog = document.querySelector('dialog[open]');
    const { left, right, top, bottom } = dialog.getBoundingClientRect();
    const wrong = [];
    if (left < 0 || top < 0 || right > innerWidth || bottom > innerHeight) wrong.push('the window leaves the screen');
    if (dialog.scrollWidth > dialog.clientWidth) wrong.push('the window scrolls to the side');
    if (document.documentElement.scrollWidth > innerWidth) wrong.push('the page scrolls to the side');
    const pressed = [...dialog.querySelectorAll('button, a, input, select')].filter((node) => node.checkVisibility());
    if (pressed.length === 0) wrong.push('nothing can be pressed');
    for (const node of pressed) {
      node.scrollIntoView({ block: 'nearest' });
      const box = node.getBoundingClientRect();
      const name = `${node.className} ${node.textContent}`.slice(0, 60);
      const isInside = box.left >= left && box.right <= right && box.top >= top && box.bottom <= bottom;
      const at = document.elementFromPoint((box.left + box.right) / 2, (box.top + box.bottom) / 2);
      if (!isInside || !node.contains(at)) wrong.push(`${name} cannot be pressed`);
      if (Math.min(box.width, box.height) < 39.5) wrong.push(`${name} is ${box.width} by ${box.height}`);
    }
    return wrong";

/// What the talk is steered with and is not in view, and what else is wrong: a hint in the field that is cut, a header
/// that grows, a title of which nothing is left.
const FITS: &str = "const seen = [...document.querySelectorAll('header > *, header button, #composer > *')]
      .filter((node) => node.checkVisibility() && !node.matches('.unseen'));
    const out = seen.filter((node) => { const { left, right, top, bottom } = node.getBoundingClientRect();
      return left < 0 || top < 0 || right > innerWidth || bottom > innerHeight })
      .map(({ id, className }) => `${id} ${className} is not in view`);
    const text = document.getElementById('text');
    const { font, paddingLeft, paddingRight } = getComputedStyle(text);
    const ruler = document.createElement('canvas').getContext('2d');
    ruler.font = font;
    const room = text.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight);
    if (ruler.measureText(text.placeholder).width > room) out.push(`${text.placeholder} is cut`);
    if (document.documentElement.scrollWidth > innerWidth) out.push('the page scrolls to the side');
    const { height } = document.querySelector('header').getBoundingClientRect();
    if (height > 60) out.push(`the header is ${height} high`);
    if (document.getElementById('title').offsetWidth < 60) out.push('nothing is left of the title');
    return out";

fn key(key: Key) -> String {
    char::from(key).to_string()
}

fn row(target: &str) -> String {
    format!("#people button[data-target='{target}']")
}

async fn call(node: &Node, path: &str, data: Value) {
    let mut data = data;
    data["appId"] = json!(APP);
    node.http().call_raw(path, &data).await.unwrap_or_else(|error| panic!("{path}: {error}"));
}

/// A world in which everything that has a window has long names in it: its messages are a picture and a red packet.
async fn world(node: &Node) {
    for (owner, group, name) in [(READER, OWN, "长".repeat(42)), (WIDE.as_str(), OTHERS, "W".repeat(128))] {
        call(node, "/group/create", json!({"userId": owner, "groupId": group, "name": name})).await;
        for user in [READER, WIDE.as_str(), LONG.as_str()].into_iter().filter(|user| *user != owner) {
            call(node, "/group/join", json!({"userId": user, "groupId": group})).await;
        }
    }
    for user in [&*WIDE, &*LONG] {
        let asked = json!({"userId": user, "friendId": READER, "greeting": "W".repeat(200)});
        call(node, "/friend/request", asked).await;
        call(node, "/user/sendMessage", json!({"userId": READER, "from": user, "message": "hello"})).await;
    }
    call(node, "/wallet/deposit", json!({"userId": *WIDE, "amount": 100_000, "transferId": "d"})).await;
    let mut wide = node.login(APP, &WIDE).await;
    let file = upload(node.server(), &WIDE, "", &png(200, 900)).await;
    wide.request("msg", &carrying("img", "", &file)).await.expect("a picture");
    let packet = json!({"target": "", "total": 100, "count": 3, "mode": "equal", "greeting": "W".repeat(80)});
    let packet = wide.request("redPacket/create", &packet).await.expect("a packet");
    for user in [&*WIDE, &*LONG] {
        let taken = json!({"userId": user, "packetId": packet["packetId"]});
        call(node, "/redPacket/grab", taken).await;
    }
}

/// A page as wide and high as a phone, which its browser cannot make a window.
async fn narrow(window: &Window, width: u32, height: u32) {
    let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
    window.devtools("Emulation.setDeviceMetricsOverride", size).await;
    window.until(&format!("innerWidth === {width} && innerHeight === {height}")).await;
}

/// Opens a window by what is pressed for it, waits for what is in it at last, and looks for what is astray in it.
async fn holds_together(window: &Window, press: &str, last: &str, name: &str) {
    // Within a log that grows upwards the driver does not get there by itself.
    window
        .run(&format!("document.querySelector({}).scrollIntoView({{ block: 'nearest' }})", json!(press)))
        .await;
    window.click(press).await;
    window.until(&format!("document.querySelector({})?.checkVisibility()", json!(last))).await;
    let width = window.run("return innerWidth").await;
    keep_picture(window, &format!("narrow-{name}-{width}")).await;
    assert_eq!(window.run(ASTRAY).await, json!([]), "{name}, {width} px");
}

async fn escape(window: &Window) {
    window.press_key(&key(Key::Escape)).await;
    window.until("!document.querySelector('dialog')").await;
}

/// The windows of the world: of people, of friends, of a picture, of a red packet, and of what is new.
async fn windows_of_the_world_hold_together(window: &Window) {
    for (press, last, name) in [
        (".message .who", "dialog .block", "card"),
        (".picture", "dialog.viewer img[src]", "viewer"),
        (".packet", "dialog .winners li:nth-child(2) .money", "packet"),
        ("#red-packet", "#packet-total", "new-packet"),
        ("#profile", "dialog .balance:not(:empty)", "profile"),
    ] {
        holds_together(window, press, last, name).await;
        escape(window).await;
    }
    for (press, last, name) in
        [("#friends", "dialog .requests li:nth-child(2) .accept", "friends"), ("#add", "#friend-name", "new")]
    {
        window.click("#menu").await;
        holds_together(window, press, last, name).await;
        // It takes the list away, too.
        escape(window).await;
        window.until("!document.querySelector('.menu-open')").await;
    }
}

/// The windows of a group: who is in it, and the questions before somebody goes or all of it does.
async fn windows_of_groups_hold_together(window: &Window) {
    for (group, press) in [(OWN, ".kick"), (OWN, ".leaving"), (OTHERS, ".leaving")] {
        window.click("#menu").await;
        window.click(&row(&format!("group:{group}"))).await;
        holds_together(window, "#details", "dialog .members li:nth-child(3)", group).await;
        holds_together(window, press, "dialog .danger", &format!("{group}{press}")).await;
        escape(window).await;
    }
    window.click("#menu").await;
    window.click(&row("")).await;
}

#[tokio::test]
async fn no_name_pushes_a_button_out_of_its_window() {
    let (node, browser) = tokio::join!(Node::ephemeral(&[]), Browser::start());
    world(&node).await;
    // Of a page in a language of longer words there is less room.
    let english = "localStorage.setItem('chat.language', 'en')";
    let window = browser.enter_with(english, node.server(), APP, READER).await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join(format!("{}.png", "W".repeat(200)));
    std::fs::write(&file, png(20, 20)).expect("written");
    for (width, height) in PHONES {
        narrow(&window, width, height).await;
        window.until("document.querySelectorAll('.message .picture, .message .packet').length === 2").await;
        windows_of_the_world_hold_together(&window).await;
        windows_of_groups_hold_together(&window).await;
        window.type_into("#files", file.to_str().expect("a path")).await;
        window.until("document.querySelector('.offered img')?.naturalWidth === 20").await;
        keep_picture(&window, &format!("narrow-files-{width}")).await;
        assert_eq!(window.run(ASTRAY).await, json!([]), "files, {width} px");
        escape(&window).await;
    }
    assert!(window.complaints().await.is_empty());
}

/// The talk itself, on every screen.
#[tokio::test]
async fn no_title_pushes_anything_out_of_the_page() {
    let (node, browser) = tokio::join!(Node::ephemeral(&[]), Browser::start());
    world(&node).await;
    for language in ["en", "zh"] {
        let chosen = format!("localStorage.setItem('chat.language', '{language}')");
        let window = browser.enter_with(&chosen, node.server(), APP, READER).await;
        for target in ["group:own", "group:others", &format!("user:{}", *WIDE), &format!("user:{}", *LONG)] {
            // A desk first, on which the list is in view.
            for (width, height) in [(1280, 800), (768, 1024), (390, 844), (320, 640)] {
                narrow(&window, width, height).await;
                if width == 1280 {
                    window.click(&row(target)).await;
                    window.until("!document.getElementById('details').hidden").await;
                }
                assert_eq!(window.run(FITS).await, json!([]), "{target}, {language}, {width} px");
            }
        }
    }
}
