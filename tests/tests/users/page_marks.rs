//! Marks on the chat page: who is typing, and who has read.
//!
//! Invariant: each of the two people has a browser of their own, for a page that nobody looks at asks for no marks.

use chat_tests::browser::{Browser, keep_picture};
use chat_tests::on_every_engine;
use chat_tests::site::Site;
use fantoccini::key::Key;
use serde_json::json;

const APP: u32 = 109;
const BODY: &str = ".message .body";

async fn who_talks_sees_the_other_write_and_read(site: Site) {
    let browsers = tokio::join!(Browser::start(), Browser::start());
    let one = browsers.0.enter(site.first().server(), APP, "马远").await;
    let other = browsers.1.enter(site.last().server(), APP, "马超").await;
    one.click("#people button[data-target='user:马超']").await;
    other.click("#people button[data-target='user:马远']").await;
    one.type_into("#text", "你好").await;
    other.until_last("#typing", "\u{2068}马远\u{2069} 正在输入…").await;
    keep_picture(&other, "typing").await;
    one.type_into("#text", &char::from(Key::Enter).to_string()).await;
    other.until_last(BODY, "你好").await;
    other.until_last("#typing", "").await;
    one.until_last(".message.own .read", "已读").await;
    keep_picture(&one, "read").await;

    // In the world it is counted; who looks elsewhere is told nothing.
    one.click("#people button[data-target='']").await;
    one.type_into("#text", &format!("all of you{}", char::from(Key::Enter))).await;
    other.until_last("#people button[data-target=''] .dot", "1").await;
    assert_eq!(other.texts("#typing").await, [""]);
    other.click("#people button[data-target='']").await;
    one.until_last(".message.own .read", "1 人已读").await;
    // Nothing more is read, so nothing more is told, until something is.
    let mut third = site.first().login(APP, "third").await;
    let all = third.request("message/history", &json!({"target": ""})).await.expect("a history");
    let offset = &all["messages"][0]["offset"];
    third.request("conversation/read", &json!({"target": "", "offset": offset})).await.expect("read");
    one.until_last(".message.own .read", "2 人已读").await;

    // A page that was not there when they read knows it, too; of all that, nobody says anything once more.
    one.enter_again().await;
    one.until_last(".message.own .read", "2 人已读").await;
    one.click("#people button[data-target='user:马超']").await;
    one.until_last(".message.own .read", "已读").await;
    keep_picture(&one, "read-again").await;
    assert!(one.complaints().await.is_empty() && other.complaints().await.is_empty());
}

on_every_engine!(who_talks_sees_the_other_write_and_read);
