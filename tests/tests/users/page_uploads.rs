//! Files on their way from the chat page: chosen, dropped, pasted, given up, refused, cut off, and tried again.
//!
//! Invariant: by keys and clicks, in a real browser; what did not arrive leaves nothing on the node.

use std::path::PathBuf;

use chat_tests::browser::{Browser, Window, keep_picture};
use chat_tests::closed::{Closed, SECRET};
use chat_tests::fault_proxy::FaultProxy;
use chat_tests::files::{APP, FileSite, film, png};
use chat_tests::front::free_address;
use chat_tests::jwt::{Signer, in_seconds};
use chat_tests::node::Node;
use chat_tests::wait::{SOON, until};
use fantoccini::key::Key;
use serde_json::json;
use tempfile::TempDir;

const SEND: &str = "dialog .actions button:last-child";
const SENT: &str = "document.querySelectorAll('.message.own:not(.pending)').length";
/// A picture of the page's own making, as somebody drags or copies one.
const CARRIED: &str = "const canvas = document.createElement('canvas'); canvas.width = 300; canvas.height = 200; \
                       return new Promise((done) => canvas.toBlob(done)).then((blob) => { \
                         const data = new DataTransfer(); \
                         data.items.add(new File([blob], 'drawn.png', { type: 'image/png' })); \
                         window.carried = data; })";

fn key(key: Key) -> String {
    char::from(key).to_string()
}

/// Files of a directory that ends with the value.
struct Given(TempDir);

impl Given {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn file(&self, name: &str, content: &[u8]) -> String {
        let path: PathBuf = self.0.path().join(name);
        std::fs::write(&path, content).expect("written");
        path.to_str().expect("a path").to_owned()
    }
}

async fn send_file(window: &Window, path: &str) {
    window.type_into("#files", path).await;
    window.click(SEND).await;
}

#[tokio::test]
async fn what_is_dropped_or_pasted_is_looked_at_and_sent_or_not() {
    let (node, browser) = tokio::join!(Node::ephemeral(&[]), Browser::start());
    let _other = node.login(APP, "马超").await;
    let window = browser.enter(node.server(), APP, "黄帝").await;
    window.click("#people button[data-target='user:马超']").await;
    window.run(CARRIED).await;
    let drag = |kind: &str, at: &str| {
        format!(
            "return document.querySelector('{at}').dispatchEvent(new DragEvent('{kind}', \
             {{ dataTransfer: window.carried, bubbles: true, cancelable: true }}))"
        )
    };
    let zone = "!document.getElementById('drop').hidden";
    assert_eq!(window.run(&drag("dragover", "#log")).await, false, "a browser would open the file otherwise");
    window.until(zone).await;
    keep_picture(&window, "drop").await;
    window.run(&drag("dragleave", "#log")).await;
    window.until(&format!("!({zone})")).await;
    // Beside the talk nothing happens, not even what a browser does.
    assert_eq!(window.run(&drag("drop", "#side")).await, false);
    assert_eq!(window.run("return document.querySelector('dialog')").await, json!(null));
    window.run(&drag("dragover", "#log")).await;
    window.run(&drag("drop", "#log")).await;
    window.until(&format!("!({zone}) && document.querySelector('.offered img')?.naturalWidth === 300")).await;
    window.press_key(&key(Key::Escape)).await;
    window.until("!document.querySelector('dialog')").await;
    assert_eq!(window.run(&format!("return {SENT}")).await, 0);

    let paste = "return document.getElementById('text').dispatchEvent(new ClipboardEvent('paste', \
                 { clipboardData: window.carried, bubbles: true, cancelable: true }))";
    assert_eq!(window.run(paste).await, false);
    assert_eq!(window.texts(".offered .name").await, ["drawn.png"]);
    window.press_key(&key(Key::Enter)).await;
    window.until(&format!("{SENT} === 1 && document.querySelector('.picture img')?.naturalWidth")).await;
    // A text that an office program copies with a picture of it stays a text.
    window.run("carried.setData('text/plain', 'a'); carried.setData('text/html', '<b>a</b>')").await;
    assert_eq!(window.run(paste).await, true);
    assert_eq!(window.run("return document.querySelector('dialog')").await, json!(null));
    let complaints = window.complaints().await;
    assert!(complaints.is_empty(), "{complaints:?}");
}

#[tokio::test]
async fn a_refusal_says_why_in_the_language_of_the_reader() {
    let given = Given::new();
    let limits = ["--file-bytes", "100000", "--file-bytes-per-user", "150000", "--file-types", "video/mp4"];
    let (site, browser) = tokio::join!(FileSite::embedded(&limits), Browser::start());
    let (large, odd, good) = (
        given.file("large.mp4", &film(100_001)),
        given.file("odd.png", &png(20, 20)),
        given.file("good.mp4", &film(90_000)),
    );
    let (empty, text) = (given.file("empty.mp4", b""), given.file("a.txt", b"text"));
    let window = browser.enter(site.one.server(), APP, "黄帝").await;
    // What is no file for a talk is not sent at all.
    window.type_into("#files", &format!("{empty}\n{text}")).await;
    window.until("document.querySelectorAll('.offered .error').length === 2").await;
    assert_eq!(window.texts(".offered .error").await, ["空文件", "不是图片、语音或视频"]);
    assert_eq!(window.texts("dialog .actions button").await, ["取消"]);
    window.press_key(&key(Key::Escape)).await;
    let english = "localStorage.setItem('chat.language', 'en')";
    for (language, words) in [
        ("", ["文件太大，最多 97.7 KB", "不接受这种文件", "您的文件空间已满，最多 146.5 KB"]),
        (
            english,
            [
                "the file is too large, at most 97.7 KB",
                "files of this kind are not taken",
                "your space for files is full, at most 146.5 KB",
            ],
        ),
    ] {
        let user = if language.is_empty() { "黄帝" } else { "马超" };
        let window = browser.enter_with(language, site.one.server(), APP, user).await;
        send_file(&window, &good).await;
        window.until(&format!("{SENT} === 1 && !document.querySelector('.failure')")).await;
        for (file, words) in [&large, &odd, &good].into_iter().zip(words) {
            send_file(&window, file).await;
            let said = "document.querySelector('.failure')?.firstChild.data";
            window.until(&format!("{said}?.includes({})", json!(words))).await;
            keep_picture(&window, &format!("refused-{user}")).await;
            window.click(".failure button:last-child").await;
            window.until(&format!("!document.querySelector('.failure') && {SENT} === 1")).await;
        }
        window.run("localStorage.removeItem('chat.language')").await;
    }
    site.until_kept(2).await;
}

#[tokio::test]
async fn an_upload_is_given_up_or_cut_off_and_tried_again_after_a_restart() {
    let given = Given::new();
    let directory = tempfile::tempdir().expect("a directory");
    let (data, address) = (directory.path().join("data"), free_address());
    let listen: &'static str = address.to_string().leak();
    let arguments = ["--data-dir", data.to_str().expect("a path")];
    let (mut node, browser) = tokio::join!(Node::start_on(listen, &arguments), Browser::start());
    let proxy = FaultProxy::start(address).await;
    let window = browser.enter(format!("http://{}", proxy.address()), APP, "黄帝").await;
    let (one, two) = (given.file("one.mp4", &film(20_000_000)), given.file("two.mp4", &film(300_000)));
    proxy.stall();
    send_file(&window, &format!("{one}\n{two}")).await;
    // One after another.
    window.until("document.querySelectorAll('.uploading progress').length === 2").await;
    window.until("document.querySelector('.uploading .hint').textContent !== '排队中'").await;
    assert_eq!(window.texts(".uploading .hint").await[1], "排队中");
    keep_picture(&window, "uploading").await;
    let found = window.accessible().await;
    assert!(found.iter().any(|one| one.role == "progressbar" && one.name.contains("one.mp4")), "{found:?}");
    for left in [1, 0] {
        window.click(".uploading button").await;
        window.until(&format!("document.querySelectorAll('.message').length === {left}")).await;
    }
    proxy.heal();

    proxy.stall();
    send_file(&window, &two).await;
    window.until("document.querySelector('.uploading')").await;
    node.kill();
    proxy.cut();
    window.until("document.querySelector('.failure[role=alert]')").await;
    window.until("document.getElementById('state').dataset.state !== 'online'").await;
    keep_picture(&window, "cut").await;
    // While nobody is there it fails again, and says so.
    window.click(".failure button").await;
    window.until_last(".failure", "未送达：没有连接重试取消").await;
    drop(node);
    let node = Node::start_on(listen, &arguments).await;
    proxy.heal();
    window.until("document.getElementById('state').dataset.state === 'online'").await;
    window.click(".failure button").await;
    window.until(&format!("{SENT} === 1 && !document.querySelector('.failure')")).await;
    let history = json!({"appId": APP, "userId": "马超", "target": ""});
    until("it is there once", SOON, async || {
        let answer = node.http().call_raw("/message/history", &history).await.expect("a history");
        answer["messages"].as_array().is_some_and(|all| all.len() == 1 && all[0]["type"] == "video")
    })
    .await;
}

#[tokio::test]
async fn a_file_goes_with_the_token_of_the_session_and_after_its_end_with_the_next() {
    const OTHER: &str = "another secret, which the first token was not made with";
    let given = Given::new();
    let film = given.file("a.mp4", &film(3_000));
    let (closed, browser) = tokio::join!(Closed::start("", &[]), Browser::start());
    let token = |secret: &str| {
        Signer::secret(secret).of(&json!({"sub": "a", "appId": APP, "exp": in_seconds(86_400)}))
    };
    let page = format!("{}/home/index?appId={APP}&userId=a", closed.node.server());
    let window = browser.window(&format!("{page}#token={}", token(SECRET))).await;
    let state = "document.getElementById('state').dataset.state";
    window.until(&format!("{state} === 'online'")).await;
    send_file(&window, &film).await;
    window.until(&format!("{SENT} === 1 && !document.querySelector('.failure')")).await;
    let reload = chat_client::Http::new(closed.server(closed.key("all")), SOON).expect("a client");
    std::fs::write(closed.file("secret"), OTHER).expect("written");
    reload.call_raw("/system/reload", &json!({})).await.expect("it is read");
    window.until(&format!("{state} === 'stopped'")).await;
    send_file(&window, &film).await;
    window.until_last(".failure", "未送达：登录已失效，请更换令牌重试取消").await;
    window.type_into("#token", &format!("{}{}", token(OTHER), key(Key::Enter))).await;
    window.until(&format!("{state} === 'online'")).await;
    window.click(".failure button").await;
    window.until(&format!("{SENT} === 2 && !document.querySelector('.failure')")).await;
}
