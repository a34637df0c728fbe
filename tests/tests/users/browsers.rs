//! Browsers as callers: any page may make one send requests here, and only the pages meant to get anything done.
//!
//! Invariant: what holds for operations is asked of every operation there is.

use chat_protocol::operation::{Description, Effect};
use chat_protocol::table::ALL;
use chat_tests::node::Node;
use chat_tests::raw_http::{Answer, exchange, get, request, status};
use chat_tests::raw_socket::handshake;
use chat_tests::wait::{SOON, until};

const EVIL: (&str, &str) = ("Origin", "http://evil.example");
const JSON: (&str, &str) = ("Content-Type", "application/json");
const PAGES: [&str; 7] =
    ["/", "/home/index?appId=1", "/home/chat.js", "/livez", "/readyz", "/metrics", "/openapi.json"];
const UPGRADE: [(&str, &str); 4] = [
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

async fn post(node: &Node, path: &str, headers: &[(&str, &str)]) -> Answer {
    request(node.server(), "POST", path, &[&[JSON], headers].concat(), b"{}").await
}

/// What is meant for another node does nothing to this one.
fn asked_of_another(operation: &Description) -> String {
    let is_of_node = operation.fields.iter().any(|field| field.name == "node");
    format!("{}{}", operation.path, if is_of_node { "?node=another" } else { "" })
}

fn assert_refused(answer: &Answer, what: &str) {
    assert_eq!((answer.code(), answer.status), (1003, 403), "{what}: {answer:?}");
}

#[tokio::test]
async fn what_changes_something_takes_post_only() {
    let node = Node::ephemeral(&[]).await;
    for operation in ALL {
        let allowed = match operation.effect {
            Effect::Changes => "POST, OPTIONS",
            Effect::Reads | Effect::ChangesByGet => "GET, HEAD, POST, OPTIONS",
        };
        let path = &asked_of_another(operation);
        for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH", "TRACE", "BREW"] {
            let answer = request(node.server(), method, path, &[], &[]).await;
            if allowed.contains(method) {
                assert_ne!(answer.status, 405, "{method} {path}");
                continue;
            }
            assert_eq!((answer.status, answer.header("allow")), (405, allowed), "{method} {path}");
            if method != "HEAD" {
                assert_eq!(answer.code(), 1015, "{method} {path}");
            }
        }
        assert_ne!(post(&node, path, &[]).await.status, 405, "POST {path}");
    }
}

#[tokio::test]
async fn a_foreign_origin_is_refused_whatever_it_asks_for() {
    let node = Node::ephemeral(&[]).await;
    for operation in ALL {
        for origin in [EVIL, ("Origin", "null"), ("Origin", "http://localhost")] {
            assert_refused(&post(&node, operation.path, &[origin]).await, operation.path);
        }
        let preflight = [EVIL, ("Access-Control-Request-Method", "POST")];
        let answer = request(node.server(), "OPTIONS", operation.path, &preflight, &[]).await;
        assert_refused(&answer, operation.path);
        assert_eq!(answer.header("access-control-allow-origin"), "");
    }
    for page in PAGES {
        assert_refused(&request(node.server(), "GET", page, &[EVIL], &[]).await, page);
    }
    assert_eq!(status(node.server(), "/acc", &[&UPGRADE[..], &[EVIL]].concat()).await, 403);
    let log = async || {
        let log = node.log();
        log.contains("http://evil.example") && log.contains("allowed_origins")
    };
    until("the log names what came and the setting", SOON, log).await;
}

#[tokio::test]
async fn another_site_or_a_part_of_a_page_changes_nothing() {
    let node = Node::ephemeral(&["--allowed-origins", "https://partner.example"]).await;
    let (site, dest) = ("Sec-Fetch-Site", "Sec-Fetch-Dest");
    for operation in ALL {
        let path = &asked_of_another(operation);
        for hostile in [
            &[(site, "cross-site")][..],
            &[(site, "same-site"), (dest, "empty")],
            &[(site, "cross-site"), (dest, "document")],
            &[(site, "same-origin"), (dest, "image")],
            &[(site, "same-origin"), (dest, "script")],
            &[(site, "none"), (dest, "iframe")],
            &[(site, "cross-site"), (dest, "image"), ("Origin", "https://partner.example")],
        ] {
            let mut answers = vec![post(&node, path, hostile).await];
            if operation.effect == Effect::ChangesByGet {
                answers.push(request(node.server(), "GET", path, hostile, &[]).await);
            }
            for answer in answers {
                assert_eq!(
                    answer.status == 403,
                    operation.effect.changes(),
                    "{path} {hostile:?}: {answer:?}"
                );
            }
        }
        for good in [
            &[(site, "same-origin"), (dest, "empty")][..],
            &[(site, "none"), (dest, "document")],
            &[(site, "cross-site"), (dest, "empty"), ("Origin", "https://partner.example")],
        ] {
            assert_ne!(post(&node, path, good).await.status, 403, "{path} {good:?}");
        }
    }
}

#[tokio::test]
async fn a_listener_on_loopback_answers_only_its_own_names_and_the_listed_ones() {
    let node = Node::ephemeral(&["--allowed-hosts", "chat.example,other.example"]).await;
    let port = node.server().authority().rsplit(':').next().expect("a port").to_owned();
    let ask = async |path: &str, host: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        exchange(node.server(), head.as_bytes()).await.expect("an answer")
    };
    for host in ["localhost", "127.0.0.1", "[::1]", "a.localhost", "chat.example", "OTHER.example"] {
        for host in [host.to_owned(), format!("{host}:{port}")] {
            assert_eq!(ask("/livez", &host).await.status, 200, "{host}");
        }
    }
    for path in ["/user/list?appId=1", "/acc"].iter().chain(&PAGES) {
        for host in ["evil.example", "localhost.evil.example", "10.0.0.1"] {
            let refused = ask(path, &format!("{host}:{port}")).await;
            assert_refused(&refused, path);
            assert!(refused.reason().contains("--allowed-hosts"), "the remedy: {refused:?}");
        }
    }
    let own = format!("evil.example:{port}");
    let head = handshake(node.server()).replace(node.server().authority().as_str(), &own);
    let head = head.replace("Upgrade\r\n", &format!("Upgrade, close\r\nOrigin: http://{own}\r\n"));
    assert_refused(&exchange(node.server(), head.as_bytes()).await.expect("an answer"), "a WebSocket");
    let log = async || node.log().contains(&own) && node.log().contains("allowed_hosts");
    until("the log names what came and the setting", SOON, log).await;
}

#[tokio::test]
async fn the_pages_own_host_may_come_with_or_without_its_default_port() {
    let node = Node::ephemeral(&["--allowed-hosts", "chat.example"]).await;
    for (origin, host, wanted) in [
        ("https://chat.example", "chat.example:443", 101),
        ("http://chat.example", "chat.example:80", 101),
        ("https://chat.example", "chat.example", 101),
        ("http://chat.example:8080", "chat.example:8080", 101),
        ("https://chat.example", "chat.example:8443", 403),
        ("https://evil.example", "chat.example:443", 403),
        ("http://chat.example:8080", "chat.example", 403),
        ("null", "chat.example", 403),
    ] {
        let head = handshake(node.server()).replace(node.server().authority().as_str(), host);
        let head = head.replacen("\r\n", &format!("\r\nOrigin: {origin}\r\n"), 1);
        let mut socket = chat_tests::raw_socket::RawSocket::connect(node.server()).await;
        socket.send(head.as_bytes()).await;
        let head = socket.read_head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {wanted} ")), "{origin} at {host}: {head}");
    }
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_can_use_all_of_it() {
    let node = Node::ephemeral(&["--allowed-origins", "HTTPS://Pages.Example:443/, http://b.example"]).await;
    let origin = ("Origin", "https://pages.example");
    let open = |answer: &Answer| {
        assert_eq!(answer.header("access-control-allow-origin"), origin.1, "{answer:?}");
        assert_eq!(answer.header("vary"), "origin", "{answer:?}");
    };
    assert_eq!(status(node.server(), "/acc", &[&UPGRADE[..], &[origin]].concat()).await, 101);
    let list = request(node.server(), "GET", "/user/list?appId=1", &[origin], &[]).await;
    assert_eq!(list.code(), 200);
    open(&list);
    let form = [origin, ("Content-Type", "application/x-www-form-urlencoded")];
    let body = b"appId=1&userId=a&msgId=m&message=hello";
    let sent = request(node.server(), "POST", "/user/sendMessageAll", &form, body).await;
    assert_eq!(sent.code(), 200);
    open(&sent);
    // A refusal can be read as well.
    open(&request(node.server(), "GET", "/nope", &[origin], &[]).await);
    for operation in ALL {
        let preflight = [
            origin,
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "authorization,content-type"),
        ];
        let granted = request(node.server(), "OPTIONS", operation.path, &preflight, &[]).await;
        assert_eq!((granted.status, granted.body.as_str()), (204, ""), "{}", operation.path);
        open(&granted);
        let methods = granted.header("access-control-allow-methods");
        assert!(methods.contains("POST"), "{}: {methods}", operation.path);
        assert_eq!(methods.contains("GET"), operation.effect.takes_get(), "{}: {methods}", operation.path);
        assert_eq!(granted.header("access-control-allow-headers"), "authorization, content-type");
    }
    let other =
        request(node.server(), "GET", "/user/list?appId=1", &[("Origin", "http://pages.example")], &[]);
    assert_refused(&other.await, "another scheme");
    let unmarked = get(node.server(), "/user/list?appId=1").await;
    assert_eq!((unmarked.header("vary"), unmarked.header("access-control-allow-origin")), ("origin", ""));
}
