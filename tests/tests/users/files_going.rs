//! How files go: with their message, with their group, when nobody sent them, and when their upload was given up.
//!
//! Invariant: what has gone lies on no disk and counts for nobody.

use chat_client::Stream;
use chat_protocol::system::{State, StateRequest};
use chat_tests::files::{
    APP, FileSite, address, carrying, film, fresh, jpeg, open, try_upload, upload, upload_to, url_of,
};
use chat_tests::node::Node;
use chat_tests::raw_http::post_json;
use chat_tests::wait::{SOON, until};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

async fn what_is_taken_back_is_gone(site: FileSite) {
    let (here, there) = (site.one.server(), site.elsewhere());
    let mut sender = site.one.login(APP, "黄帝").await;
    let file = upload(here, "黄帝", "", &jpeg(900, 600)).await;
    let other = upload(here, "黄帝", "", &film(5000)).await;
    site.until_kept(3).await;
    let url = address(there, "马超", "", &file).await;
    let sent = sender.request("msg", &carrying("img", "", &file)).await.expect("it is taken");
    sender.request("msg", &carrying("video", "", &other)).await.expect("it is taken");
    let recall = json!({"appId": APP, "userId": "黄帝", "target": "", "offset": sent["offset"]}).to_string();
    // Who may not take the message back takes no file away either.
    let mut other_user = site.one.login(APP, "马超").await;
    let theirs = other_user.request("message/recall", &json!({"target": "", "offset": sent["offset"]})).await;
    assert!(theirs.is_err_and(|error| error.to_string().contains("only its sender")));
    assert_eq!(open(there, &url).await.status, 200);
    for _ in 0..2 {
        assert_eq!(post_json(there, "/message/recall", &recall).await.code(), 200);
        assert_eq!(open(there, &url).await.code(), 1005);
        assert_eq!(fresh(there, "马超", "", &file).await.code(), 1005);
    }
    site.until_kept(1).await;
    assert_eq!(open(there, &address(there, "马超", "", &other).await).await.bytes, film(5000));
    // Nor can it be sent again.
    let again = sender.request("msg", &carrying("img", "", &file)).await;
    assert!(again.is_err_and(|error| error.to_string().contains("no file")));
}

#[tokio::test]
async fn what_is_taken_back_is_gone_on_one_node() {
    what_is_taken_back_is_gone(FileSite::embedded(&[]).await).await;
}

#[tokio::test]
async fn what_is_taken_back_is_gone_over_redis() {
    what_is_taken_back_is_gone(FileSite::redis(&[]).await).await;
}

#[tokio::test]
async fn what_is_taken_back_is_gone_from_a_bucket() {
    what_is_taken_back_is_gone(FileSite::bucket(&[]).await).await;
}

async fn a_group_takes_its_files_along(site: FileSite) {
    let (here, there) = (site.one.server(), site.elsewhere());
    let about =
        |user: &str| json!({"appId": APP, "userId": user, "groupId": "tea", "name": "茶"}).to_string();
    assert_eq!(post_json(here, "/group/create", about("黄帝")).await.code(), 200);
    let of_group = upload(here, "黄帝", "group:tea", &film(5000)).await;
    let of_world = upload(here, "黄帝", "", &film(5000)).await;
    let mut sender = site.one.login(APP, "黄帝").await;
    sender.request("msg", &carrying("video", "group:tea", &of_group)).await.expect("it is taken");
    let url = address(there, "黄帝", "group:tea", &of_group).await;
    assert_eq!(post_json(there, "/group/dismiss", about("黄帝")).await.code(), 200);
    assert_eq!(open(there, &url).await.code(), 1005);
    // Nor does another group of the same id get it.
    assert_eq!(post_json(here, "/group/create", about("黄帝")).await.code(), 200);
    assert_eq!(open(there, &url).await.code(), 1005);
    assert_eq!(fresh(there, "黄帝", "group:tea", &of_group).await.code(), 1005);
    site.until_kept(1).await;
    assert_eq!(open(here, &url_of(&of_world)).await.status, 200);
}

#[tokio::test]
async fn a_group_takes_its_files_along_on_one_node() {
    a_group_takes_its_files_along(FileSite::embedded(&[]).await).await;
}

#[tokio::test]
async fn a_group_takes_its_files_along_over_redis() {
    a_group_takes_its_files_along(FileSite::redis(&[]).await).await;
}

#[tokio::test]
async fn a_group_takes_its_files_along_from_a_bucket() {
    a_group_takes_its_files_along(FileSite::bucket(&[]).await).await;
}

/// Files that no message carries are kept so long, and of all of them so many bytes.
const BRIEF: [&str; 6] =
    ["--file-upload-timeout", "2s", "--file-unsent-life", "2s", "--file-bytes-per-user", "9000"];

#[tokio::test]
async fn what_nobody_sent_goes_by_itself_and_makes_room() {
    what_nobody_sent_goes(FileSite::embedded(&BRIEF).await).await;
}

#[tokio::test]
async fn what_nobody_sent_goes_by_itself_from_a_bucket() {
    what_nobody_sent_goes(FileSite::bucket(&BRIEF).await).await;
}

async fn what_nobody_sent_goes(site: FileSite) {
    let server = site.one.server();
    let sent = upload(server, "a", "", &film(4000)).await;
    let mut sender = site.one.login(APP, "a").await;
    sender.request("msg", &carrying("video", "", &sent)).await.expect("it is taken");
    let unsent = upload(server, "a", "", &film(4000)).await;
    assert_eq!(try_upload(server, "a", "", &film(4000)).await.code(), 1009, "there is no more room");
    site.until_kept(1).await;
    assert_eq!(fresh(server, "a", "", &unsent).await.code(), 1005);
    assert_eq!(open(server, &address(server, "a", "", &sent).await).await.status, 200);
    let again = async || try_upload(server, "a", "", &film(4000)).await.status == 200;
    until("there is room again", SOON, again).await;
}

/// The head of an upload of so many bytes, and the first of them.
fn begun(node: &Node, bytes: usize, came: usize) -> Vec<u8> {
    [head(node, bytes, ""), film(came)].concat()
}

fn head(node: &Node, bytes: usize, more: &str) -> Vec<u8> {
    let (target, host) = (upload_to("a", "", "a"), node.server().authority());
    format!("PUT {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {bytes}\r\n{more}\r\n").into_bytes()
}

/// An upload that sends something and then nothing; it counts by the time this returns.
async fn stalled(node: &Node) -> Stream {
    let mut stream = Stream::open(node.server(), None).await.expect("the server listens");
    stream.write_all(&head(node, 1_000_000, "Expect: 100-continue\r\n")).await.expect("sent");
    // The body is asked for only once the upload has its turn.
    let mut answer = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    timeout(SOON, stream.read_exact(&mut answer)).await.expect("in time").expect("an answer");
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(&film(300_000)).await.expect("sent");
    stream
}

#[tokio::test]
async fn an_upload_that_is_given_up_leaves_nothing_and_holds_nobody_up() {
    let site = FileSite::embedded(&["--uploads-per-user", "2", "--stall-timeout", "10s"]).await;
    let node = &site.one;
    let (mut silent, left) = (stalled(node).await, stalled(node).await);
    let refused = try_upload(node.server(), "a", "", &film(100)).await;
    assert_eq!(refused.status, 429, "both are under way: {refused:?}");
    assert!(refused.reason().contains("limits.uploads_per_user = 2"), "{refused:?}");
    let told = json!({"retryAfterMs": 1000, "limit": "uploads_per_user", "bound": 2});
    assert_eq!(refused.json()["data"], told);
    let other = try_upload(node.server(), "b", "", &film(100)).await;
    assert_eq!(other.code(), 200, "another user has their own: {other:?}");
    // One hears why it was given up, the other goes by itself.
    drop(left);
    let mut said = Vec::new();
    timeout(SOON, silent.read_to_end(&mut said)).await.expect("in time").expect("an answer");
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(
        said.starts_with("HTTP/1.1 400 ") && said.contains("no more of the file came within 10 s"),
        "{said}"
    );
    let free = async || try_upload(node.server(), "a", "", &film(100)).await.status == 200;
    until("neither counts any more", SOON, free).await;
    let kept = site.kept().await;
    assert_eq!(kept.len(), 2, "{kept:?}");
    let state = node.http().call::<State>(&StateRequest {}).await.expect("a state");
    let limit = state.limits.into_iter().find(|limit| limit.name == "uploads_per_user").expect("the limit");
    assert!(limit.refused >= 1 && limit.value == "2", "{limit:?}");
}

#[tokio::test]
async fn a_killed_node_finds_its_files_again_and_what_was_on_its_way_is_gone() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().to_str().expect("a path").to_owned();
    let mut node = Node::start(&["--data-dir", &data]).await;
    let file = upload(node.server(), "a", "", &film(5000)).await;
    let mut stream = Stream::open(node.server(), None).await.expect("the server listens");
    stream.write_all(&begun(&node, 1_000_000, 300_000)).await.expect("sent");
    node.kill();
    let node = Node::start(&["--data-dir", &data]).await;
    assert_eq!(open(node.server(), &url_of(&file)).await.bytes, film(5000), "the key is the same");
    let uploads = directory.path().join("files/uploads");
    assert_eq!(std::fs::read_dir(uploads).expect("a directory").count(), 0);
}
