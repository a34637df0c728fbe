//! HTTP as proxies, checkers and libraries expect it: methods, hosts, handshakes, spellings of a body.

use chat_protocol::table::ROUTES;
use chat_tests::node::Node;
use chat_tests::raw_http::{Answer, exchange, get, post, request};
use chat_tests::raw_socket::{RawSocket, handshake};
use chat_tests::routes;

const READ_ONLY: [&str; 7] =
    ["/", "/home/index", "/home/chat.css", "/livez", "/readyz", "/metrics", "/openapi.json"];

async fn raw(node: &Node, text: &str) -> Answer {
    exchange(node.server(), text.as_bytes()).await.expect("an answer")
}

#[tokio::test]
async fn head_answers_like_get_without_the_body() {
    let node = Node::ephemeral(&[]).await;
    for path in READ_ONLY.iter().chain(&["/user/list?appId=1", "/user/list", "/nope"]) {
        let (get, head) =
            (get(node.server(), path).await, request(node.server(), "HEAD", path, &[], &[]).await);
        assert_eq!((head.status, head.body.as_str()), (get.status, ""), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
        if *path != "/metrics" {
            assert_eq!(head.header("content-length"), get.header("content-length"), "{path}");
        }
    }
}

#[tokio::test]
async fn another_method_is_answered_1015_with_what_is_allowed() {
    let node = Node::ephemeral(&[]).await;
    for route in ROUTES {
        let (path, allowed) = (routes::path(route), route.allow());
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"] {
            if allowed.split(", ").any(|taken| taken == method) {
                continue;
            }
            let answer = request(node.server(), method, &path, &[], &[]).await;
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.header("allow"), allowed, "{method} {path}");
            assert!(method == "HEAD" || answer.code() == 1015, "{method} {path}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn options_is_answered_as_balancers_ask_it() {
    let node = Node::ephemeral(&[]).await;
    let paths = ROUTES.iter().map(routes::path);
    for path in paths.chain(["/user/list".to_owned(), "/wallet/deposit".to_owned()]) {
        let answer = request(node.server(), "OPTIONS", &path, &[], &[]).await;
        assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{path}");
        assert!(answer.header("allow").ends_with("OPTIONS"), "{path}: {answer:?}");
    }
    assert_eq!(request(node.server(), "OPTIONS", "/nope", &[], &[]).await.code(), 1010);
    // The check of an HAProxy that was told nothing else.
    assert_eq!(raw(&node, "OPTIONS / HTTP/1.0\r\n\r\n").await.status, 204);
    let all = raw(&node, "OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert_eq!(all.status, 204);
}

#[tokio::test]
async fn a_request_names_its_host_once() {
    let node = Node::ephemeral(&[]).await;
    for (hosts, wanted) in [
        ("", "Host is missing"),
        ("Host: localhost\r\nHost: localhost\r\n", "Host is given more than once"),
        ("Host: \r\n", "Host is no host name"),
        ("Host: a b\r\n", "Host is no host name"),
        ("Host: localhost:port\r\n", "Host is no host name"),
    ] {
        for target in ["/livez", "/user/list?appId=1", "/acc"] {
            let answer =
                raw(&node, &format!("GET {target} HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n")).await;
            assert_eq!((answer.status, answer.code()), (400, 1001), "{hosts:?} {answer:?}");
            assert!(answer.reason().starts_with(wanted), "{hosts:?} {answer:?}");
        }
    }
    assert_eq!(raw(&node, "GET /livez HTTP/1.0\r\n\r\n").await.status, 200, "HTTP/1.0 knows no Host");
}

#[tokio::test]
async fn no_answer_is_taken_for_another_type_than_it_says() {
    let node = Node::ephemeral(&[]).await;
    for path in READ_ONLY.iter().chain(&["/nope", "/acc", "/user/list", "/user/list?appId=1"]) {
        assert_eq!(get(node.server(), path).await.header("x-content-type-options"), "nosniff", "{path}");
    }
    let refused = request(node.server(), "GET", "/livez", &[("Origin", "null")], &[]).await;
    assert_eq!(refused.header("x-content-type-options"), "nosniff");
}

#[tokio::test]
async fn the_root_leads_to_the_page() {
    let node = Node::ephemeral(&[]).await;
    for (from, to) in [("/", "home/index"), ("/?appId=7", "home/index?appId=7")] {
        let answer = get(node.server(), from).await;
        assert_eq!((answer.status, answer.header("location")), (307, to));
        assert_eq!(get(node.server(), &format!("/{to}")).await.status, 200);
    }
}

#[tokio::test]
async fn a_handshake_is_whole_or_refused() {
    let node = Node::ephemeral(&[]).await;
    let good = handshake(node.server());
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let with_key = |value: &str| good.replace("dGhlIHNhbXBsZSBub25jZQ==", value);
    for (what, head, status) in [
        ("as it should be", good.clone(), 101),
        ("two keys", good.replace(key, &key.repeat(2)), 400),
        (
            "two versions",
            good.replace("Version: 13\r\n", "Version: 13\r\nSec-WebSocket-Version: 13\r\n"),
            400,
        ),
        ("a key of 15 bytes", with_key("AAAAAAAAAAAAAAAAAAAA"), 400),
        ("a key of 17 bytes", with_key("AAAAAAAAAAAAAAAAAAAAAAA="), 400),
        ("a key of other letters", with_key("AAAAAAAAAAA-_AAAAAAAAA=="), 400),
        ("padding too early", with_key("AAAAAAAAAAAAAAAAAAAAA==="), 400),
        ("HTTP/1.0", good.replace("HTTP/1.1", "HTTP/1.0"), 400),
        ("HEAD", good.replace("GET ", "HEAD "), 400),
    ] {
        let mut socket = RawSocket::connect(node.server()).await;
        socket.send(head.as_bytes()).await;
        let head = socket.read_head().await;
        assert_eq!(head.get(9..12), Some(status.to_string().as_str()), "{what}: {head}");
    }
    let old = raw(&node, &good.replace("HTTP/1.1", "HTTP/1.0")).await;
    assert!(old.reason().contains("proxy_http_version 1.1"), "{old:?}");
}

#[tokio::test]
async fn a_body_is_read_as_clients_write_it() {
    let node = Node::ephemeral(&[]).await;
    let server = node.server();
    let marked = "\u{feff}{\"appId\":1,\"userId\":\"黄帝\"}";
    for content_type in ["application/json", "text/plain", ""] {
        assert_eq!(post(server, "/user/online", content_type, marked).await.code(), 200, "{content_type}");
    }
    let parts = "--b\r\nContent-Disposition: form-data; name=\"appID\"\r\n\r\n1\r\n\
                 --b\r\nContent-Disposition: form-data; name=\"userID\"\r\nContent-Type: text/plain\r\n\r\n黄帝\r\n--b--\r\n";
    let kind = "multipart/form-data; boundary=b";
    let answer = post(server, "/user/online", kind, parts).await;
    assert_eq!(answer.json()["data"]["userId"], "黄帝", "{answer:?}");
    let file = parts.replace("name=\"userID\"", "name=\"userID\"; filename=\"a\"");
    let answer = post(server, "/user/online", kind, file).await;
    assert!(answer.code() == 1001 && answer.reason().starts_with("userID: is a file"), "{answer:?}");
    for coding in ["gzip", "br", "deflate, gzip"] {
        let headers = [("Content-Encoding", coding), ("Content-Type", "application/json")];
        let answer = request(server, "POST", "/user/online", &headers, b"\x1f\x8b").await;
        let reason = answer.reason();
        assert!(answer.code() == 1001 && reason.starts_with("Content-Encoding ") && reason.contains(coding));
    }
    let identity = [("Content-Encoding", "identity"), ("Content-Type", "application/json")];
    assert_eq!(request(server, "POST", "/user/list", &identity, b"{\"appId\":1}").await.code(), 200);
}

#[tokio::test]
async fn both_spellings_together_are_one_parameter() {
    let node = Node::ephemeral(&[]).await;
    let same = get(node.server(), "/user/online?appId=101&appID=101&userId=a&userID=a").await;
    assert_eq!(same.code(), 200, "{same:?}");
    let two = get(node.server(), "/user/online?appId=101&appID=102&userId=a").await;
    assert!(two.code() == 1001 && two.reason().starts_with("appId: "), "{two:?}");
    let mut socket = RawSocket::open(node.server()).await;
    let login = r#"{"seq":"1","cmd":"login","data":{"userID":"a","userId":"a","appID":101,"appId":101}}"#;
    socket.send_text(login).await;
    assert_eq!(socket.answer().await["response"]["code"], 200);
}
