//! The chat page for who does not see it, who has no mouse, and who wants nothing to move.
//!
//! Invariant: what is asked is the browser's own tree of accessibility, and its own keys.

use std::time::{Duration, Instant};

use chat_tests::browser::{Browser, Window};
use chat_tests::devtools::Accessible;
use chat_tests::node::Node;
use chat_tests::talk::next_text;
use chat_tests::wait::pace;
use fantoccini::key::Key;
use serde_json::json;

const APP: u32 = 111;
const BODY: &str = ".message .body";
/// What somebody may use, or go to.
const USED: [&str; 12] = [
    "button",
    "link",
    "textbox",
    "searchbox",
    "combobox",
    "checkbox",
    "spinbutton",
    "dialog",
    "log",
    "navigation",
    "heading",
    "image",
];
/// The least contrast of texts, hints in fields among them, on what is behind them, as pale as they are drawn, by
/// WCAG 2.2, 1.4.3 (AA); of pairs that have less, the words.
const PALE: &str = "const channel = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
    const color = (text) => text.match(/[\\d.]+/g).map(Number);
    const behind = (node) => {
      for (; node; node = node.parentElement) {
        const [r, g, b, a = 1] = color(getComputedStyle(node).backgroundColor);
        if (a === 1) return [r, g, b];
      }
      return [255, 255, 255];
    };
    const opacity = (node) => (node ? getComputedStyle(node).opacity * opacity(node.parentElement) : 1);
    const isText = (node) => (node.placeholder && !node.value)
      || [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    // One's own row does nothing, and is read all the same.
    const texts = [...document.querySelectorAll('body *')].filter((node) => isText(node)
      && node.checkVisibility({ checkOpacity: true }) && !node.closest('.unseen, :disabled:not(#people *)'));
    return texts.map((node) => {
      const [back, part] = [behind(node), opacity(node)];
      const [r, g, b, a = 1] = color(getComputedStyle(node, node.placeholder ? '::placeholder' : null).color);
      const front = [r, g, b].map((value, at) => back[at] + (value - back[at]) * a * part);
      const [one, other] = [luminance(front), luminance(back)];
      const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
      const words = node.placeholder ?? node.textContent;
      return contrast < 4.5 ? `${contrast.toFixed(2)} ${node.className} ${words}` : '';
    }).filter(Boolean)";

fn key(key: Key) -> String {
    char::from(key).to_string()
}

fn has(found: &[Accessible], role: &str, name: &str) {
    assert!(found.iter().any(|one| one.role == role && one.name == name), "no {role} {name}: {found:?}");
}

/// Everything there is has a name, and every text can be read, on light and on dark.
async fn is_accessible(window: &Window, place: &str) -> Vec<Accessible> {
    let found = window.accessible().await;
    let nameless: Vec<_> =
        found.iter().filter(|one| USED.contains(&one.role.as_str()) && one.name.trim().is_empty()).collect();
    assert!(nameless.is_empty(), "{place}: {nameless:?}");
    let twice = "const ids = [...document.querySelectorAll('[id]')].map(({ id }) => id); \
                 return ids.filter((id, at) => ids.indexOf(id) !== at)";
    assert_eq!(window.run(twice).await, json!([]), "{place}");
    for scheme in ["light", "dark"] {
        window.prefer("prefers-color-scheme", scheme).await;
        assert_eq!(window.run(PALE).await, json!([]), "{place}, {scheme}");
    }
    found
}

#[tokio::test]
async fn a_screen_reader_finds_everything_by_its_name() {
    let (node, browser) = tokio::join!(Node::ephemeral(&[]), Browser::start());
    let join = browser.window(&format!("{}/?appId={APP}", node.server())).await;
    join.find("#join-user").await;
    let found = is_accessible(&join, "the form").await;
    for (role, name) in [("heading", "进入聊天室"), ("textbox", "昵称"), ("button", "进入")] {
        has(&found, role, name);
    }
    let mut other = node.login(APP, "other").await;
    let group = json!({"groupId": "g", "name": "长安"});
    other.request("group/create", &group).await.expect("created");
    let deposit = json!({"appId": APP, "userId": "other", "amount": 1000, "transferId": "t"});
    node.http().call_raw("/wallet/deposit", &deposit).await.expect("money");
    other.request("friend/request", &json!({"friendId": "reader", "greeting": "hi"})).await.expect("asked");
    let window = browser.enter(node.server(), APP, "reader").await;
    other.send("".parse().expect("the world"), "hello https://example.com/").await.expect("sent");
    let packet = json!({"target": "", "total": 100, "count": 2, "greeting": "恭喜"});
    other.request("redPacket/create", &packet).await.expect("a packet");
    window.type_into("#text", &format!("own https://example.org/{}", key(Key::Enter))).await;
    window
        .until("document.querySelector('.message.own:not(.pending)') && document.querySelector('.packet')")
        .await;
    let waits = "document.querySelector('.message.own').classList.toggle('pending')";
    window.run(waits).await;
    is_accessible(&window, "a message that waits to be sent").await;
    window.run(waits).await;
    let found = is_accessible(&window, "the talk").await;
    for (role, name) in [
        ("heading", "世界"),
        ("navigation", "会话"),
        ("log", "消息"),
        ("textbox", "消息"),
        ("searchbox", "查找或输入名字"),
        ("button", "发送"),
        ("button", "发红包"),
        ("button", "撤回"),
        ("link", "https://example.com/"),
    ] {
        has(&found, role, name);
    }
    for (open, name) in [
        ("#add", "新建"),
        ("#friends", "好友"),
        ("#red-packet", "发红包"),
        ("#profile", "我的"),
        (".message .who", "用户资料"),
        (".packet", "\u{2068}other\u{2069} 的红包"),
    ] {
        window.click(open).await;
        let found = is_accessible(&window, name).await;
        has(&found, "dialog", name);
        window.press_key(&key(Key::Escape)).await;
        window.until("!document.querySelector('dialog')").await;
        // The focus is where it was.
        window.until(&format!("document.activeElement?.matches('{open}')")).await;
    }
    assert!(window.complaints().await.is_empty());
}

/// Presses a key until the focus is on what a selector means; a person would not press it more often, either.
async fn walk(window: &Window, presses: &str, selector: &str) {
    let is_there = format!("return document.activeElement.matches({})", json!(selector));
    for _ in 0..15 {
        if window.run(&is_there).await == true {
            return;
        }
        window.press_key(presses).await;
    }
    panic!("no way to {selector}; at {}", window.run("return document.activeElement.outerHTML").await);
}

/// From the form to a talk with somebody, a message that is taken back, a group and a friend, without a mouse.
#[tokio::test]
async fn keys_alone_suffice_for_a_whole_conversation() {
    let (node, browser) = tokio::join!(Node::ephemeral(&[]), Browser::start());
    let mut other = node.login(APP, "other").await;
    let window = browser.window(&format!("{}/?appId={APP}", node.server())).await;
    window.press_key(&format!("键盘{}", key(Key::Enter))).await;
    window.until("document.getElementById('state')?.dataset.state === 'online'").await;
    window.find("#people button[data-target='user:other']").await;
    let back = format!("{}{}", char::from(Key::Shift), char::from(Key::Tab));

    walk(&window, &key(Key::Tab), "#search").await;
    window.press_key(&key(Key::Down)).await;
    walk(&window, &key(Key::Down), "[data-target='user:other']").await;
    window.press_key(&key(Key::Enter)).await;
    window.until("document.activeElement.id === 'text'").await;
    window.press_key(&format!("by keys{}", key(Key::Enter))).await;
    assert_eq!(next_text(&mut other).await, "by keys");
    other.send("user:键盘".parse().expect("a target"), "well done").await.expect("sent");
    window.until_last(BODY, "well done").await;
    window.until("document.querySelector('.message.own:not(.pending) .recall')").await;
    walk(&window, &back, ".recall").await;
    window.until("getComputedStyle(document.activeElement).opacity === '1'").await;
    window.press_key(&key(Key::Enter)).await;
    window.until("document.querySelector('.message.own .body').textContent === '消息已撤回'").await;

    walk(&window, &key(Key::Tab), ".message .who").await;
    window.press_key(&key(Key::Enter)).await;
    walk(&window, &key(Key::Tab), "dialog .add-friend").await;
    window.press_key(&key(Key::Enter)).await;
    window.until("[...document.querySelectorAll('dialog .hint')].some(({ textContent }) => textContent === '已申请，等待对方同意')").await;
    window.press_key(&key(Key::Escape)).await;
    window.until("document.activeElement.matches('.message .who')").await;
    walk(&window, &back, "#add").await;
    window.press_key(&key(Key::Enter)).await;
    walk(&window, &key(Key::Tab), "#group-name").await;
    window.press_key(&format!("长安{}", key(Key::Enter))).await;
    window.until_last("#title", "长安").await;
    window.until("document.activeElement.id === 'text'").await;
    assert!(window.complaints().await.is_empty());
}

#[tokio::test]
async fn nothing_turns_for_who_wants_nothing_to_move() {
    let (node, browser) = tokio::join!(Node::ephemeral(&[]), Browser::start());
    let window = browser.enter(node.server(), APP, "reader").await;
    let moves = "const node = document.createElement('button'); node.className = 'packet-open turning'; \
                 document.body.append(node); const { animationName } = getComputedStyle(node); \
                 node.remove(); return animationName";
    assert_eq!(window.run(moves).await, "turn");
    window.prefer("prefers-reduced-motion", "reduce").await;
    assert_eq!(window.run(moves).await, "none");
}

/// Of many messages a screen reader is told how many they were; of one, what it says.
#[tokio::test]
async fn what_is_read_aloud_keeps_quiet_while_many_speak() {
    let (node, browser) = tokio::join!(Node::ephemeral(&[]), Browser::start());
    let mut speaker = node.login(APP, "speaker").await;
    let window = browser.enter(node.server(), APP, "reader").await;
    // Whatever is read aloud when it changes.
    let watch = "window.aloud = []; const is = (node) => { \
                 const live = node.closest('[aria-live], [role=status], [role=alert], [role=log]'); \
                 return live && live.getAttribute('aria-live') !== 'off' }; \
                 new MutationObserver((changes) => { for (const { target } of changes) { \
                   const node = target.nodeType === 1 ? target : target.parentElement; \
                   if (node && is(node)) aloud.push(node.textContent) } }) \
                 .observe(document.body, { subtree: true, childList: true, characterData: true })";
    window.run(watch).await;
    speaker.send("".parse().expect("the world"), "alone").await.expect("sent");
    window.until("aloud.at(-1) === '\u{2068}speaker\u{2069}: alone'").await;
    let began = Instant::now();
    for number in 1..=200 {
        speaker.send("".parse().expect("the world"), &format!("line {number}")).await.expect("sent");
        pace(Duration::from_millis(20)).await;
    }
    window.until_last(BODY, "line 200").await;
    window.until("aloud.at(-1).endsWith(' 条新消息')").await;
    let said = window.run("return aloud").await;
    let most = 2 + began.elapsed().as_secs() / 4;
    assert!(said.as_array().is_some_and(|said| said.len() as u64 <= most), "{said}");
}
