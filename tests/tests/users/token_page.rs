//! The chat page of a closed node.
//!
//! Invariant: the token stands behind the #, where no server gets to see it.

use chat_tests::browser::{Browser, keep_picture};
use chat_tests::closed::{Closed, SECRET};
use chat_tests::jwt::{Signer, in_seconds};
use chat_tests::wait::SOON;
use fantoccini::key::Key;
use serde_json::json;

#[tokio::test]
async fn the_page_enters_with_a_token_and_asks_for_one_without() {
    let (closed, browser) = tokio::join!(Closed::start("", &[]), Browser::start());
    let page = format!("{}/home/index?appId=931&userId=a", closed.node.server());
    let without = browser.window(&page).await;
    without
        .until_last(
            "#state[data-state='stopped']",
            "已断开：登录被拒绝：这里要有令牌才能进入，请打开带 #token=… 的地址",
        )
        .await;
    let with = browser.window(&format!("{page}#token={}", closed.token(931, "a"))).await;
    with.until_last("#state[data-state='online']", "已连接").await;
    let wrong = browser.window(&format!("{page}#token={}", closed.token(931, "b"))).await;
    let why = "已断开：登录被拒绝：没有权限：\u{2068}the token is of another user or app\u{2069}";
    wrong.until_last("#state[data-state='stopped']", why).await;
    // The right one, given by hand, lets in.
    wrong.type_into("#token", &format!("{}{}", closed.token(931, "a"), char::from(Key::Enter))).await;
    wrong.until_last("#state[data-state='online']", "已连接").await;
    assert_eq!(wrong.run("return document.getElementById('renewal').hidden").await, true);
}

/// Two pages whose tokens end soon: who knows of no other is asked for one, who knows where to ask does so unseen.
#[tokio::test]
async fn a_session_that_ends_soon_gets_another_token() {
    let settings = "leeway = 0\nexpiry_warning = 3600";
    let (closed, browser) = tokio::join!(Closed::start(settings, &[]), Browser::start());
    let soon = |seconds: i64| {
        Signer::secret(SECRET).of(&json!({"sub": "a", "appId": 931, "exp": in_seconds(seconds)}))
    };
    let page = format!("{}/home/index?appId=931&userId=a", closed.node.server());
    let window = browser.window(&format!("{page}#token={}", soon(600))).await;
    window.until("document.getElementById('renewal').checkVisibility()").await;
    let asked = "document.getElementById('renewal-words').textContent";
    window.until(&format!("{asked}.startsWith('登录将在 ')")).await;
    let foreign = closed.token(931, "b");
    window.type_into("#token", &format!("{foreign}{}", char::from(Key::Enter))).await;
    let refused = "没有权限：\u{2068}the token is of another user or app\u{2069}";
    window.until_last("#renewal-error", refused).await;
    keep_picture(&window, "token").await;
    window.run("document.getElementById('token').value = ''").await;
    window.type_into("#token", &format!("{}{}", soon(86_400), char::from(Key::Enter))).await;
    window.until("document.getElementById('renewal').hidden").await;
    assert_eq!(window.texts("#state").await, ["已连接"]);

    // Where others are to be had the page asks by itself; the answer is made here, for a node gives none.
    let source = format!(
        "const get = window.fetch; window.asked = 0; window.fetch = (address, ...more) => \
         String(address).endsWith('/my/token') ? (asked += 1, Promise.resolve(new Response('{}'))) : get(address, ...more)",
        soon(86_400)
    );
    let knows = browser.empty().await;
    knows.devtools("Page.addScriptToEvaluateOnNewDocument", json!({"source": source})).await;
    knows.go(&format!("{page}#token={}&tokenFrom=/my/token", soon(600))).await;
    knows.until("window.asked === 1").await;
    knows.until_last("#state[data-state='online']", "已连接").await;
    assert_eq!(knows.run("return document.getElementById('renewal').hidden").await, true);
    // A session that has ended comes back with another one, or says that it has.
    closed.change(&["all"], settings);
    let reload = chat_client::Http::new(closed.server(closed.key("all")), SOON).expect("a client");
    std::fs::write(closed.file("secret"), "another secret, which none of these tokens was made with")
        .expect("written");
    reload.call_raw("/system/reload", &json!({})).await.expect("it is read");
    window.until("document.getElementById('state').dataset.state === 'stopped'").await;
    window.until("document.getElementById('renewal').checkVisibility()").await;
    knows.until("window.asked >= 2 && document.getElementById('state').dataset.state === 'stopped'").await;
}
