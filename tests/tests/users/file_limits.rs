//! What files may be: how large, of what kind, how much in all; and files that are made to do harm.
//!
//! Invariant: a refusal names its limit in words and in members, is counted, and leaves nothing.

use std::io::Cursor;

use chat_tests::files::{APP, FileSite, address, film, open, png, try_upload, upload, upload_to, url_of};
use chat_tests::node::Node;
use chat_tests::raw_http::{Answer, exchange, get, request};
use futures_util::future::join_all;
use image::{DynamicImage, GrayImage, ImageFormat};
use serde_json::{Value, json};

async fn refused_by(node: &Node, limit: &str) -> u64 {
    let metrics = get(node.server(), "/metrics").await.body;
    let line = format!("chatd_limit_refusals_total{{limit=\"{limit}\"}} ");
    let counted =
        metrics.lines().find_map(|found| found.strip_prefix(&line)).unwrap_or_else(|| panic!("{metrics}"));
    counted.parse().expect("a number")
}

/// `data` of a refusal by a limit that allows so much.
fn by(limit: &str, bound: u64) -> Value {
    json!({"limit": limit, "bound": bound})
}

/// Whether it was refused by this limit.
fn is_by(answer: &Answer, code: u64, data: &Value) {
    assert_eq!(answer.code(), code, "{answer:?}");
    assert_eq!(&answer.json()["data"], data);
    let limit = data["limit"].as_str().expect("a name");
    assert!(answer.reason().contains(&format!("limits.{limit}")), "{answer:?}");
}

#[tokio::test]
async fn a_file_has_so_many_bytes_whether_its_length_is_said_or_not() {
    let site = FileSite::embedded(&["--file-bytes", "100000"]).await;
    let (node, limit) = (&site.one, by("file_bytes", 100_000));
    assert_eq!(try_upload(node.server(), "a", "", &film(100_000)).await.code(), 200);
    is_by(&try_upload(node.server(), "a", "", &film(100_001)).await, 1012, &limit);
    // In pieces whose sum nobody knows before.
    let (target, host) = (upload_to("a", "", "a"), node.server().authority());
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    );
    let pieces = film(100_001);
    let mut body = Vec::new();
    for piece in pieces.chunks(30_000) {
        body.extend(format!("{:x}\r\n", piece.len()).bytes().chain(piece.iter().copied()).chain(*b"\r\n"));
    }
    body.extend(b"0\r\n\r\n");
    is_by(
        &exchange(node.server(), &[head.as_bytes(), &body].concat()).await.expect("an answer"),
        1012,
        &limit,
    );
    // Who waits to be told to send sends nothing of it.
    let head = format!(
        "PUT {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100001\r\nExpect: 100-continue\r\n\r\n"
    );
    is_by(&exchange(node.server(), head.as_bytes()).await.expect("an answer"), 1012, &limit);
    assert_eq!(refused_by(node, "file_bytes").await, 3);
    site.until_kept(1).await;
}

#[tokio::test]
async fn users_and_apps_have_so_many_bytes_however_many_files_come_at_once() {
    let limits =
        ["--file-bytes-per-user", "50000", "--file-bytes-per-app", "90000", "--uploads-per-user", "100"];
    so_many_bytes(FileSite::redis(&limits).await).await;
    so_many_bytes(FileSite::bucket(&limits).await).await;
}

async fn so_many_bytes(site: FileSite) {
    let uploads = (0..20).map(|number| {
        let server = if number % 2 == 0 { site.one.server() } else { site.elsewhere() };
        let user = if number < 10 { "a" } else { "b" };
        async move { (user, try_upload(server, user, "", &film(10_000)).await) }
    });
    let answers = join_all(uploads).await;
    let taken =
        |of: &str| answers.iter().filter(|(user, answer)| *user == of && answer.status == 200).count();
    assert_eq!(taken("a") + taken("b"), 9, "{answers:?}");
    assert!(taken("a") <= 5 && taken("b") <= 5, "{answers:?}");
    let limits = [by("file_bytes_per_user", 50_000), by("file_bytes_per_app", 90_000)];
    for (_, answer) in answers.iter().filter(|(_, answer)| answer.status != 200) {
        let limit = limits.iter().find(|limit| **limit == answer.json()["data"]);
        is_by(answer, 1009, limit.unwrap_or_else(|| panic!("{answer:?}")));
    }
    site.until_kept(9).await;
    let elsewhere = request(
        site.one.server(),
        "PUT",
        &upload_to("c", "", "c").replace(&format!("appId={APP}"), "appId=1"),
        &[],
        &film(10_000),
    )
    .await;
    assert_eq!(elsewhere.code(), 200, "another app has its own: {elsewhere:?}");
}

#[tokio::test]
async fn what_runs_in_a_page_is_not_taken_whatever_it_is_called() {
    let site = FileSite::embedded(&[]).await;
    let node = &site.one;
    let mut refused = 0;
    for file in [
        &b"<!doctype html><script>alert(1)</script>"[..],
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7\n",
        b"PK\x03\x04",
        b"just a text",
        b"\x7fELF",
        b"GI",
    ] {
        let answer = request(
            node.server(),
            "PUT",
            &upload_to("a", "", "photo.png"),
            &[("Content-Type", "image/png")],
            file,
        )
        .await;
        is_by(&answer, 1009, &json!({"limit": "file_types"}));
        refused += 1;
    }
    assert_eq!(refused_by(node, "file_types").await, refused);
    assert!(try_upload(node.server(), "a", "", b"").await.reason().contains("empty"));
    // What begins as a picture and is none.
    for broken in [
        &b"GIF89a/*<script>alert(1)</script>*/=1;"[..],
        b"\xff\xd8\xff\xe0<html>",
        b"\x89PNG\r\n\x1a\n<svg/>",
    ] {
        let answer = try_upload(node.server(), "a", "", broken).await;
        assert_eq!(
            (answer.code(), answer.reason().as_str()),
            (1001, "the picture cannot be read"),
            "{broken:?}"
        );
    }
    // One that is a picture, and a page behind its end.
    let mut polyglot = png(40, 30);
    polyglot.extend_from_slice(b"<html><script>alert(1)</script>");
    let file = upload(node.server(), "a", "", &polyglot).await;
    assert_eq!(open(node.server(), &url_of(&file)).await.bytes, png(40, 30));
    site.until_kept(1).await;
}

#[tokio::test]
async fn a_picture_has_so_many_pixels_however_small_its_file() {
    let site = FileSite::embedded(&["--picture-pixels", "1000000"]).await;
    let node = &site.one;
    let mut bomb = Cursor::new(Vec::new());
    DynamicImage::from(GrayImage::new(20_000, 5_000))
        .write_to(&mut bomb, ImageFormat::Png)
        .expect("a picture");
    let mut bomb = bomb.into_inner();
    assert!(bomb.len() < 1_000_000, "{}", bomb.len());
    let answer = try_upload(node.server(), "a", "", &bomb).await;
    is_by(&answer, 1012, &by("picture_pixels", 1_000_000));
    assert!(answer.reason().contains("20000×5000"), "{answer:?}");
    // One that lies about its size.
    bomb[16..24].copy_from_slice(&[0, 0, 0, 10, 0, 0, 0, 10]);
    assert_eq!(try_upload(node.server(), "a", "", &bomb).await.code(), 1001);
    assert_eq!(refused_by(node, "picture_pixels").await, 1);
    site.until_kept(0).await;
}

#[tokio::test]
async fn a_name_is_a_text_and_nothing_else() {
    let site = FileSite::embedded(&[]).await;
    let server = site.one.server();
    for (name, shown) in [
        ("../../../etc/passwd", "%2E%2E%2F%2E%2E%2F%2E%2E%2Fetc%2Fpasswd"),
        ("a\"; filename=b.html", "a%22%3B%20filename%3Db%2Ehtml"),
        ("帝\u{202e}gnp.exe", "%E5%B8%9D%E2%80%AEgnp%2Eexe"),
        ("C:\\con", "C%3A%5Ccon"),
    ] {
        let answer = request(server, "PUT", &upload_to("a", "", name), &[], &film(100)).await;
        assert_eq!(answer.code(), 200, "{answer:?}");
        let file = answer.json()["data"].clone();
        assert_eq!(file["name"], name);
        let opened = open(server, &address(server, "a", "", &file).await).await;
        assert_eq!(opened.header("content-disposition"), format!("inline; filename*=UTF-8''{shown}"));
    }
    for name in ["", "a\r\nSet-Cookie: x", "\0", &"x".repeat(256)] {
        let answer = request(server, "PUT", &upload_to("a", "", name), &[], &film(100)).await;
        assert!(answer.code() == 1001 && answer.reason().starts_with("name: "), "{name:?}: {answer:?}");
    }
    let is_plain = |path: &String| {
        path.rsplit('/')
            .next()
            .is_some_and(|name| name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    site.until_kept(4).await;
    let kept = site.kept().await;
    assert!(kept.iter().all(is_plain), "{kept:?}");
}

#[tokio::test]
async fn nodes_that_share_no_place_take_no_files() {
    let redis = chat_tests::redis_server::RedisServer::start().await;
    let node = Node::start(&["--redis", &redis.url()]).await;
    let answer = try_upload(node.server(), "a", "", &film(100)).await;
    assert!(answer.code() == 1009 && answer.reason().contains("files.place"), "{answer:?}");
}
