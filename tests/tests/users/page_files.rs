//! Files on the chat page: shown to those of their conversation, whoever else knows an address.
//!
//! Invariant: by keys and clicks, in a real browser; who looks has a browser of their own, for a page that nobody looks at
//! draws nothing.

use chat_tests::browser::{Browser, Window, keep_picture};
use chat_tests::files::{APP, FileSite, carrying, film, fresh, jpeg, open, png, upload};
use chat_tests::node::Node;
use chat_tests::raw_http::get;
use chat_tests::wait::{SOON, until};
use fantoccini::key::Key;
use serde_json::{Value, json};

const GROUP: &str = "group:tea";
const ROW: &str = "#people button[data-target='group:tea']";
/// Counts how often the page asks for an address.
const COUNTING: &str = "window.asked = 0; const send = WebSocket.prototype.send; \
                        WebSocket.prototype.send = function (text) { \
                          if (text.includes('\"file/url\"')) window.asked += 1; return send.call(this, text) }";

async fn call(node: &Node, path: &str, data: Value) -> Value {
    let mut data = data;
    data["appId"] = json!(APP);
    node.http().call_raw(path, &data).await.expect("an answer")
}

/// A group of 黄帝 and 马超.
async fn group(node: &Node) {
    call(node, "/group/create", json!({"userId": "黄帝", "groupId": "tea", "name": "茶"})).await;
    call(node, "/group/join", json!({"userId": "马超", "groupId": "tea"})).await;
}

/// The address that the page has for a picture, as a path.
async fn path_of(window: &Window, selector: &str) -> String {
    let script =
        "const { src } = document.querySelector(arguments[0]); return src.slice(new URL(src).origin.length)";
    window.run_with(script, vec![json!(selector)]).await.as_str().expect("an address").to_owned()
}

async fn keep_pictures(window: &Window, name: &str) {
    for (width, height) in [(1280, 800), (390, 844)] {
        window.resize(width, height).await;
        for scheme in ["light", "dark"] {
            window.prefer("prefers-color-scheme", scheme).await;
            keep_picture(window, &format!("{name}-{width}-{scheme}")).await;
        }
    }
    window.resize(1280, 800).await;
}

async fn a_picture_goes_to_a_group_and_to_nobody_else(site: FileSite) {
    let here = &site.one;
    let there = site.other.as_ref().unwrap_or(here);
    let (one, other, ()) = tokio::join!(Browser::start(), Browser::start(), group(here));
    let directory = tempfile::tempdir().expect("a directory");
    let photo = directory.path().join("茶.jpg");
    std::fs::write(&photo, jpeg(900, 600)).expect("written");

    let sender = one.enter(here.server(), APP, "黄帝").await;
    sender.click(ROW).await;
    sender.type_into("#text", "a draft").await;
    sender.type_into("#files", photo.to_str().expect("a path")).await;
    sender.until("document.querySelector('.offered img')?.naturalWidth === 600").await;
    assert_eq!(sender.texts(".offered .name").await, ["茶.jpg"]);
    keep_pictures(&sender, "offered").await;
    // Whoever sees none, or has keys alone, is at the button that sends.
    sender.press_key(&char::from(Key::Enter).to_string()).await;
    sender.until("document.querySelector('.message.own:not(.pending) .picture img')?.naturalWidth").await;
    assert_eq!(sender.run("return document.getElementById('text').value").await, "a draft");

    let reader = other.enter(there.server(), APP, "马超").await;
    reader.resize(1280, 800).await;
    reader.click(ROW).await;
    let small = ".message:not(.own) .picture img";
    reader.until(&format!("document.querySelector('{small}')?.naturalWidth")).await;
    assert!(path_of(&reader, small).await.ends_with("&part=thumbnail"));
    let place = "const { width, height } = document.querySelector('.file').getBoundingClientRect(); \
                 return [Math.round(width), Math.round(height)]";
    assert_eq!(reader.run(place).await, json!([213, 320]), "as large as it was before it came");
    keep_pictures(&reader, "picture").await;
    reader.click(".picture").await;
    let large = "dialog.viewer img";
    reader.until(&format!("document.querySelector('{large}')?.naturalWidth === 600")).await;
    keep_pictures(&reader, "viewer").await;
    let path = path_of(&reader, large).await;
    reader.press_key(&char::from(Key::Escape).to_string()).await;
    reader.until("!document.querySelector('dialog') && document.activeElement.className === 'picture'").await;
    for window in [&sender, &reader] {
        let complaints = window.complaints().await;
        assert!(complaints.is_empty(), "{complaints:?}");
    }

    // Nobody else gets anything for what the message says, and who left nothing for what they had.
    let bare = path.split_once('?').expect("a query").0;
    let file = json!({"fileId": bare.trim_start_matches("/file/")});
    assert_eq!(open(there.server(), bare).await.code(), 1003);
    assert_eq!(fresh(there.server(), "曹操", GROUP, &file).await.code(), 1009);
    assert_eq!(open(there.server(), &path).await.status, 200);
    call(here, "/group/kick", json!({"userId": "黄帝", "memberId": "马超", "groupId": "tea"})).await;
    assert_eq!(open(there.server(), &path).await.code(), 1009);
    assert_eq!(fresh(there.server(), "马超", GROUP, &file).await.code(), 1009);
    reader.run_with("document.querySelector(arguments[0]).src += '&again'", vec![json!(small)]).await;
    reader.until_last(".file .gone", "图片已无法打开").await;
}

#[tokio::test]
async fn a_picture_goes_to_a_group_and_to_nobody_else_on_one_node() {
    a_picture_goes_to_a_group_and_to_nobody_else(FileSite::embedded(&[]).await).await;
}

#[tokio::test]
async fn a_picture_goes_to_a_group_and_to_nobody_else_over_redis() {
    a_picture_goes_to_a_group_and_to_nobody_else(FileSite::redis(&[]).await).await;
}

/// A fresh address is asked for once, of an entry of the history as of one that just came.
#[tokio::test]
async fn an_address_that_has_ended_is_asked_for_anew_and_only_once() {
    let (site, browser) = tokio::join!(
        FileSite::embedded(&["--file-url-life", "2s", "--stall-timeout", "2m"]),
        Browser::start()
    );
    let node = &site.one;
    let mut sender = node.login(APP, "黄帝").await;
    let file = upload(node.server(), "黄帝", "user:马超", &png(500, 400)).await;
    sender.request("msg", &carrying("img", "user:马超", &file)).await.expect("sent");
    let window = browser.enter_with(COUNTING, node.server(), APP, "马超").await;
    window.click("#people button[data-target='user:黄帝']").await;
    let small = ".picture img";
    window.until(&format!("document.querySelector('{small}')?.naturalWidth")).await;
    let path = path_of(&window, small).await;
    until("the address has ended", SOON, async || open(node.server(), &path).await.status == 403).await;
    let before = window.run("return window.asked").await.as_u64().expect("a number");
    window.click(".picture").await;
    window.until("document.querySelector('.viewer img')?.naturalWidth === 500").await;
    assert_eq!(window.run("return window.asked").await, before + 1);
    window.press_key(&char::from(Key::Escape).to_string()).await;
    window.until("!document.querySelector('dialog')").await;

    // What is nowhere to be had is asked for no more than that.
    let lost = upload(node.server(), "黄帝", "user:马超", &png(410, 30)).await;
    let kept = site.kept().await;
    let id = lost["fileId"].as_str().expect("an id");
    for path in kept.iter().filter(|path| path.contains(id)) {
        std::fs::remove_file(path).expect("removed");
    }
    sender.request("msg", &carrying("img", "user:马超", &lost)).await.expect("sent");
    window.until_last(".file > a", "图片无法显示，点此打开").await;
    assert_eq!(window.run("return window.asked").await, before + 3);
    // A film that this browser does not know says so as well, and a sound has its controls.
    let film = upload(node.server(), "黄帝", "user:马超", &film(9_000)).await;
    sender.request("msg", &carrying("video", "user:马超", &film)).await.expect("sent");
    window.until_last(".file.video > a", "视频无法显示，点此打开").await;
    let sound = upload(node.server(), "黄帝", "user:马超", &sound()).await;
    sender.request("msg", &carrying("audio", "user:马超", &sound)).await.expect("sent");
    window.until("document.querySelector('.file audio[controls]')?.duration === 1").await;
}

/// A second of silence.
fn sound() -> Vec<u8> {
    let (rate, bytes) = (8_000_u32, 8_000_u32);
    let mut wave = b"RIFF".to_vec();
    wave.extend((36 + bytes).to_le_bytes());
    wave.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wave.extend([rate.to_le_bytes(), rate.to_le_bytes()].concat());
    wave.extend(b"\x01\0\x08\0data");
    wave.extend(bytes.to_le_bytes());
    wave.resize(wave.len() + bytes as usize, 0x80);
    wave
}

/// Pictures come from this server, and from where messages may name some; sounds and films from here alone.
#[tokio::test]
async fn the_page_loads_from_nowhere_but_the_listed_origins() {
    let policy = async |node: &Node| {
        get(node.server(), "/home/index").await.header("content-security-policy").to_owned()
    };
    for (listed, sources) in [
        ("", ""),
        (
            "https://cdn.example,http://old.example:81,https://[::1]",
            " https://cdn.example:443 http://old.example:81",
        ),
        ("*", " https:"),
    ] {
        let node = Node::ephemeral(&["--media-origins", listed]).await;
        let policy = policy(&node).await;
        let pictures = format!("img-src 'self' blob: data:{sources};");
        assert!(policy.contains(&pictures) && policy.contains("media-src 'self';"), "{listed}: {policy}");
    }
}
