//! Groups, friends and red packets on the chat page: two people with a window each.
//!
//! Invariant: by keys and clicks, in a real browser; what they did is asked of the node.

use chat_tests::browser::{Browser, Window, keep_picture};
use chat_tests::money_site::MoneySite;
use chat_tests::node::Node;
use chat_tests::wait::{SOON, until};
use fantoccini::key::Key;
use serde_json::{Value, json};

const APP: u32 = 107;
const BODY: &str = ".message .body";

async fn two() -> (Node, Browser, Window, Window) {
    let (node, browser) = tokio::join!(Node::ephemeral(&[]), Browser::start());
    let one = browser.enter(node.server(), APP, "马远").await;
    let other = browser.enter(node.server(), APP, "马超").await;
    (node, browser, one, other)
}

fn entered(text: &str) -> String {
    format!("{text}{}", char::from(Key::Enter))
}

async fn ask(node: &Node, path: &str, data: Value) -> Value {
    let mut data = data;
    data["appId"] = json!(APP);
    node.http().call_raw(path, &data).await.expect("an answer")
}

async fn escape(window: &Window) {
    window.type_into("dialog.window", &char::from(Key::Escape).to_string()).await;
    window.until("!document.querySelector('dialog')").await;
}

#[tokio::test]
async fn a_group_is_created_joined_used_left_and_dismissed() {
    let (node, _browser, owner, member) = two().await;
    owner.click("#add").await;
    owner.type_into("#group-name", &entered("长安")).await;
    owner.until_last("#title", "长安").await;
    owner.until_last(BODY, "创建了群").await;
    let groups = ask(&node, "/group/list", json!({"userId": "马远"})).await;
    let id = groups["groups"][0]["groupId"].as_str().expect("a group").to_owned();

    member.click("#add").await;
    member.type_into("#group-id", &entered("none")).await;
    member.until_last("dialog .error:not(:empty)", "没有找到").await;
    member.run("document.getElementById('group-id').value = ''").await;
    member.type_into("#group-id", &entered(&id)).await;
    member.until_last("#title", "长安").await;
    member.type_into("#text", &entered("here I am")).await;
    owner.until_last(BODY, "here I am").await;
    assert_eq!(owner.texts(BODY).await, ["创建了群", "加入了群", "here I am"]);

    owner.click("#details").await;
    owner.until("[...document.querySelectorAll('.members .name')].map((name) => name.textContent).join() === '马超,马远'").await;
    keep_picture(&owner, "group").await;
    owner.click(".kick").await;
    owner.click("dialog .danger").await;
    for window in [&owner, &member] {
        window.until_last(BODY, "将 \u{2068}马超\u{2069} 移出了群").await;
    }
    let members = ask(&node, "/group/members", json!({"groupId": id})).await;
    assert_eq!(members["members"], json!(["马远"]));

    owner.click("#details").await;
    owner.click(".leaving").await;
    owner.click("dialog .danger").await;
    owner.until_last("#title", "世界").await;
    owner.until("![...document.querySelectorAll('#people button')].some(({ dataset }) => dataset.target.startsWith('group:'))").await;
    assert_eq!(ask(&node, "/group/list", json!({"userId": "马远"})).await["groups"], json!([]));
}

#[tokio::test]
async fn a_group_that_is_full_says_so_in_the_language_of_the_reader() {
    let limits = ["--members-per-group", "1"];
    let (node, browser) = tokio::join!(Node::ephemeral(&limits), Browser::start());
    ask(&node, "/group/create", json!({"userId": "黄帝", "groupId": "full", "name": "长安"})).await;
    let english = "localStorage.setItem('chat.language', 'en')";
    for (language, user, words) in
        [("", "马远", "群已满，最多 1 人"), (english, "马超", "The group is full, at most 1")]
    {
        let window = browser.enter_with(language, node.server(), APP, user).await;
        window.click("#add").await;
        window.type_into("#group-id", &entered("full")).await;
        window.until_last("dialog .error:not(:empty)", words).await;
        window.run("localStorage.removeItem('chat.language')").await;
    }
}

#[tokio::test]
async fn friends_are_asked_for_confirmed_on_both_sides_and_blocked() {
    let (node, _browser, one, other) = two().await;
    one.type_into("#text", &entered("hello")).await;
    other.click(".message .who").await;
    other.type_into("#greeting", "we met at the gate").await;
    other.click(".add-friend").await;
    other.until("[...document.querySelectorAll('dialog .hint')].some(({ textContent }) => textContent === '已申请，等待对方同意')").await;
    one.until_last("#friends-dot:not([hidden])", "1").await;
    one.click("#friends").await;
    one.until_last(".requests .hint", "we met at the gate").await;
    keep_picture(&one, "friends").await;
    one.click(".accept").await;
    one.until_last(".persons:not(.requests) .name", "马超").await;
    one.until("document.getElementById('friends-dot').hidden").await;
    for (user, friend) in [("马远", "马超"), ("马超", "马远")] {
        assert_eq!(ask(&node, "/friend/list", json!({"userId": user})).await["friends"], json!([friend]));
    }
    escape(&other).await;
    other.click(".message .who").await;
    other.click(".block").await;
    other.until("[...document.querySelectorAll('dialog .hint')].some(({ textContent }) => textContent.startsWith('已拉黑'))").await;
    assert_eq!(ask(&node, "/friend/list", json!({"userId": "马超"})).await["blocked"], json!(["马远"]));
    // Who is blocked is told that nothing arrives.
    escape(&one).await;
    one.click("#people button[data-target='user:马超']").await;
    one.type_into("#text", &entered("why?")).await;
    one.until("document.querySelector('.failure')?.textContent.startsWith('未送达：对方或房间拒绝了')").await;
}

mod red_packets {
    use chat_tests::money_site::MoneySite;

    #[tokio::test]
    async fn embedded() {
        super::a_red_packet_is_sent_opened_and_booked(MoneySite::embedded().await).await;
    }

    #[tokio::test]
    async fn shared() {
        super::a_red_packet_is_sent_opened_and_booked(MoneySite::shared().await).await;
    }
}

async fn a_red_packet_is_sent_opened_and_booked(site: MoneySite) {
    let (node, browser) = (site.first(), Browser::start().await);
    let rich = browser.enter(site.first().server(), APP, "马远").await;
    let poor = browser.enter(site.last().server(), APP, "马超").await;
    let deposit = json!({"userId": "马远", "amount": 10_000, "transferId": "d"});
    ask(node, "/wallet/deposit", deposit).await;
    rich.click("#red-packet").await;
    rich.type_into("#packet-total", &entered("1.001")).await;
    rich.until_last("dialog .error:not(:empty)", "金额应为 0.01 以上、最多两位小数").await;
    rich.run("document.getElementById('packet-total').value = ''").await;
    rich.type_into("#packet-total", &entered("8.88")).await;
    poor.until_last(".packet .packet-wish", "恭喜发财，大吉大利").await;
    keep_picture(&poor, "packet").await;
    poor.click(".packet").await;
    poor.click(".packet-open").await;
    poor.until("document.querySelector('.packet-result').textContent.startsWith('抢到 ¥')").await;
    poor.until("document.querySelectorAll('.winners .money').length === 1").await;
    keep_picture(&poor, "packet-opened").await;
    let said = poor.run("return document.querySelector('.packet-result').textContent.split('¥')[1]").await;
    let money = json!({"userId": "马超"});
    let won = async || ask(node, "/wallet/balance", money.clone()).await["balance"].as_u64().unwrap_or(0);
    until("it is booked", SOON, async || won().await > 0).await;
    let cents = won().await;
    assert_eq!(said, format!("{}.{:02}", cents / 100, cents % 100));
    escape(&poor).await;
    // Opened again, it says what was won and takes nothing.
    poor.click(".packet").await;
    poor.until("document.querySelector('.packet-result').textContent.startsWith('已领取 ¥')").await;
    assert_eq!(poor.run("return document.querySelector('.packet-open').hidden").await, true);
    escape(&poor).await;
    poor.click("#profile").await;
    poor.until_last(".transfers li > span:first-child", "抢到红包").await;
    rich.click("#profile").await;
    rich.until_last(".balance", "余额 ¥91.12").await;
    // Who has too little is told so.
    escape(&poor).await;
    poor.click("#red-packet").await;
    poor.type_into("#packet-total", &entered("5000")).await;
    poor.until_last("dialog .error:not(:empty)", "余额不足").await;
    assert!(rich.complaints().await.is_empty() && poor.complaints().await.is_empty());
}
