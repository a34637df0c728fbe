//! Credentials against settings, without a network.

use chat_protocol::operation::{Rights, Scope};
use chat_protocol::{Params, UserId};
use serde_json::json;

use super::*;

const SECRET: &str = "a secret of thirty-two bytes, and more";
const OTHER: &str = "another secret of thirty-two bytes";
/// 2100, in Unix seconds.
const LATE: u64 = 4_102_444_800;

fn identity(app: u32, user: &str) -> Identity {
    Identity { app, user: UserId::new(user).unwrap() }
}

fn settings(secret: &str, keys: &[&str]) -> config::Auth {
    let mut settings = config::Config::default().auth;
    settings.jwt_secret = secret.into();
    settings.keys = keys.iter().map(|line| (*line).into()).collect();
    settings
}

fn auth(settings: &config::Auth) -> Auth {
    Auth::new(settings).unwrap()
}

fn key(name: &str, scopes: &[Scope]) -> (String, String) {
    let (key, line) = make_api_key(name, scopes.iter().copied().collect()).unwrap();
    (key, line.to_string())
}

fn token(secret: &str, app: u32, user: &str) -> String {
    mint(&settings(secret, &[]), &identity(app, user), LATE, 1).unwrap()
}

#[test]
fn whoever_asks_an_open_node_is_an_operator_whatever_they_show() {
    let auth = Auth::open();
    for shown in [None, Some("Basic eDp5"), Some("Bearer nonsense")] {
        assert_eq!(auth.caller(shown), Ok(Caller::Operator(Grant { scopes: Scopes::ALL, key: 0 })));
    }
    let pass = auth.pass(Some("nonsense"), &identity(1, SYSTEM)).unwrap();
    assert_eq!((pass.scopes, pass.until_s), (Some(Scopes::ALL), u32::MAX));
    assert!(auth.live().is_none());
    assert_eq!(auth.reload(&settings("", &[])), Ok(Known::default()), "there are none");
    assert!(auth.reload(&settings(SECRET, &[])).is_err() && auth.is_open());
}

#[test]
fn a_credential_says_who_asks_over_http_and_nothing_else_does() {
    let (ops, line) = key("ops", &[Scope::Read]);
    let auth = auth(&settings(SECRET, &[&line]));
    let shown = |credential: &str| auth.caller(Some(&format!("bearer  {credential}")));
    let grant = shown(&ops).ok().and_then(|caller| caller.grant()).unwrap();
    assert_eq!(grant.scopes, [Scope::Read].into_iter().collect());
    assert_eq!(auth.key_name(grant.key).as_deref(), Some("ops"));
    assert_eq!(shown(&token(SECRET, 7, "马超")), Ok(Caller::Bearer(identity(7, "马超"))));
    for (authorization, code) in [
        (None, Code::NotLoggedIn),
        (Some("Basic eDp5".to_owned()), Code::NotLoggedIn),
        (Some("Bearer".to_owned()), Code::NotLoggedIn),
        (Some("Bearer ".to_owned()), Code::NotLoggedIn),
        (Some(ops.clone()), Code::NotLoggedIn),
        (Some(format!("Bearer {ops}0")), Code::NotAuthorised),
        (Some(format!("Bearer {}", ops.replace("ops", "other"))), Code::NotAuthorised),
        (Some(format!("Bearer {line}")), Code::NotAuthorised),
        (Some(format!("Bearer {}", token(OTHER, 7, "a"))), Code::NotAuthorised),
        (Some(format!("Bearer {}", "a".repeat(MAX_CREDENTIAL + 1))), Code::NotAuthorised),
        (Some(format!("Bearer {}", token(SECRET, 7, "System"))), Code::BadUserId),
    ] {
        let refused = auth.caller(authorization.as_deref()).unwrap_err();
        assert_eq!(refused.code, code, "{authorization:?}");
        assert!(!refused.reason.contains(&ops[3..]), "{refused}");
    }
}

#[test]
fn a_connection_speaks_for_the_tokens_user_or_for_whom_an_operator_names() {
    let (both, line) = key("both", &[Scope::Read, Scope::Send]);
    let (reads, other) = key("reads", &[Scope::Read]);
    let auth = auth(&settings(SECRET, &[&line, &other]));
    let own = identity(7, "a");
    let code =
        |token: Option<&str>, identity: &Identity| auth.pass(token, identity).map_err(|refusal| refusal.code);
    let pass = code(Some(&token(SECRET, 7, "a")), &own).unwrap();
    assert_eq!((pass.scopes, u64::from(pass.until_s)), (None, LATE + 1 + 10), "with the leeway");
    for other in [identity(8, "a"), identity(7, "b")] {
        assert_eq!(code(Some(&token(SECRET, 7, "a")), &other), Err(Code::NotAuthorised));
    }
    assert_eq!(code(None, &own), Err(Code::NotLoggedIn));
    assert_eq!(code(Some(""), &own), Err(Code::NotLoggedIn));
    let pass = code(Some(&both), &identity(9, "anybody")).unwrap();
    assert_eq!(
        (pass.scopes.map(|scopes| scopes.to_string()), pass.until_s),
        (Some("read+send".into()), u32::MAX)
    );
    assert_eq!(code(Some(&reads), &own), Err(Code::NotAuthorised));
    for name in ["system", "SYSTEM", " system ", "ѕуѕтем", "ｓｙｓｔｅｍ", "sys\u{200b}tem"] {
        assert_eq!(code(Some(&both), &identity(7, name)), Err(Code::BadUserId));
    }
}

#[test]
fn a_users_parameters_are_their_own_and_another_is_refused() {
    let bearer = Caller::Bearer(identity(7, "a"));
    let rights = Rights::User("userId", Scope::Send);
    let admit = |caller: &Caller, rights, given: serde_json::Value| {
        let mut params: Params = serde_json::from_value(given).unwrap();
        caller.admit(rights, &mut params).map_err(|refusal| refusal.code)?;
        Ok((params.given("appId").cloned(), params.given("userId").cloned()))
    };
    let own = Ok((Some(json!(7)), Some(json!("a"))));
    for given in [
        json!({}),
        json!({"appId": 7, "userId": "a"}),
        json!({"appID": "7", "userID": "a"}),
        json!({"userId": null}),
    ] {
        assert_eq!(admit(&bearer, rights, given.clone()), own, "{given}");
    }
    for given in [
        json!({"appId": 8}),
        json!({"appId": "07"}),
        json!({"appID": 8}),
        json!({"userId": "b"}),
        json!({"userID": ""}),
    ] {
        assert_eq!(admit(&bearer, rights, given.clone()), Err(Code::NotAuthorised), "{given}");
        let session = Caller::Session(identity(7, "a"), None);
        assert_eq!(admit(&session, rights, given), own, "a session acts as its own");
    }
    let operators = Rights::Operator(Scope::Money);
    for user in [bearer, Caller::Session(identity(7, "a"), None)] {
        assert_eq!(admit(&user, operators, json!({})), Err(Code::NotAuthorised));
    }
    let granted = |all: &[Scope]| Grant { scopes: all.iter().copied().collect(), key: 1 };
    let keyed = Caller::Session(identity(7, "a"), Some(granted(&[Scope::Read, Scope::Send])));
    assert_eq!(admit(&keyed, Rights::User("userId", Scope::Money), json!({})), Err(Code::NotAuthorised));
    let operator = Caller::Operator(granted(&[Scope::Money]));
    assert_eq!(admit(&operator, operators, json!({"userId": "b"})), Ok((None, Some(json!("b")))));
    assert_eq!(admit(&operator, rights, json!({})), Err(Code::NotAuthorised));
}

#[test]
fn a_reload_takes_new_keys_and_forgets_old_ones_by_their_number() {
    let (old, old_line) = key("old", &[Scope::Read]);
    let (_, new_line) = key("new", &[Scope::Read]);
    let auth = auth(&settings(SECRET, &[&old_line]));
    let number = auth.pass(Some(&token(SECRET, 7, "a")), &identity(7, "a")).unwrap().number;
    let is_live = |number| auth.live().is_some_and(|is_live| is_live(number));
    assert!(is_live(number) && auth.caller(Some(&format!("Bearer {old}"))).is_ok());

    assert_eq!(
        auth.reload(&settings(OTHER, &[&new_line])),
        Ok(Known { names: vec!["new".to_owned()], token_keys: 1 })
    );
    assert!(!is_live(number) && auth.caller(Some(&format!("Bearer {old}"))).is_err());
    let other = auth.pass(Some(&token(OTHER, 7, "a")), &identity(7, "a")).unwrap().number;
    assert!(other != number && is_live(other));

    for broken in [settings("too short", &[]), settings("", &[])] {
        assert!(auth.reload(&broken).is_err_and(|refusal| refusal.code == Code::RefusedByRule));
        assert!(is_live(other), "the keys stay as they were");
    }
    assert!(
        auth.reload(&settings(SECRET, &[])).is_ok() && is_live(number),
        "the same key has its number again"
    );
}

#[test]
fn a_name_that_a_key_has_costs_what_any_other_does() {
    let (ops, line) = key("ops", &[Scope::Read]);
    let auth = auth(&settings(SECRET, &[&line]));
    let cost = |credential: &str| {
        let before = api_key::tests::HASHED.get();
        let known = auth.caller(Some(&format!("Bearer {credential}"))).is_ok();
        (known, api_key::tests::HASHED.get() - before)
    };
    assert_eq!(cost(&ops), (true, ops.len()));
    for secret in ["0", &"0".repeat(MAX_CREDENTIAL - 7)] {
        let [taken, free] = ["ops", "spo"].map(|name| cost(&format!("ck_{name}_{secret}")));
        assert_eq!((taken, free), ((false, 7 + secret.len()), (false, 7 + secret.len())));
    }
}
