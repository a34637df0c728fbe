//! /openapi.json about what is no operation, against the node that serves it: each answer it states is given, in the form
//! it states, and no other.
//!
//! Invariant: every answer of every route of the table is seen, so that one that is described wrongly, or forgotten, is
//! found.

use std::collections::BTreeSet;

use chat_protocol::route::{self, Route};
use chat_protocol::table::ROUTES;
use chat_tests::files::{jpeg, url_of};
use chat_tests::node::Node;
use chat_tests::raw_http::{self, Answer, UPGRADE, get, post_json, request};
use chat_tests::routes;
use chat_tests::schema::fault;
use serde_json::{Value, json};

/// What is asked of a route: method, path with query, headers, body.
type Asked<'a> = (&'static Route, &'a str, String, Vec<(&'a str, &'a str)>, &'a [u8]);

const UPLOAD: &str = "/file/upload?appId=1&userId=a&target=&name=a.jpg";

/// Answers to what a client may get wrong, and to what it gets right.
fn asked<'a>(url: &str, etag: &'a str, picture: &'a [u8], film: &'a [u8]) -> Vec<Asked<'a>> {
    let plainly = |route| (route, "GET", routes::path(route), vec![], &b""[..]);
    let file = |headers| (&route::FILE, "GET", url.to_owned(), headers, &b""[..]);
    let upload =
        |method, query: &str, headers, body| (&route::FILE_UPLOAD, method, query.to_owned(), headers, body);
    let foreign = |route| (route, "GET", routes::path(route), vec![("Origin", "null")], &b""[..]);
    let mut asked = vec![
        upload("PUT", UPLOAD, vec![], picture),
        upload("POST", UPLOAD, vec![], picture),
        upload("PUT", "/file/upload?appId=1&userId=a", vec![], picture),
        upload("PUT", "/file/upload?appId=1&userId=&target=", vec![], picture),
        upload("POST", UPLOAD, vec![("Content-Type", "multipart/form-data; boundary=b")], picture),
        upload("PUT", UPLOAD, vec![("Content-Encoding", "gzip")], picture),
        upload("PUT", UPLOAD, vec![], b"no picture"),
        upload("PUT", UPLOAD, vec![], film),
        upload("PUT", "/file/upload?appId=1&userId=a&target=group:g", vec![], picture),
        upload("PUT", UPLOAD, vec![("Sec-Fetch-Dest", "image")], picture),
        file(vec![]),
        file(vec![("Range", "bytes=0-9")]),
        file(vec![("Range", "bytes=10000000-")]),
        file(vec![("If-None-Match", etag)]),
        file(vec![("Range", "bytes=0-9"), ("If-Range", etag)]),
        plainly(&route::FILE),
        plainly(&route::WEBSOCKET),
        (&route::PAGE_ASSET, "GET", "/home/chat.css".to_owned(), vec![], b""),
        (&route::PAGE_ASSET, "GET", "/home/nope.js".to_owned(), vec![], b""),
        (&route::PAGE_ASSET_OF_VERSION, "GET", "/home/any/nope.js".to_owned(), vec![], b""),
        (
            &route::METRICS,
            "GET",
            "/metrics".to_owned(),
            vec![("Accept", "application/openmetrics-text")],
            b"",
        ),
    ];
    for route in ROUTES.iter().filter(|route| route.body.is_none() && route.path != route::FILE.path) {
        asked.push(plainly(route));
        asked.push(foreign(route));
    }
    asked
}

/// Whether a media type is one of these, or in a range of them.
fn is_among(kind: &str, described: &Value) -> bool {
    let described = described.as_object().into_iter().flat_map(|content| content.keys());
    described
        .into_iter()
        .any(|known| known == kind || known.strip_suffix('*').is_some_and(|begin| kind.starts_with(begin)))
}

fn check(document: &Value, route: &Route, method: &str, answer: &Answer) {
    let what = format!("{method} {}: {answer:?}", route.path);
    let operation = &document["paths"][route.path][method.to_ascii_lowercase()];
    let described = &operation["responses"][answer.status.to_string()];
    assert!(described.is_object(), "a status that is not described: {what}");
    let kind = answer.header("content-type").split(';').next().unwrap_or_default();
    assert_eq!(answer.bytes.is_empty(), described["content"].is_null(), "{what}");
    if answer.bytes.is_empty() {
        return;
    }
    assert!(is_among(kind, &described["content"]), "{kind} is not described: {what}");
    let schema = &described["content"][kind]["schema"];
    if schema.is_object() {
        assert_eq!(fault(schema, &answer.json()), None, "{what}");
    }
}

#[tokio::test]
async fn every_answer_of_a_route_is_as_described() {
    let node = Node::ephemeral(&["--file-bytes", "50000"]).await;
    let (server, document) = (node.server(), get(node.server(), "/openapi.json").await.json());
    let (picture, film) = (jpeg(40, 30), chat_tests::files::film(60_000));
    let uploaded = request(server, "PUT", UPLOAD, &[], &picture).await;
    let url = url_of(&uploaded.json()["data"]);
    let etag = get(server, &url).await.header("etag").to_owned();
    let mut seen = BTreeSet::new();
    let mut see = |route: &Route, method: &str, answer: &Answer| {
        check(&document, route, method, answer);
        let told = route.outcomes.iter().find(|outcome| outcome.status == answer.status);
        // A refusal may have the status of another answer.
        if let Some(outcome) = told.filter(|_| !answer.body.contains("\"msg\":") || answer.status == 200) {
            seen.insert((route.path, answer.status));
            for header in outcome.headers {
                assert!(!answer.header(&header.to_ascii_lowercase()).is_empty(), "{header}: {answer:?}");
            }
        }
    };
    for (route, method, target, headers, body) in asked(&url, &etag, &picture, &film) {
        let answer = request(server, method, &target, &headers, body).await;
        see(route, method, &answer);
    }
    // The one that ends HTTP, and the one of a node that is about to stop.
    assert_eq!(raw_http::status(server, "/acc", &UPGRADE).await, 101);
    seen_handshake(&document);
    let _held = node.login(1, "a").await;
    assert_eq!(post_json(server, "/system/drain", json!({"seconds": 3600}).to_string()).await.code(), 200);
    let answer = get(server, "/readyz").await;
    assert_eq!(answer.status, 503, "{answer:?}");
    see(&route::READYZ, "GET", &answer);
    seen.insert((route::WEBSOCKET.path, 101));
    let stated: BTreeSet<_> = ROUTES
        .iter()
        .flat_map(|route| route.outcomes.iter().map(|outcome| (route.path, outcome.status)))
        .collect();
    assert_eq!(seen, stated, "what is stated, and what is answered");
}

fn seen_handshake(document: &Value) {
    let described = &document["paths"]["/acc"]["get"]["responses"]["101"];
    assert!(described["headers"]["Sec-WebSocket-Accept"].is_object() && described["content"].is_null());
}

/// Where its parameters stand, with their bounds, and what its body is.
#[tokio::test]
async fn an_upload_is_described_as_bytes_with_a_query() {
    let node = Node::ephemeral(&[]).await;
    let document = get(node.server(), "/openapi.json").await.json();
    let [put, post] = ["put", "post"].map(|method| document["paths"]["/file/upload"][method].clone());
    assert_eq!(put["requestBody"], post["requestBody"]);
    let content = put["requestBody"]["content"].as_object().expect("content");
    assert_eq!(content.keys().collect::<Vec<_>>(), ["application/octet-stream"], "a form is refused");
    let parameters = put["parameters"].as_array().expect("parameters");
    let places: Vec<_> =
        parameters.iter().map(|one| (one["name"].as_str(), one["in"].as_str(), &one["required"])).collect();
    let query = Some("query");
    assert_eq!(
        places,
        [
            (Some("appId"), query, &json!(true)),
            (Some("userId"), query, &json!(true)),
            (Some("target"), query, &json!(true)),
            (Some("name"), query, &json!(false)),
        ]
    );
    assert_eq!(parameters[3]["schema"]["maxLength"], 255);
    let id = &document["paths"]["/file/{id}"]["get"]["parameters"][0];
    assert_eq!((&id["name"], &id["in"], &id["required"]), (&json!("id"), &json!("path"), &json!(true)));
}
