//! A bucket that is away, or not ours: files are refused, and chat goes on.

use std::net::TcpListener;
use std::time::Duration;

use chat_protocol::{Code, Target};
use chat_tests::fault_proxy::FaultProxy;
use chat_tests::files::{APP, address, film, open, try_upload, upload, url_of};
use chat_tests::node::Node;
use chat_tests::program::run;
use chat_tests::raw_http::{Answer, exchange, get, request};
use chat_tests::s3_server::S3Server;
use chat_tests::wait::{SOON, pace, until};
use serde_json::{Value, json};

/// Longer than the node tries to reach a bucket before it says that it cannot.
const TRIED: Duration = Duration::from_secs(60);
/// What goes in four parts.
const LONG: usize = 20 * 1024 * 1024;

async fn state(node: &Node) -> Value {
    node.http().call_raw("/system/state", &json!({})).await.expect("a state")
}

fn borrowed(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

/// Whether it was refused because the store does not answer.
fn is_away(answer: &Answer) -> bool {
    answer.status == 503 && answer.code() == u64::from(Code::StoreUnreachable.number())
}

#[tokio::test]
async fn a_bucket_that_goes_away_takes_nothing_but_files_along() {
    let mut server = S3Server::start().await;
    let own = server.arguments("away", server.address());
    let node = Node::start(&[&["--ephemeral"], &borrowed(&own)[..]].concat()).await;
    assert!(node.log().contains("files lie in the bucket s3://chat/away/"), "{}", node.log());
    let file = upload(node.server(), "a", "", &film(5000)).await;
    let url = address(node.server(), "a", "", &file).await;
    let mut a = node.login(APP, "a").await;
    server.kill();

    let put = try_upload(node.server(), "a", "", &film(5000)).await;
    let got = open(node.server(), &url).await;
    assert!(is_away(&put) && put.reason().contains("files"), "{put:?}");
    assert!(is_away(&got), "{got:?}");
    a.send(Target::World, "chat goes on").await.expect("sent");
    assert_eq!(get(node.server(), "/readyz").await.status, 200);
    let told = state(&node).await;
    assert_eq!((&told["ready"], &told["unready"]), (&json!(true), &json!(["files"])));
    let shown = run("chatctl", &["--server", &node.server().to_string(), "state"], &[]).await;
    assert!(shown.stdout.contains("yes, but nothing is stored in: files"), "{shown:?}");

    server.restart().await;
    until("files again", TRIED, async || open(node.server(), &url).await.bytes == film(5000)).await;
    upload(node.server(), "a", "", &film(5000)).await;
    assert_eq!(state(&node).await.get("unready"), None);
    // What was refused is swept, though nothing of it came.
    until("two files", TRIED, async || server.kept("away").await.len() == 2).await;
}

#[tokio::test]
async fn a_download_goes_on_when_the_bucket_is_back() {
    let server = S3Server::shared().await;
    let (prefix, way) = (server.prefix(), FaultProxy::start(server.address()).await);
    let own = server.arguments(&prefix, way.address());
    let node = Node::start(&[&["--ephemeral"], &borrowed(&own)[..]].concat()).await;
    let url = url_of(&upload(node.server(), "a", "", &film(LONG)).await);
    way.delay(Duration::from_millis(20));
    let (to, target) = (node.server().clone(), url.clone());
    let reading = tokio::spawn(async move {
        let head = format!("GET {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", to.authority());
        exchange(&to, head.as_bytes()).await
    });
    pace(Duration::from_millis(500)).await;
    way.cut();
    way.heal();
    let answer = reading.await.expect("no panic").expect("an answer");
    assert!(answer.status == 200 && answer.bytes == film(LONG), "{} bytes", answer.bytes.len());
    // What stays away ends the answer, which no reader takes for whole; a part is asked for again.
    way.cut();
    assert!(is_away(&open(node.server(), &url).await));
    way.heal();
    let range = [("Range", "bytes=20971510-")];
    assert_eq!(request(node.server(), "GET", &url, &range, b"").await.bytes, film(LONG)[20_971_510..]);
}

/// What a start with this bucket says before it ends.
async fn refused(arguments: &[String], changed: &[&str], variables: &[(&str, &str)]) -> String {
    let arguments = [&["--listen", "127.0.0.1:0", "--ephemeral"], &borrowed(arguments)[..], changed].concat();
    let ended = run("chatd", &arguments, variables).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(!ended.stderr.contains("Geheimnis"), "{ended:?}");
    ended.stderr
}

#[tokio::test]
async fn a_bucket_that_is_not_ours_ends_the_start_with_what_is_wrong() {
    let server = S3Server::shared().await;
    let own = server.arguments("start", server.address());
    // The place, the server, the key; and the file with its secret.
    let (place, secret) = (own[..4].to_vec(), own[6..].to_vec());
    let with = |more: &[String], key: &str| {
        [place.clone(), vec!["--s3-access-key".to_owned(), key.to_owned()], more.to_vec()].concat()
    };
    let said = refused(&with(&secret, "nobody"), &[], &[]).await;
    assert!(said.contains("cannot put a file: InvalidAccessKeyId"), "{said}");
    let (reader, readers) = server.reader();
    let said = refused(&with(&secret, reader), &[], &[]).await;
    assert!(said.contains("cannot put a file: SignatureDoesNotMatch"), "{said}");
    let said = refused(&with(&[], reader), &[], &[("CHATD_S3_SECRET_KEY", readers)]).await;
    assert!(said.contains("cannot put a file: AccessDenied"), "{said}");
    let mut other = own.clone();
    other[1] = "s3://none/start".to_owned();
    let said = refused(&other, &[], &[]).await;
    assert!(
        said.contains("s3://none/start/ at http://127.0.0.1:") && said.contains("NoSuchBucket"),
        "{said}"
    );
    assert!(!said.contains("waiting for"), "{said}");
    // A server that is away is waited for.
    let nowhere = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let said = refused(&server.arguments("start", nowhere), &["--store-wait", "1"], &[]).await;
    assert!(said.contains("waiting for the bucket") && said.contains("Connection refused"), "{said}");
    // Who is known to AWS's own programs needs no key in the settings.
    let words: Vec<_> = std::iter::once("--ephemeral").chain(borrowed(&place)).collect();
    let known = [("AWS_ACCESS_KEY_ID", own[5].as_str()), ("AWS_SECRET_ACCESS_KEY", "Geheimnis/der+Tests=")];
    let node = Node::with_variables(&known, &words).await;
    upload(node.server(), "a", "", &film(5000)).await;
    assert_eq!(server.kept("start").await.len(), 1, "nothing is left of the checks");
    until("all is told", SOON, async || state(&node).await["ready"] == json!(true)).await;
}
