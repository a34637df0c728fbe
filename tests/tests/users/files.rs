//! Files that only those of a conversation can open: from the upload to the reader, and everybody who is none.
//!
//! Invariant: each refusal is one that the same request of a member does not meet.

use chat_client::Server;
use chat_protocol::session::Push;
use chat_tests::closed::Closed;
use chat_tests::files::{
    APP, FileSite, SECRET_PLACE, address, carrying, film, fresh, jpeg, open, png, try_upload, upload,
    upload_to, url_of, written,
};
use chat_tests::node::Node;
use chat_tests::raw_http::{Answer, post_json, request};
use chat_tests::wait::{SOON, until};
use serde_json::{Value, json};

const GROUP: &str = "group:tea";

async fn call(server: &Server, path: &str, data: Value) -> Answer {
    let mut data = data;
    data["appId"] = json!(APP);
    let answer = post_json(server, path, data.to_string()).await;
    assert_eq!(answer.code(), 200, "{path} {data}: {answer:?}");
    answer
}

/// A group of 黄帝 and 马超.
async fn group(server: &Server) {
    call(server, "/group/create", json!({"userId": "黄帝", "groupId": "tea", "name": "茶"})).await;
    call(server, "/group/join", json!({"userId": "马超", "groupId": "tea"})).await;
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

/// Whether the answer gives nothing away; the code it has.
fn nothing(answer: &Answer) -> u64 {
    assert!([401, 403, 404, 409].contains(&answer.status), "{answer:?}");
    answer.code()
}

/// One of the site's nodes has it, the other serves it.
async fn a_member_opens_what_another_sent(site: FileSite) {
    let (here, there) = (site.one.server(), site.elsewhere());
    group(here).await;
    let mut reader = match &site.other {
        Some(other) => other.login(APP, "马超").await,
        None => site.one.login(APP, "马超").await,
    };
    let mut sender = site.one.login(APP, "黄帝").await;
    let photo = jpeg(900, 600);
    assert!(holds(&photo, SECRET_PLACE));
    let file = upload(here, "黄帝", GROUP, &photo).await;
    assert_eq!((file["type"].as_str(), file["contentType"].as_str()), (Some("img"), Some("image/jpeg")));
    // The camera was held upright.
    assert_eq!(file["size"], json!({"width": 600, "height": 900}));
    let sent = sender.request("msg", &carrying("img", GROUP, &file)).await.expect("it is taken");
    assert_eq!(sent["duplicate"], false);
    let push = loop {
        let push = reader.next_push(SOON).await.expect("a connection").expect("a push");
        if push.cmd == "msg" {
            break push.data;
        }
    };
    let bare = format!("/file/{}", file["fileId"].as_str().expect("an id"));
    assert_eq!((&push["url"], &push["secret"]), (&json!(bare), &file["secret"]));
    assert_eq!((&push["size"], &push["type"]), (&file["size"], &json!("img")));
    let url = address(there, "马超", GROUP, &file).await;
    let opened = open(there, &url).await;
    assert_eq!(opened.status, 200, "{:?}", opened.headers);
    assert!(opened.bytes.len() as u64 == file["bytes"].as_u64().expect("a number"));
    assert!(!holds(&opened.bytes, SECRET_PLACE), "where it was taken is nobody's business");
    assert_eq!(opened.header("content-type"), "image/jpeg");
    assert_eq!(opened.header("etag"), format!("\"{}\"", file["sha256"].as_str().expect("a digest")));
    assert_eq!(opened.header("x-content-type-options"), "nosniff");
    assert!(opened.header("content-security-policy").starts_with("sandbox; default-src 'none'"));
    assert_eq!(opened.header("content-disposition"), "inline; filename*=UTF-8''a%2Ebin");
    let small = open(there, &format!("{url}&part=thumbnail")).await;
    assert_eq!((small.status, small.header("content-type")), (200, "image/jpeg"));
    assert!(small.bytes.len() < opened.bytes.len() / 2);
    let head = request(there, "HEAD", &url, &[], b"").await;
    let length = opened.bytes.len().to_string();
    assert_eq!((head.status, head.header("content-length"), head.bytes.len()), (200, length.as_str(), 0));
    let known = [("If-None-Match", opened.header("etag"))];
    assert_eq!(request(there, "GET", &url, &known, b"").await.status, 304);
    let history = call(there, "/message/history", json!({"userId": "马超", "target": GROUP})).await;
    let last: Push = serde_json::from_value(
        history.json()["data"]["messages"].as_array().expect("messages").last().expect("one").clone(),
    )
    .expect("a push");
    assert_eq!(last.content.url.as_deref(), Some(bare.as_str()));
}

#[tokio::test]
async fn a_member_opens_what_another_sent_on_one_node() {
    a_member_opens_what_another_sent(FileSite::embedded(&[]).await).await;
}

#[tokio::test]
async fn a_member_opens_what_another_sent_over_redis() {
    a_member_opens_what_another_sent(FileSite::redis(&[]).await).await;
}

#[tokio::test]
async fn a_member_opens_what_another_sent_in_a_bucket() {
    a_member_opens_what_another_sent(FileSite::bucket(&[]).await).await;
}

async fn others_open_nothing(site: FileSite) {
    let (here, there) = (site.one.server(), site.elsewhere());
    group(here).await;
    let picture = png(40, 30);
    let file = upload(here, "黄帝", GROUP, &picture).await;
    let url = address(there, "马超", GROUP, &file).await;
    assert_eq!(open(there, &url).await.bytes.len() as u64, file["bytes"].as_u64().expect("a number"));
    // Nobody else gets an address, in the name of whatever conversation.
    assert_eq!(nothing(&fresh(there, "曹操", GROUP, &file).await), 1009);
    for target in ["", "user:黄帝", "user:曹操"] {
        assert_eq!(nothing(&fresh(there, "马超", target, &file).await), 1005, "{target}");
        assert_eq!(nothing(&fresh(there, "曹操", target, &file).await), 1005, "{target}");
    }
    assert_eq!(nothing(&fresh(there, "曹操", "group:none", &file).await), 1005);
    assert_eq!(nothing(&try_upload(there, "曹操", GROUP, &picture).await), 1009);
    // Nor does one that was changed open anything.
    let (bare, query) = url.split_once('?').expect("a query");
    let other = upload(here, "黄帝", GROUP, &png(41, 30)).await;
    let other_bare = format!("/file/{}", other["fileId"].as_str().expect("an id"));
    let forged = [
        bare.to_owned(),
        format!("{bare}?{}", query.replace(&written("马超"), &written("曹操"))),
        format!("{bare}?{}", query.replace(&format!("appId={APP}"), "appId=1")),
        format!("{bare}?{}", query.replace("target=group%3Atea", "target=")),
        format!("{bare}?{}", query.replace("expires=1", "expires=2")),
        format!("{bare}?{}", query.split_once("&signature").expect("one").0),
        format!("{bare}?{}0", query),
        format!("{other_bare}?{query}"),
        format!("/file/..%2f..%2fchat.sqlite3?{query}"),
        format!("/file/{}?{query}", "0".repeat(32)),
        format!("{bare}?{query}&userId={}", written("曹操")),
    ];
    for url in forged {
        let code = nothing(&open(there, &url).await);
        assert!([1003, 1005].contains(&code), "{code} {url}");
    }
    // Who leaves, or is sent away, opens it no more: not with the address they have, and they get no other.
    call(here, "/group/leave", json!({"userId": "马超", "groupId": "tea"})).await;
    assert_eq!(nothing(&open(there, &url).await), 1009);
    assert_eq!(nothing(&fresh(there, "马超", GROUP, &file).await), 1009);
    call(here, "/group/join", json!({"userId": "马超", "groupId": "tea"})).await;
    assert_eq!(open(there, &url).await.status, 200);
    call(here, "/group/kick", json!({"userId": "黄帝", "memberId": "马超", "groupId": "tea"})).await;
    assert_eq!(nothing(&open(there, &url).await), 1009);
    call(here, "/group/join", json!({"userId": "马超", "groupId": "tea"})).await;
    call(here, "/system/ban", json!({"userId": "马超", "seconds": 60})).await;
    assert_eq!(nothing(&open(there, &url).await), 1003);
}

#[tokio::test]
async fn others_open_nothing_on_one_node() {
    others_open_nothing(FileSite::embedded(&[]).await).await;
}

#[tokio::test]
async fn others_open_nothing_over_redis() {
    others_open_nothing(FileSite::redis(&[]).await).await;
}

#[tokio::test]
async fn others_open_nothing_in_a_bucket() {
    others_open_nothing(FileSite::bucket(&[]).await).await;
}

#[tokio::test]
async fn an_address_ends_and_a_pair_has_files_of_its_own() {
    let site = FileSite::embedded(&["--file-url-life", "2s"]).await;
    let server = site.one.server();
    let file = upload(server, "黄帝", "user:马超", &film(3000)).await;
    let url = address(server, "马超", "user:黄帝", &file).await;
    until("the address has ended", SOON, async || {
        let answer = open(server, &url).await;
        answer.status == 403 && answer.reason().contains("has ended")
    })
    .await;
    let url = address(server, "马超", "user:黄帝", &file).await;
    assert_eq!(open(server, &url).await.bytes, film(3000));
    for (user, target) in [("马超", "user:马超"), ("曹操", "user:黄帝"), ("曹操", "user:马超"), ("马超", "")]
    {
        assert_eq!(nothing(&fresh(server, user, target, &file).await), 1005, "{user} {target}");
    }
}

#[tokio::test]
async fn a_part_is_sent_where_a_part_is_asked_for() {
    a_part_is_sent(FileSite::embedded(&[]).await).await;
}

#[tokio::test]
async fn a_part_is_sent_where_a_part_is_asked_for_in_a_bucket() {
    a_part_is_sent(FileSite::bucket(&[]).await).await;
}

async fn a_part_is_sent(site: FileSite) {
    let (server, whole) = (site.elsewhere(), film(300_000));
    let file = upload(site.one.server(), "a", "", &whole).await;
    let url = url_of(&file);
    let tag = format!("\"{}\"", file["sha256"].as_str().expect("a digest"));
    for (range, from, to) in [
        ("bytes=0-0", 0, 1),
        ("bytes=131070-131075", 131_070, 131_076),
        ("bytes=-10", 299_990, 300_000),
        ("bytes=299999-", 299_999, 300_000),
    ] {
        let part = request(server, "GET", &url, &[("Range", range), ("If-Range", &tag)], b"").await;
        assert_eq!(part.status, 206, "{range}");
        assert_eq!(part.header("content-range"), format!("bytes {from}-{}/300000", to - 1));
        assert!(part.bytes == whole[from..to], "{range}");
    }
    let beyond = request(server, "GET", &url, &[("Range", "bytes=300000-")], b"").await;
    assert_eq!((beyond.status, beyond.header("content-range")), (416, "bytes */300000"));
    let other = [("Range", "bytes=0-0"), ("If-Range", "\"other\"")];
    for headers in [&other[..], &[("Range", "bytes=0-1,5-6")], &[]] {
        let answer = request(server, "GET", &url, headers, b"").await;
        assert_eq!((answer.status, answer.bytes == whole), (200, true), "{headers:?}");
    }
}

#[tokio::test]
async fn a_long_film_goes_in_parts_and_comes_whole_from_a_bucket() {
    let site = FileSite::bucket(&[]).await;
    let whole = film(20 * 1024 * 1024 + 7);
    let file = upload(site.one.server(), "a", "", &whole).await;
    assert_eq!(site.kept().await, [format!("{APP}/{}", file["fileId"].as_str().expect("an id"))]);
    let url = url_of(&file);
    assert!(open(site.elsewhere(), &url).await.bytes == whole);
    // Over the end of a part.
    let range = [("Range", "bytes=5242870-5242890")];
    let part = request(site.elsewhere(), "GET", &url, &range, b"").await;
    assert_eq!(part.status, 206, "{:?}", part.headers);
    assert!(part.bytes == whole[5_242_870..5_242_891]);
}

#[tokio::test]
async fn a_message_carries_what_its_sender_uploaded_for_it_and_nothing_else() {
    let site = FileSite::embedded(&["--media-origins", "https://cdn.example,http://old.example:81"]).await;
    let server = site.one.server();
    group(server).await;
    let file = upload(server, "黄帝", GROUP, &png(40, 30)).await;
    let sound = upload(server, "黄帝", GROUP, &film(100)).await;
    let mut owner = site.one.login(APP, "黄帝").await;
    let mut member = site.one.login(APP, "马超").await;
    let refused = async |session: &mut chat_client::Session, message: &Value, why: &str| match session
        .request("msg", message)
        .await
    {
        Err(chat_client::Error::Refused { code: 1009, reason, .. }) => {
            assert!(reason.contains(why), "{message}: {reason}")
        }
        other => panic!("{message}: {other:?}"),
    };
    let not_here = "no file that you uploaded for this conversation";
    refused(&mut member, &carrying("img", GROUP, &file), not_here).await;
    refused(&mut owner, &carrying("img", "", &file), not_here).await;
    refused(&mut owner, &carrying("video", GROUP, &file), "image/png").await;
    let mut lying = carrying("img", GROUP, &file);
    lying["secret"] = json!("another");
    refused(&mut owner, &lying, "secret").await;
    for url in [
        "/file/none",
        "/file/../x",
        "//cdn.example/x",
        "https://cdn.example.evil/x",
        "https://cdn.example@evil/x",
        "https://evil\\@cdn.example",
        "http://cdn.example/x",
        "javascript:alert(1)",
        "u",
    ] {
        let message = json!({"target": GROUP, "type": "img", "url": url});
        refused(
            &mut owner,
            &message,
            if url.starts_with("/file/") { not_here } else { "files.media_origins" },
        )
        .await;
    }
    for url in ["https://cdn.example/x?y", "HTTPS://CDN.example:443", "http://old.example:81/x"] {
        let message = json!({"target": GROUP, "type": "img", "url": url});
        owner.request("msg", &message).await.unwrap_or_else(|error| panic!("{url}: {error}"));
    }
    owner
        .request("msg", &carrying("audio", GROUP, &sound))
        .await
        .expect("sound alone in what can hold a film");
    // Over HTTP it is the text that names the file; and what is sent again is the same message.
    let message = json!({"appId": APP, "userId": "黄帝", "groupId": "tea", "type": "img", "message": file["url"], "msgId": "once"});
    for duplicate in [false, true] {
        let answer = post_json(server, "/group/sendMessage", message.to_string()).await;
        assert_eq!(answer.code(), 200, "{answer:?}");
        assert_eq!(answer.json()["data"]["duplicate"].as_bool().unwrap_or_default(), duplicate);
    }
}

#[tokio::test]
async fn users_act_as_themselves_and_pages_of_others_bring_nothing() {
    let closed = Closed::start("", &[]).await;
    let server = closed.node.server();
    let bearer = |user: &str| format!("Bearer {}", closed.token(APP, user));
    let (one, other) = (bearer("黄帝"), bearer("马超"));
    let put = async |headers: &[(&str, &str)], target: &str| {
        request(server, "PUT", target, headers, &png(40, 30)).await
    };
    let own = "/file/upload?target=";
    assert_eq!(put(&[], own).await.code(), 1000);
    assert_eq!(put(&[("Authorization", &one)], &upload_to("马超", "", "a")).await.code(), 1003);
    let site = [("Authorization", one.as_str()), ("Sec-Fetch-Site", "cross-site")];
    assert_eq!(put(&site, own).await.code(), 1003);
    let form = [("Authorization", one.as_str()), ("Content-Type", "multipart/form-data; boundary=b")];
    assert!(put(&form, own).await.reason().contains("curl -T"));
    let answer = put(&[("Authorization", &one)], own).await;
    assert_eq!(answer.code(), 200, "{answer:?}");
    let id = answer.json()["data"]["fileId"].clone();
    let asked = format!("/file/url?target=&fileId={}", id.as_str().expect("an id"));
    assert_eq!(request(server, "GET", &asked, &[], b"").await.code(), 1000);
    let answer = request(server, "GET", &asked, &[("Authorization", &other)], b"").await;
    // The address needs no token: a picture in a page has none.
    assert_eq!(open(server, &url_of(&answer.json()["data"])).await.status, 200);
    let reading = format!("Bearer {}", closed.key("read"));
    assert_eq!(put(&[("Authorization", &reading)], &upload_to("a", "", "a")).await.code(), 1003);
}

#[tokio::test]
async fn a_new_key_signs_and_an_old_one_is_believed_until_it_is_taken_away() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).to_str().expect("a path").to_owned();
    for key in ["old", "new"] {
        std::fs::write(path(key), format!("{key} secret of at least thirty-two bytes\n")).expect("written");
    }
    let settings = |keys: &[&str]| {
        let files: Vec<_> = keys.iter().map(|key| path(key)).collect();
        std::fs::write(path("chatd.toml"), format!("[files]\nkey_files = {files:?}\n")).expect("written");
    };
    settings(&["old"]);
    let node = Node::ephemeral(&["--config", &path("chatd.toml")]).await;
    let server = node.server();
    let file = upload(server, "a", "", &film(100)).await;
    let old = url_of(&file);
    settings(&["new", "old"]);
    call(server, "/system/reload", json!({})).await;
    let new = address(server, "a", "", &file).await;
    for url in [&old, &new] {
        assert_eq!(open(server, url).await.status, 200);
    }
    settings(&["new"]);
    call(server, "/system/reload", json!({})).await;
    assert_eq!(open(server, &new).await.status, 200);
    assert!(open(server, &old).await.reason().contains("key that is not in use"));
    std::fs::write(path("new"), "short").expect("written");
    let answer = post_json(server, "/system/reload", "{}").await;
    assert!(answer.code() == 1009 && answer.reason().contains("key_files"), "{answer:?}");
    assert_eq!(open(server, &new).await.status, 200);
}
