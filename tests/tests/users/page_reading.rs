//! What the chat page shows of what others said: the past, what was taken back, names and pictures.
//!
//! Invariant: seen in a real browser, as a user sees it.

use chat_client::Session;
use chat_protocol::Target;
use chat_tests::browser::{Browser, Window, keep_picture};
use chat_tests::fault_proxy::FaultProxy;
use chat_tests::node::Node;
use chat_tests::raw_http::get;
use chat_tests::site::ANY_MEDIA;
use fantoccini::key::Key;
use serde_json::json;

const APP: u32 = 101;
const BODY: &str = ".message .body";
/// Whether the last line is in view.
const AT_END: &str = "document.querySelector('.message:last-child').getBoundingClientRect().bottom \
                      <= document.getElementById('composer').getBoundingClientRect().top";
/// Lets the browser show what there is, and tell the page of it.
const FRAMES: &str = "return new Promise((done) => { let left = 4; \
                      const next = () => { left -= 1; left > 0 ? requestAnimationFrame(next) : done() }; next() })";

async fn world() -> (Node, Browser) {
    tokio::join!(Node::ephemeral(&ANY_MEDIA), Browser::start())
}

async fn enter(browser: &Browser, server: impl std::fmt::Display, user: &str) -> Window {
    browser.enter(server, APP, user).await
}

async fn say(session: &mut Session, target: &str, text: &str) -> u64 {
    let target: Target = target.parse().expect("a target");
    session.send(target, text).await.expect("it is sent").offset
}

fn key(key: Key) -> String {
    char::from(key).to_string()
}

#[tokio::test]
async fn a_room_with_a_past_shows_it_page_by_page() {
    let (node, browser) = world().await;
    let mut speaker = node.login(APP, "speaker").await;
    for number in 1..=100 {
        say(&mut speaker, "", &format!("line {number}")).await;
    }
    let window = enter(&browser, node.server(), "reader").await;
    window.until_last(BODY, "line 100").await;
    assert_eq!(window.texts(BODY).await.first().expect("a line"), "line 41");
    window.until("document.querySelector('.empty').hidden").await;
    window.until(AT_END).await;

    window.type_into("#log", &key(Key::Home)).await;
    window.until("document.querySelectorAll('.message').length === 100").await;
    assert_eq!(window.texts(BODY).await.first().expect("a line"), "line 1");
    // What was read stays where it was, with the older lines above it.
    let place = "document.querySelectorAll('.message')[40].getBoundingClientRect().top \
                 - document.getElementById('log').getBoundingClientRect().top";
    window.until(&format!("{place} >= 0 && {place} < 120")).await;
    say(&mut speaker, "", "line 101").await;
    window.until_last(BODY, "line 101").await;
    let mut all = window.texts(BODY).await;
    all.dedup();
    assert_eq!(all.len(), 101);
    window.until(&format!("{place} >= 0 && {place} < 120")).await;
}

/// Who is at the end while older pages arrive keeps them, and finds again what a later line took away.
#[tokio::test]
async fn older_lines_that_arrive_at_the_end_leave_no_hole() {
    let (node, browser) = world().await;
    let mut speaker = node.login(APP, "speaker").await;
    for number in 1..=620 {
        say(&mut speaker, "", &format!("line {number}")).await;
    }
    let window = enter(&browser, node.server(), "reader").await;
    window.until_last(BODY, "line 620").await;
    let more = "document.querySelector('.history button')";
    let older = async |shown: usize| {
        window.until(&format!("{more} !== null")).await;
        window.run(&format!("{more}.click()")).await;
        window.until(&format!("document.querySelectorAll('.message').length === {shown}")).await;
    };
    for page in 2..=10 {
        older(page * 60).await;
    }
    older(620).await;
    say(&mut speaker, "", "line 621").await;
    window.until_last(BODY, "line 621").await;
    window.until("document.querySelectorAll('.message').length === 240").await;
    older(300).await;
    let lines: Vec<_> = (322..=621).map(|number| format!("line {number}")).collect();
    assert_eq!(window.texts(BODY).await, lines);
}

#[tokio::test]
async fn an_empty_room_says_so() {
    let (node, browser) = world().await;
    let window = enter(&browser, node.server(), "reader").await;
    window.until("document.querySelector('.empty').checkVisibility()").await;
    assert_eq!(window.texts(".empty").await, ["还没有消息，打个招呼吧"]);
}

#[tokio::test]
async fn what_was_taken_back_is_gone_at_once_and_later() {
    let (node, browser) = world().await;
    let window = enter(&browser, node.server(), "reader").await;
    let mut speaker = node.login(APP, "speaker").await;
    let offset = say(&mut speaker, "", "a secret").await;
    window.until_last(BODY, "a secret").await;
    let recall = json!({"target": "", "offset": offset});
    speaker.request("message/recall", &recall).await.expect("recalled");
    window.until_last(BODY, "消息已撤回").await;
    say(&mut speaker, "", "after").await;
    window.until_last(BODY, "after").await;
    assert_eq!(window.texts(BODY).await, ["消息已撤回", "after"]);
    let again = enter(&browser, node.server(), "reader").await;
    again.until_last(BODY, "after").await;
    assert_eq!(again.texts(BODY).await, ["消息已撤回", "after"]);
}

#[tokio::test]
async fn a_draft_stays_in_its_conversation() {
    let (node, browser) = world().await;
    let _other = node.login(APP, "other").await;
    let window = enter(&browser, node.server(), "writer").await;
    window.type_into("#text", "for all").await;
    window.click("#people button[data-target='user:other']").await;
    let text = "return document.getElementById('text').value";
    assert_eq!(window.run(text).await, "");
    window.type_into("#text", "for one").await;
    window.click("#people button[data-target='']").await;
    assert_eq!(window.run(text).await, "for all");
    window.click("#people button[data-target='user:other']").await;
    assert_eq!(window.run(text).await, "for one");
}

#[tokio::test]
async fn what_was_said_while_away_is_counted_until_it_is_read() {
    let (node, browser) = world().await;
    let mut other = node.login(APP, "other").await;
    for text in ["one", "two", "three"] {
        say(&mut other, "user:reader", text).await;
    }
    let window = enter(&browser, node.server(), "reader").await;
    let row = "#people button[data-target='user:other']";
    window.until_last(&format!("{row} .dot"), "3").await;
    window.click(row).await;
    window.until_last(BODY, "three").await;
    window.until(&format!("!document.querySelector(\"{row} .dot\")")).await;
    let mut reader = node.login(APP, "reader").await;
    let read = async || {
        let list = reader.request("conversation/list", &json!({})).await.expect("a list");
        let mut all = list["conversations"].as_array().expect("an array").iter();
        all.find(|one| one["target"] == "user:other").is_some_and(|one| one["unread"] == 0)
    };
    chat_tests::wait::until("chatd knows that it was read", chat_tests::wait::SOON, read).await;
}

#[tokio::test]
async fn a_cut_connection_comes_back_with_what_was_missed() {
    let (node, browser) = world().await;
    let address = node.server().authority().parse().expect("an address");
    let proxy = FaultProxy::start(address).await;
    let mut other = node.login(APP, "other").await;
    say(&mut other, "", "before").await;
    let window = enter(&browser, format!("http://{}", proxy.address()), "reader").await;
    window.until_last(BODY, "before").await;
    proxy.cut();
    window.until("document.getElementById('state').dataset.state !== 'online'").await;
    say(&mut other, "", "meanwhile").await;
    say(&mut other, "user:reader", "to you").await;
    proxy.heal();
    window.until_last(BODY, "meanwhile").await;
    assert_eq!(window.texts(BODY).await, ["before", "meanwhile"]);
    window.until_last("#people button[data-target='user:other'] .dot", "1").await;
    window.click("#people button[data-target='user:other']").await;
    window.until_last(BODY, "to you").await;
}

/// Only a reader leaves the end, and no line moves who reads above it. What shrinks is taken away between two frames,
/// so that the browser tells of the move after something else has grown.
#[tokio::test]
async fn lines_that_change_their_height_move_nobody() {
    let (node, browser) = world().await;
    let mut speaker = node.login(APP, "speaker").await;
    for number in 1..=40 {
        say(&mut speaker, "", &format!("line {number}")).await;
    }
    let window = enter(&browser, node.server(), "reader").await;
    window.until_last(BODY, "line 40").await;
    let height = |line: usize, height: &str| {
        format!("document.querySelectorAll('.message')[{line}].style.height = '{height}';")
    };
    window.run(&height(38, "700px")).await;
    window.run(FRAMES).await;
    let change = format!(
        "return new Promise((done) => {{ {} \
         requestAnimationFrame(() => setTimeout(() => {{ {} done() }})) }})",
        height(38, ""),
        height(37, "600px")
    );
    window.run(&change).await;
    window.run(FRAMES).await;
    window.until(AT_END).await;

    window.run("document.querySelectorAll('.message')[10].scrollIntoView()").await;
    window.run(FRAMES).await;
    let place = "document.querySelectorAll('.message')[12].getBoundingClientRect().top";
    let read = window.run(&format!("return {place}")).await;
    // A log moves by whole pixels, which lines are not high.
    let stays = format!("Math.abs({place} - {read}) < 1");
    window.run(&format!("{} {}", height(37, ""), height(2, "300px"))).await;
    window.run(FRAMES).await;
    window.until(&stays).await;
    say(&mut speaker, "", "line 41").await;
    window.until_last(BODY, "line 41").await;
    window.run(FRAMES).await;
    window.until(&stays).await;
}

/// Lines are no whole pixels high, and what one moves the log by is.
#[tokio::test]
async fn a_reader_above_the_end_stays_at_the_line_however_many_come() {
    let (node, browser) = world().await;
    let mut speaker = node.login(APP, "speaker").await;
    for number in 1..=60 {
        say(&mut speaker, "", &format!("line {number}")).await;
    }
    let window = enter(&browser, node.server(), "reader").await;
    window.until_last(BODY, "line 60").await;
    window.run("document.querySelectorAll('.message')[30].scrollIntoView()").await;
    window.run(FRAMES).await;
    let place = "return document.querySelectorAll('.message')[30].getBoundingClientRect().top";
    let before = window.run(place).await.as_f64().expect("a number");
    window
        .run(
            "window.looks = 0; const look = Element.prototype.getBoundingClientRect; \
             Element.prototype.getBoundingClientRect = function () { looks += 1; return look.call(this) }",
        )
        .await;
    for number in 61..=100 {
        say(&mut speaker, "", &format!("line {number}")).await;
    }
    window.until_last(BODY, "line 100").await;
    let looks = window.run("return window.looks").await.as_u64().expect("a number");
    // Seven find one of a hundred; before and after, and the log's own.
    assert!(looks <= 40 * 10, "{looks} looks at lines for 40 messages");
    window.run(FRAMES).await;
    let after = window.run(place).await.as_f64().expect("a number");
    assert!((before - after).abs() < 1.0, "from {before} to {after}");
}

#[tokio::test]
async fn a_picture_neither_hides_the_end_nor_acts_here() {
    let (node, browser) = world().await;
    let mut speaker = node.login(APP, "speaker").await;
    let window = enter(&browser, node.server(), "reader").await;
    for number in 1..=40 {
        say(&mut speaker, "", &format!("line {number}")).await;
    }
    let server = node.server().to_string();
    let act = format!("{server}/user/sendMessageAll?appId={APP}&userId=speaker&msgId=1&message=forged");
    let broken = format!("{server}/file/none");
    for url in [&act, &broken] {
        let picture = json!({"target": "", "type": "img", "url": url, "size": {"width": 300, "height": 300}});
        speaker.request("msg", &picture).await.expect("it is sent");
    }
    // A word that every object of a script knows is no kind of message.
    let odd = "return import('/home/content.js').then(({ content }) => \
               content({ type: 'constructor', url: 'https://example.org/' }).textContent)";
    assert_eq!(window.run(odd).await, "【constructor】");
    window.until_last(".message .body a", "图片无法显示，点此打开").await;
    assert_eq!(window.texts(".message .body a").await, ["图片无法显示，点此打开"]);
    window.until(AT_END).await;
    say(&mut speaker, "", "the end").await;
    window.until_last(BODY, "the end").await;
    window.until(AT_END).await;
    assert!(!window.texts(BODY).await.contains(&"forged".to_owned()));
}

#[tokio::test]
async fn the_page_lets_nothing_in_but_its_own() {
    let node = Node::ephemeral(&[]).await;
    let lead = get(node.server(), "/?appId=101").await;
    assert_eq!((lead.status, lead.header("location")), (307, "home/index?appId=101"));
    let page = get(node.server(), "/home/index").await;
    let policy = page.header("content-security-policy");
    for part in ["default-src 'none'", "base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
    for asset in ["chat.js", "names.js", "history.js"] {
        let script = get(node.server(), &format!("/home/{asset}")).await;
        let headers = ["content-type", "x-content-type-options"].map(|name| script.header(name).to_owned());
        assert_eq!(headers, ["text/javascript; charset=utf-8", "nosniff"], "{asset}");
    }
    assert_eq!(get(node.server(), "/home/none.js").await.status, 404);
}

/// Everything at once on a phone and on a desk; pictures where `PAGE_PICTURES` says.
#[tokio::test]
async fn nothing_leaves_its_place_on_any_screen() {
    let (node, browser) = world().await;
    let mut speaker = node.login(APP, &"名".repeat(21)).await;
    let mut odd = node.login(APP, "עברית\u{202e}abc").await;
    for number in 1..=55 {
        say(&mut speaker, "", &format!("第 {number} 条消息")).await;
    }
    say(&mut speaker, "", &"unbroken".repeat(60)).await;
    let gone = say(&mut odd, "", "gone").await;
    odd.request("message/recall", &json!({"target": "", "offset": gone})).await.expect("recalled");
    let broken = json!({"target": "", "type": "img", "url": format!("{}/file/none", node.server())});
    odd.request("msg", &broken).await.expect("sent");
    for text in ["שלום world", "一\n二\n三"] {
        say(&mut odd, "", text).await;
    }
    say(&mut odd, "user:reader", "悄悄话").await;
    let packet = json!({"target": "", "total": 100, "count": 2, "mode": "equal", "greeting": "恭喜发财"});
    let deposit = json!({"appId": APP, "userId": "עברית\u{202e}abc", "amount": 1000, "transferId": "t"});
    node.http().call_raw("/wallet/deposit", &deposit).await.expect("money");
    odd.request("redPacket/create", &packet).await.expect("a packet");
    let window = enter(&browser, node.server(), "reader").await;
    window.until_last(BODY, "恭喜发财领取红包").await;
    let fits = "document.documentElement.scrollWidth <= innerWidth \
                && document.getElementById('log').scrollWidth <= document.getElementById('log').clientWidth \
                && document.getElementById('composer').getBoundingClientRect().bottom <= innerHeight + 1";
    for (name, width, height) in [("phone", 390, 844), ("desk", 1280, 800)] {
        window.resize(width, height).await;
        window.until(&format!("innerWidth <= {width} && {fits} && {AT_END}")).await;
        keep_picture(&window, &format!("{name}-world")).await;
        if name == "phone" {
            window.click("#menu").await;
            window.until("document.querySelector('.menu-open')").await;
            keep_picture(&window, "phone-list").await;
            window.click("#menu").await;
        }
    }
    window.click("#people button[data-target^='user:עברית']").await;
    window.until_last(BODY, "悄悄话").await;
    keep_picture(&window, "desk-private").await;
    let join = browser.window(&format!("{}/?appId={APP}", node.server())).await;
    join.resize(390, 844).await;
    keep_picture(&join, "phone-join").await;
}
