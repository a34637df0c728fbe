//! What people write to break the chat page, or to make it do something: it is shown, as text, in its place.
//!
//! Invariant: nothing of it runs, is fetched, or reaches out of the line it was written in.

use chat_client::Session;
use chat_tests::browser::{Browser, Window, keep_picture};
use chat_tests::node::Node;
use serde_json::json;

const APP: u32 = 113;
const BODY: &str = ".message .body";

const MARKUP: [&str; 6] = [
    "<script>document.title = 'run'</script>",
    "<img src=x onerror=\"document.title = 'run'\">",
    "<svg/onload=alert(1)>",
    "</li></ol><h1>free</h1>",
    "&lt;b&gt;&#x202e;",
    "{{constructor.constructor('document.title=1')()}} ${document.title = 1} `",
];
const SCHEMES: [&str; 9] = [
    "javascript:document.title='run'",
    "JaVaScRiPt://%0adocument.title='run'",
    "data:text/html,<script>opener.document.title='run'</script>",
    "vbscript:msgbox(1)",
    "file:///etc/passwd",
    "blob:http://127.0.0.1/1",
    "view-source:http://example.com/",
    "https:\\\\example.com\\path",
    "http://[::1",
];

async fn say(session: &mut Session, text: &str) {
    session.send("".parse().expect("the world"), text).await.expect("it is sent");
}

/// The page is as it was: its frame fits the window, and nothing but its own words and links came into it.
async fn is_unharmed(window: &Window) {
    let state = window
        .run(
            "const inside = [...document.querySelectorAll('.message .body *')].map(({ localName }) => localName);
             const links = [...document.querySelectorAll('.message .body a')].map(({ protocol }) => protocol);
             return { title: document.title.endsWith(' · 聊天室'), odd: inside.filter((name) => name !== 'a'),
               links: links.filter((one) => one !== 'https:' && one !== 'http:'),
               wide: document.documentElement.scrollWidth > innerWidth
                 || document.getElementById('log').scrollWidth > document.getElementById('log').clientWidth,
               foreign: performance.getEntriesByType('resource').map(({ name }) => name)
                 .filter((name) => !name.startsWith(location.origin)) }",
        )
        .await;
    let expected = json!({"title": true, "odd": [], "links": [], "wide": false, "foreign": []});
    assert_eq!(state, expected);
    let complaints = window.complaints().await;
    assert!(complaints.is_empty(), "{complaints:?}");
}

#[tokio::test]
async fn markup_and_odd_addresses_are_words() {
    let (node, browser) = tokio::join!(Node::ephemeral(&[]), Browser::start());
    let mut odd = node.login(APP, "<b onclick=alert(1)>").await;
    let window = browser.enter(node.server(), APP, "reader").await;
    for text in MARKUP.iter().chain(&SCHEMES) {
        say(&mut odd, text).await;
        window.until_last(BODY, text).await;
        for kind in ["img", "video", "audio"] {
            if text.starts_with("https:") {
                // However it is written, this is one from which pictures come.
                continue;
            }
            let file = json!({"target": "", "type": kind, "url": text, "msg": text});
            // Whether chatd takes such an address is its affair.
            let _ = odd.request("msg", &file).await;
        }
    }
    let group = json!({"groupId": "g", "name": MARKUP[1]});
    odd.request("group/create", &group).await.expect("created");
    node.http()
        .call_raw("/group/join", &json!({"appId": APP, "groupId": "g", "userId": "reader"}))
        .await
        .expect("joined");
    let greeting = json!({"friendId": "reader", "greeting": MARKUP[0]});
    odd.request("friend/request", &greeting).await.expect("asked");
    window.until_last("#people button[data-target='group:g'] .name", MARKUP[1]).await;
    window.click("#people button[data-target='group:g']").await;
    window.until_last("#title", MARKUP[1]).await;
    window.click("#friends").await;
    window.until_last(".requests .hint", MARKUP[0]).await;
    window.until_last(".requests .name", "<b onclick=alert(1)>").await;
    keep_picture(&window, "hostile-markup").await;
    window.run("document.querySelector('dialog').close()").await;
    window.click("#people button[data-target='']").await;
    is_unharmed(&window).await;
}

#[tokio::test]
async fn signs_that_pile_up_or_turn_around_stay_in_their_line() {
    let (node, browser) = tokio::join!(Node::ephemeral(&[]), Browser::start());
    let mut odd = node.login(APP, "odd").await;
    let window = browser.enter(node.server(), APP, "reader").await;
    say(&mut odd, "a line before").await;
    // Two bytes each: as many as fit into a message.
    let pile = format!("pile{}", "\u{301}".repeat(8_000));
    let piles = "Z\u{351}\u{36b}\u{343}\u{36a}\u{302}\u{36b}\u{33d}\u{34f}\u{334}".repeat(400);
    let turned = "\u{202e}evil\u{202c}\u{2066}\u{2067}\u{202b} (exe.gpj";
    for text in
        [pile.as_str(), &piles, turned, &"\n".repeat(10_000), &"字".repeat(5_000), &"W".repeat(16_000)]
    {
        say(&mut odd, &format!("{text}.")).await;
        window.until("document.querySelector('#log').scrollTop === 0").await;
    }
    say(&mut odd, "a line after").await;
    window.until_last(BODY, "a line after").await;
    // What is drawn stays in its own box, whatever is drawn, and that is no higher than most of the window.
    let clipped = "return [...document.querySelectorAll('.message .body')].every((body) => \
                   getComputedStyle(body).overflow === 'hidden auto' && body.offsetHeight < innerHeight)";
    assert_eq!(window.run(clipped).await, true);
    // The turned text does not turn what stands beside it.
    let isolated = "return getComputedStyle(document.querySelector('.message .body')).unicodeBidi";
    assert_eq!(window.run(isolated).await, "plaintext");
    is_unharmed(&window).await;
    keep_picture(&window, "hostile-signs").await;
    for name in
        ["admin\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}\u{307}", "\u{202e}nimda", &"\u{fdfd}".repeat(21)]
    {
        let mut session = node.login(APP, name).await;
        say(&mut session, "from an odd name").await;
        window.until_last(BODY, "from an odd name").await;
    }
    window.resize(390, 844).await;
    is_unharmed(&window).await;
    keep_picture(&window, "hostile-names").await;
}
