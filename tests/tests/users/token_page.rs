//! The chat page of a closed node.
//!
//! Invariant: the token stands behind the #, where no server gets to see it.

use chat_tests::browser::Browser;
use chat_tests::closed::Closed;

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
    wrong.until_last("#state[data-state='stopped']", "已断开：登录被拒绝：没有权限").await;
}
