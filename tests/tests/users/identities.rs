//! Who may do what on a closed node: every operation and route as everybody, over HTTP and WebSocket.
//!
//! Invariant: what is tried and what is expected come from the tables, so that a new one is tried too.

use chat_protocol::operation::{APP, Description, Rights, Scope};
use chat_protocol::params::Field;
use chat_protocol::route::{Admission, Place};
use chat_protocol::table::{ALL, ROUTES};
use chat_tests::closed::Closed;
use chat_tests::files::{png, url_of, written};
use chat_tests::raw_http::{Answer, get, request};
use chat_tests::routes;
use chat_tests::talk::{close_code, refused};
use chatd::config::Scopes;
use serde_json::{Map, Value, json};

const APP_ID: u32 = 901;
const OTHER_APP: u32 = 902;

/// What names the app, the acting user and the node, as far as there are such parameters.
fn names((fields, rights): (&[Field], Rights), app: u32, user: &str) -> Map<String, Value> {
    let mut names = Map::new();
    if fields.iter().any(|field| field.name == APP) {
        names.insert(APP.to_owned(), app.into());
    }
    if fields.iter().any(|field| field.name == "node") {
        // What is meant for another node does nothing here.
        names.insert("node".to_owned(), "another".into());
    }
    if let Some(actor) = rights.actor() {
        names.insert(actor.to_owned(), user.into());
    }
    names
}

/// By POST, and by GET where it is taken.
async fn ask(
    closed: &Closed,
    operation: &Description,
    shown: &str,
    body: &Map<String, Value>,
) -> Vec<Answer> {
    let bearer = format!("Bearer {shown}");
    let mut headers = vec![("Content-Type", "application/json")];
    if !shown.is_empty() {
        headers.push(("Authorization", &bearer));
    }
    let (server, json) = (closed.node.server(), Value::Object(body.clone()).to_string());
    let mut answers = vec![request(server, "POST", operation.path, &headers, json.as_bytes()).await];
    if operation.effect.takes_get() {
        let pairs = body.iter().map(|(name, value)| match value {
            Value::String(text) => format!("{name}={text}"),
            other => format!("{name}={other}"),
        });
        let target = format!("{}?{}", operation.path, pairs.collect::<Vec<_>>().join("&"));
        answers.push(request(server, "GET", &target, &headers, b"").await);
    }
    answers
}

/// Whether who asks is let in: what else there is to say comes after that.
fn is_let_in(code: u64) -> bool {
    ![1000, 1003].contains(&code)
}

/// The code of an answer; 200 for one that has none and is good.
fn code_of(answer: &Answer) -> u64 {
    if answer.status == 200 { 200 } else { answer.code() }
}

/// Whether these rights hold for what is asked with a credential and parameters.
async fn check_rights(
    closed: &Closed,
    (path, fields, rights): (&str, &[Field], Rights),
    ask: impl AsyncFn(&str, &Map<String, Value>) -> Vec<Answer>,
) {
    let [a, b, elsewhere] =
        [(APP_ID, "a"), (APP_ID, "b"), (OTHER_APP, "a")].map(|(app, user)| closed.token(app, user));
    let named = names((fields, rights), APP_ID, "a");
    let expect = async |who: &str, shown: &str, body: &Map<String, Value>, let_in: bool, code: u64| {
        for answer in ask(shown, body).await {
            let what = format!("{path} as {who}: {answer:?}");
            match let_in {
                true => assert!(is_let_in(code_of(&answer)), "{what}"),
                false => assert_eq!(code_of(&answer), code, "{what}"),
            }
            let asks = answer.header("www-authenticate") == "Bearer";
            assert_eq!(asks, answer.status == 401, "{what}");
        }
    };
    let is_for_users = rights.are_for_users();
    expect("nobody", "", &named, false, 1000).await;
    expect("the user", &a, &named, is_for_users, 1003).await;
    expect("the user, without saying so", &a, &Map::new(), is_for_users, 1003).await;
    if rights.actor().is_some() {
        expect("another user", &b, &named, false, 1003).await;
    }
    if named.contains_key(APP) {
        expect("a user of another app", &elsewhere, &named, false, 1003).await;
    }
    for scope in Scope::ALL {
        let who = format!("a key that may {scope}");
        expect(&who, closed.key(scope.as_str()), &named, scope == rights.scope(), 1003).await;
    }
    expect("a key that may all", closed.key("all"), &named, true, 1003).await;
}

#[tokio::test]
async fn every_operation_is_for_whom_its_rights_name_over_http() {
    let closed = Closed::start("", &[]).await;
    for operation in ALL {
        let asked = (operation.path, operation.fields, operation.rights);
        check_rights(&closed, asked, async |shown, body| ask(&closed, operation, shown, body).await).await;
    }
}

#[tokio::test]
async fn every_route_is_for_whom_it_says() {
    let closed = Closed::start("", &[]).await;
    let server = closed.node.server();
    let ask = async |route, shown: &str, query: &Map<String, Value>| {
        let bearer = format!("Bearer {shown}");
        let headers = if shown.is_empty() { Vec::new() } else { vec![("Authorization", &*bearer)] };
        routes::ask(server, route, &headers, query).await
    };
    let token = closed.token(APP_ID, "a");
    for route in ROUTES {
        if let Admission::Rights(rights) = route.admission {
            let asked = (route.path, route.query, rights);
            check_rights(&closed, asked, async |shown, query| ask(route, shown, query).await).await;
            continue;
        }
        for shown in ["", "nonsense", &token, closed.key("read"), closed.key("all")] {
            for answer in ask(route, shown, &Map::new()).await {
                // What is signed is for nobody without, whoever they are.
                let is_refused = [401, 403].contains(&answer.status);
                assert_eq!(is_refused, route.admission == Admission::Signed, "{} {answer:?}", route.path);
                let is_unfit = route.place == Place::WebSocket && answer.status == 400;
                assert!(is_refused || is_unfit || answer.status < 400, "{} {answer:?}", route.path);
            }
        }
    }
    // And with it for whoever has it.
    let upload = format!("/file/upload?appId={APP_ID}&userId=a&target={}&name=a.png", written(""));
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", &*bearer)];
    let uploaded = request(server, "PUT", &upload, &headers, &png(2, 2)).await;
    assert_eq!(uploaded.code(), 200, "{uploaded:?}");
    assert_eq!(get(server, &url_of(&uploaded.json()["data"])).await.status, 200);
}

#[tokio::test]
async fn every_operation_is_for_whom_its_rights_name_over_a_websocket() {
    let closed = Closed::start("", &[]).await;
    let mut nobody = closed.node.connect().await;
    let talks: Scopes = [Scope::Read, Scope::Send].into_iter().collect();
    let mut entered = Vec::new();
    for (who, token, scopes) in [
        ("a user", closed.token(APP_ID, "a"), None),
        ("a key that talks", closed.key("talks").to_owned(), Some(talks)),
        ("a key that may all", closed.key("all").to_owned(), Some(Scopes::ALL)),
    ] {
        let (session, outcome) = closed.enter(APP_ID, "a", &token).await;
        outcome.unwrap_or_else(|error| panic!("{who}: {error}"));
        entered.push((who, session, scopes));
    }
    for operation in ALL {
        let command = operation.path.trim_start_matches('/');
        assert_eq!(refused(nobody.request(command, &json!({})).await), 1000, "{command} as nobody");
        // What it names of others is not heard: a connection acts as its own user.
        let named = names((operation.fields, operation.rights), OTHER_APP, "b");
        for (who, session, scopes) in &mut entered {
            let may = scopes
                .map_or(operation.rights.are_for_users(), |scopes| scopes.has(operation.rights.scope()));
            let code = session
                .request(command, &named)
                .await
                .err()
                .map_or(200, |error| refused(Err::<(), _>(error)));
            assert!(if may { is_let_in(code.into()) } else { code == 1003 }, "{command} as {who}: {code}");
        }
    }
}

#[tokio::test]
async fn nobody_logs_in_as_somebody_else() {
    let closed = Closed::start("", &[]).await;
    for (who, app, user, token, code) in [
        ("another user", APP_ID, "a", closed.token(APP_ID, "b"), 1003),
        ("a user of another app", APP_ID, "a", closed.token(OTHER_APP, "a"), 1003),
        ("a key that only reads", APP_ID, "a", closed.key("read").to_owned(), 1003),
        ("a key that only sends", APP_ID, "a", closed.key("send").to_owned(), 1003),
        ("a key that only moves money", APP_ID, "a", closed.key("money").to_owned(), 1003),
        ("a key that only runs the node", APP_ID, "a", closed.key("admin").to_owned(), 1003),
        ("the system", APP_ID, "system", closed.token(APP_ID, "system"), 1002),
        ("an operator as the system", APP_ID, "System", closed.key("all").to_owned(), 1002),
    ] {
        let (mut session, entered) = closed.enter(app, user, &token).await;
        assert_eq!(refused(entered), code, "{who}");
        assert_eq!(close_code(&mut session).await, 4501, "{who}");
    }
    // Whoever forgot the token may still give it, by either name.
    let mut late = closed.node.connect().await;
    let mut data = json!({"userId": "a", "appId": APP_ID});
    assert_eq!(refused(late.request("login", &data).await), 1000);
    assert_eq!(refused(late.request("msg", &json!({"msg": "x"})).await), 1000);
    data["serviceToken"] = closed.token(APP_ID, "a").into();
    late.request("login", &data).await.expect("it logs in");
    late.request("msg", &json!({"msg": "x"})).await.expect("it is sent");
}

/// What a user does with a token over HTTP is theirs, and stays in their app.
#[tokio::test]
async fn a_token_acts_as_its_user() {
    let closed = Closed::start("", &[]).await;
    let (mut reader, entered) = closed.enter(APP_ID, "b", &closed.token(APP_ID, "b")).await;
    entered.expect("it logs in");
    let http = chat_client::Http::new(closed.server(&closed.token(APP_ID, "a")), chat_tests::wait::SOON);
    let http = http.expect("a client");
    http.call_raw("/user/sendMessage", &json!({"userId": "b", "message": "hello"}))
        .await
        .expect("it is sent");
    let came = chat_tests::talk::next_message(&mut reader).await;
    assert_eq!((came.from.as_str(), came.content.msg.as_deref()), ("a", Some("hello")));
    let history = http.call_raw("/message/history", &json!({"target": "user:b"})).await.expect("it is read");
    assert_eq!(history["messages"][0]["from"], "a");
    for forged in [
        json!({"userId": "b", "message": "x", "from": "b"}),
        json!({"userId": "b", "message": "x", "from": "system"}),
    ] {
        assert_eq!(refused(http.call_raw("/user/sendMessage", &forged).await), 1003);
    }
}

#[tokio::test]
async fn a_credential_is_shown_once() {
    let closed = Closed::start("", &[]).await;
    let key = format!("Bearer {}", closed.key("read"));
    let headers = [("Authorization", &*key), ("Authorization", "Bearer x")];
    for path in ["/metrics", "/user/list?appId=1"] {
        assert_eq!(request(closed.node.server(), "GET", path, &headers, b"").await.code(), 1001, "{path}");
    }
}

#[tokio::test]
async fn the_document_says_who_may_do_what() {
    let closed = Closed::start("", &[]).await;
    let document = get(closed.node.server(), "/openapi.json").await.json();
    let schemes = document["components"]["securitySchemes"].as_object().expect("schemes");
    let operations = ALL.iter().map(|operation| (operation.path, Some(operation.rights)));
    let routes = ROUTES.iter().map(|route| match route.admission {
        Admission::Rights(rights) => (route.path, Some(rights)),
        Admission::Open | Admission::Signed => (route.path, None),
    });
    for (path, rights) in operations.chain(routes) {
        for (method, described) in document["paths"][path].as_object().expect("methods") {
            let security = described["security"].as_array().expect("a choice");
            let Some(rights) = rights else {
                assert!(security.is_empty(), "{method} {path}: {security:?}");
                continue;
            };
            let named: Vec<_> =
                security.iter().flat_map(|choice| choice.as_object().expect("one").keys()).collect();
            assert!(named.iter().all(|name| schemes.contains_key(*name)), "{path}: {named:?}");
            assert_eq!(security[0]["apiKey"], json!([rights.scope().as_str()]), "{method} {path}");
            assert_eq!(named.len() == 2, rights.are_for_users(), "{method} {path}");
        }
    }
}
