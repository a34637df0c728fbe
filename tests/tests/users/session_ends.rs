//! How long a session lives on a closed node: as long as its token and its key.
//!
//! Invariant: every end is told, by a warning where there is time for one and by the close code always.

use chat_client::Session;
use chat_protocol::session::EXPIRING;
use chat_tests::closed::{Closed, SECRET};
use chat_tests::jwt::{Signer, claims, in_seconds};
use chat_tests::talk::{close_code, refused};
use chat_tests::wait::SOON;
use serde_json::{Value, json};

const APP: u32 = 921;

fn token(user: &str, exp: i64) -> String {
    Signer::secret(SECRET).of(&json!({"sub": user, "appId": APP, "exp": exp}))
}

async fn enter(closed: &Closed, user: &str, token: &str) -> Session {
    let (session, entered) = closed.enter(APP, user, token).await;
    entered.unwrap_or_else(|error| panic!("{user}: {error}"));
    session
}

async fn warning(session: &mut Session) -> Value {
    loop {
        let push = session.next_push(SOON).await.expect("an open connection").expect("a warning");
        if push.cmd == EXPIRING {
            return push.data;
        }
    }
}

async fn refresh(session: &mut Session, token: &str) -> Result<Value, chat_client::Error> {
    session.request("session/refresh", &json!({"token": token})).await
}

async fn is_alive(session: &mut Session) -> bool {
    session.request("msg", &json!({"msg": "still here"})).await.is_ok()
}

#[tokio::test]
async fn a_session_is_warned_before_its_token_ends_and_lives_on_with_another() {
    let closed = Closed::start("leeway = 0\nexpiry_warning = 60", &[]).await;
    let exp = in_seconds(8);
    let (mut renews, mut stays) =
        tokio::join!(async { enter(&closed, "renews", &token("renews", exp)).await }, async {
            enter(&closed, "stays", &token("stays", exp)).await
        },);
    for session in [&mut renews, &mut stays] {
        assert_eq!(warning(session).await, json!({"expires": exp * 1000}));
    }
    for (wrong, code) in [
        (token("renews", in_seconds(-5)), 1003),
        (token("renews", in_seconds(0)), 1003),
        (token("stays", in_seconds(3600)), 1003),
        (Signer::secret(SECRET).of(&claims(APP + 1, "renews")), 1003),
        (closed.key("all").to_owned(), 1003),
        (token("renews", exp - 3), 1001),
        ("nonsense".to_owned(), 1003),
        (String::new(), 1000),
    ] {
        assert_eq!(refused(refresh(&mut renews, &wrong).await), code, "{wrong}");
    }
    let later = in_seconds(50);
    assert_eq!(refresh(&mut renews, &token("renews", later)).await.expect("it is taken"), Value::Null);
    assert_eq!(warning(&mut renews).await, json!({"expires": later * 1000}), "of the new one, too");
    assert_eq!(refresh(&mut renews, &token("renews", in_seconds(3600))).await.expect("again"), Value::Null);
    assert_eq!(close_code(&mut stays).await, 4501);
    assert!(in_seconds(0) >= exp, "not before its time");
    assert!(is_alive(&mut renews).await, "its old token ended at the same moment");
}

#[tokio::test]
async fn a_key_that_is_taken_away_ends_its_sessions_and_no_others() {
    let closed = Closed::start("", &[]).await;
    let mut by_key = enter(&closed, "a", closed.key("talks")).await;
    let mut by_other = enter(&closed, "b", closed.key("all")).await;
    let mut by_token = enter(&closed, "c", &closed.token(APP, "c")).await;
    let reload = async |key: &str| {
        let http = chat_client::Http::new(closed.server(closed.key(key)), SOON).expect("a client");
        http.call_raw("/system/reload", &json!({})).await
    };
    closed.change(&["all", "read"], "");
    assert_eq!(refused(reload("read").await), 1003, "it may not");
    assert!(is_alive(&mut by_key).await, "nothing was read yet");
    assert_eq!(
        reload("all").await.expect("it is read"),
        json!({"keys": ["all", "read"], "tokenKeys": 1, "limits": [], "restart": []})
    );
    assert_eq!(close_code(&mut by_key).await, 4501);
    assert!(is_alive(&mut by_other).await && is_alive(&mut by_token).await);
    let (_, entered) = closed.enter(APP, "a", closed.key("talks")).await;
    assert_eq!(refused(entered), 1003);

    // The next secret, while the old one still counts; then without it.
    let next = "the next secret, which comes after it";
    closed.change(&["all"], &format!("jwt_secret = {next:?}"));
    assert_eq!(reload("all").await.expect("it is read")["tokenKeys"], 2);
    assert!(is_alive(&mut by_token).await);
    let by_next = Signer::secret(next).of(&claims(APP, "d"));
    let mut by_next = enter(&closed, "d", &by_next).await;
    std::fs::write(closed.file("secret"), next).expect("written");
    assert_eq!(reload("all").await.expect("it is read")["tokenKeys"], 2);
    assert_eq!(close_code(&mut by_token).await, 4501);
    assert!(is_alive(&mut by_next).await && is_alive(&mut by_other).await);

    // What cannot be used changes nothing.
    std::fs::write(closed.file("secret"), "short").expect("written");
    let refusal = reload("all").await.expect_err("refused").to_string();
    assert!(refusal.contains("auth.jwt_secret_files") && refusal.contains("1009"), "{refusal}");
    assert!(is_alive(&mut by_next).await && is_alive(&mut by_other).await);
}

#[tokio::test]
async fn an_open_node_has_nothing_to_refresh_and_no_keys_to_reload() {
    let node = chat_tests::node::Node::ephemeral(&[]).await;
    let mut session = node.login(APP, "a").await;
    assert_eq!(refresh(&mut session, "anything").await.expect("nothing is asked for"), Value::Null);
    let reloaded = node.http().call_raw("/system/reload", &json!({})).await;
    assert_eq!(
        reloaded.expect("the rest is read"),
        json!({"keys": [], "tokenKeys": 0, "limits": [], "restart": []})
    );
    let mut nobody = node.connect().await;
    assert_eq!(refused(refresh(&mut nobody, "anything").await), 1000);
}
