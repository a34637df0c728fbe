//! Tokens, keys and files of keys with anything wrong in them: none is taken for another, and none stops a node.
//!
//! Invariant: what is expected is worked out from the claims, not from the code under test; nothing here needs a server,
//! and `PROPTEST_CASES` says how many cases there are (256 without it).

use std::path::PathBuf;
use std::sync::LazyLock;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use chat_protocol::rights::Scope;
use chat_tests::jwt::{RSA_PUBLIC, Signer, der, encoded, in_seconds};
use chatd::auth::{Auth, Caller, make_api_key};
use chatd::config::{self, Config};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

const SECRET: &str = "a secret of thirty-two bytes, and more";
const APP: u32 = 7;

/// A node's view of credentials, and who may sign for it.
struct World {
    auth: Auth,
    hs: Signer,
    rs: Signer,
    ed: Signer,
    key: String,
    _directory: TempDir,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let (directory, ed) = (tempfile::tempdir().expect("a directory"), Signer::ed25519());
    let write = |name: &str, text: &str| -> PathBuf {
        std::fs::write(directory.path().join(name), text).expect("written");
        directory.path().join(name)
    };
    let (key, line) = make_api_key("ops", [Scope::Read].into_iter().collect()).expect("a key");
    let mut settings = Config::default().auth;
    settings.jwt_secret = SECRET.into();
    settings.keys = vec![line.to_string().as_str().into()];
    settings.jwt_public_keys = vec![write("rsa.pem", RSA_PUBLIC), write("ed.pem", &ed.ed25519_pem())];
    (settings.issuer, settings.audience) = ("tests".to_owned(), "chat".to_owned());
    let auth = Auth::new(&settings).expect("keys");
    World { auth, hs: Signer::secret(SECRET), rs: Signer::rsa(), ed, key, _directory: directory }
});

/// Who the credential is of; nothing when it is refused.
fn caller(credential: &str) -> Option<Caller> {
    WORLD.auth.caller(Some(&format!("Bearer {credential}"))).ok()
}

fn good() -> Value {
    json!({"sub": "a", "appId": APP, "exp": in_seconds(3600), "iss": "tests", "aud": "chat"})
}

/// The three parts as bytes, however sloppily they are written; nothing where they are none.
fn meant(token: &str) -> Option<Vec<Vec<u8>>> {
    let sloppy = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let engine = GeneralPurpose::new(&URL_SAFE, sloppy);
    token.trim().split('.').map(|part| engine.decode(part).ok()).collect()
}

/// Claims of any kind beside or in place of the good ones.
fn claims() -> impl Strategy<Value = Value> {
    let time = prop_oneof![
        (-7200_i64..7200).prop_map(|seconds| Value::from(in_seconds(seconds))),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        Just(Value::Null),
        Just(json!("tomorrow")),
    ]
    .boxed();
    let text = |good: &'static str| {
        prop_oneof![
            4 => Just(json!(good)),
            1 => "\\PC{0,80}".prop_map(Value::from),
            1 => Just(Value::Null),
            1 => any::<i32>().prop_map(Value::from),
            1 => Just(json!([good])),
            1 => Just(json!(["else", 5])),
        ]
        .boxed()
    };
    let app = prop_oneof![4 => Just(json!(APP)), 1 => any::<i64>().prop_map(Value::from), 1 => Just(json!("7")), 1 => Just(json!(7.0))];
    let future = prop_oneof![3 => Just(json!(in_seconds(3600))), 2 => time.clone()];
    let begin = prop_oneof![3 => Just(Value::Null), 1 => time];
    (text("a"), app, future, begin, text("tests"), text("chat"), "[a-z]{0,4}").prop_map(
        |(sub, app, exp, nbf, iss, aud, more)| {
            let all = [("sub", sub), ("appId", app), ("exp", exp), ("nbf", nbf), ("iss", iss), ("aud", aud)];
            let mut claims: Map<String, Value> = all
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name.to_owned(), value))
                .collect();
            claims.entry(more).or_insert(json!({"more": [1, null]}));
            claims.into()
        },
    )
}

/// Whether a node must refuse these claims, whatever else is right. Times within a minute of the limit may go either way.
fn must_be_refused(claims: &Value) -> bool {
    let number = |name: &str| claims[name].as_f64();
    let now = in_seconds(0) as f64;
    let names = |name: &str, wanted: &str| match &claims[name] {
        Value::String(text) => text == wanted,
        Value::Array(all) => all.iter().any(|one| one == wanted),
        _ => false,
    };
    let sub = claims["sub"].as_str().unwrap_or_default();
    let has_name = !sub.is_empty() && sub.len() <= 64 && !sub.chars().any(char::is_control);
    !has_name
        || claims["appId"].as_u64().is_none_or(|app| app > u64::from(u32::MAX))
        || number("exp").is_none_or(|exp| exp < now - 60.0)
        || number("nbf").is_some_and(|nbf| nbf > now + 60.0)
        || !names("iss", "tests")
        || !names("aud", "chat")
}

/// How a token is changed.
#[derive(Debug, Clone)]
enum Change {
    Put(Index, char),
    Insert(Index, char),
    Remove(Index),
    Swap(Index, Index),
    Cut(Index),
    Repeat(Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    let index = any::<Index>;
    let letter =
        || prop_oneof![6 => select("ABab019-_.=+/ ".chars().collect::<Vec<_>>()), 1 => any::<char>()];
    prop_oneof![
        4 => (index(), letter()).prop_map(|(at, c)| Change::Put(at, c)),
        2 => (index(), letter()).prop_map(|(at, c)| Change::Insert(at, c)),
        2 => index().prop_map(Change::Remove),
        1 => (index(), index()).prop_map(|(a, b)| Change::Swap(a, b)),
        1 => index().prop_map(Change::Cut),
        1 => (index(), index()).prop_map(|(a, b)| Change::Repeat(a, b)),
    ]
}

fn changed(text: &str, changes: &[Change]) -> String {
    let mut text: Vec<char> = text.chars().collect();
    for change in changes {
        let length = text.len();
        if length == 0 {
            break;
        }
        match change {
            Change::Put(at, c) => *at.get_mut(&mut text) = *c,
            Change::Insert(at, c) => text.insert(at.index(length + 1), *c),
            Change::Remove(at) => _ = text.remove(at.index(length)),
            Change::Swap(a, b) => text.swap(a.index(length), b.index(length)),
            Change::Cut(at) => text.truncate(at.index(length)),
            Change::Repeat(a, b) => {
                let (a, b) = (a.index(length), b.index(length));
                let piece = text[a.min(b)..a.max(b)].to_vec();
                text.extend(piece);
            }
        }
    }
    text.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_token_is_taken_only_where_it_means_the_same(signer in 0..3_usize, changes in vec(change(), 1..4)) {
        let World { hs, rs, ed, .. } = &*WORLD;
        let token = [hs, rs, ed][signer].of(&good());
        prop_assert!(caller(&token).is_some());
        let other = changed(&token, &changes);
        if caller(&other).is_some() {
            prop_assert_eq!(meant(&other), meant(&token), "{}", other);
        }
    }

    #[test]
    fn claims_are_taken_only_where_all_of_them_fit(signer in 0..3_usize, claims in claims()) {
        let World { hs, rs, ed, .. } = &*WORLD;
        match caller(&[hs, rs, ed][signer].of(&claims)) {
            Some(Caller::Bearer(identity)) => {
                prop_assert!(!must_be_refused(&claims), "{}", claims);
                prop_assert_eq!(identity.user.as_str(), claims["sub"].as_str().unwrap_or_default());
                prop_assert_eq!(u64::from(identity.app), claims["appId"].as_u64().unwrap_or_default());
            }
            Some(other) => prop_assert!(false, "{:?}", other),
            None => {}
        }
    }

    #[test]
    fn whoever_has_no_key_signs_nothing_that_is_taken(
        algorithm in prop_oneof![
            select(vec!["HS256", "HS384", "HS512", "RS256", "PS256", "ES256", "EdDSA", "none", "None", "NONE", ""])
                .prop_map(str::to_owned),
            "[a-zA-Z0-9]{0,6}",
        ],
        kid in prop_oneof![Just(Value::Null), "\\PC{0,8}".prop_map(Value::from)],
        by in 0..6_usize,
        signature in vec(any::<u8>(), 0..80),
        claims in prop_oneof![3 => Just(good()), 1 => claims()],
    ) {
        // With what anybody can have: the public keys, in any form, as a secret.
        let secrets = [b"".to_vec(), RSA_PUBLIC.as_bytes().to_vec(), der(RSA_PUBLIC), WORLD.rs.public(), WORLD.ed.public(), signature];
        let mut head = json!({"alg": algorithm, "typ": "JWT"});
        if !kid.is_null() {
            head["kid"] = kid;
        }
        let token = Signer::secret(&secrets[by]).token(&head, &claims);
        prop_assert_eq!(caller(&token), None, "{}", &token);
        let (message, _) = token.rsplit_once('.').expect("three parts");
        prop_assert_eq!(caller(&format!("{message}.{}", encoded(&secrets[5]))), None);
        prop_assert_eq!(caller(&format!("{message}.")), None);
    }

    #[test]
    fn any_text_is_no_credential(text in prop_oneof![
        "\\PC{0,60}",
        "[A-Za-z0-9_-]{0,30}\\.[A-Za-z0-9_-]{0,30}\\.[A-Za-z0-9_-]{0,30}",
        "ck_[a-z]{0,5}_?[A-Za-z0-9_-]{0,50}",
    ]) {
        prop_assert_eq!(caller(&text), None);
    }

    #[test]
    fn a_changed_key_is_none(changes in vec(change(), 1..4)) {
        prop_assert!(caller(&WORLD.key).is_some());
        let other = changed(&WORLD.key, &changes);
        prop_assert!(caller(&other).is_none() || other.trim() == WORLD.key, "{}", other);
    }

    #[test]
    fn any_line_of_a_key_is_one_or_refused_without_a_word_of_it(line in prop_oneof![
        "[a-z]{0,6}:[a-z+]{0,12}:[0-9a-f]{0,70}",
        "ck_ops_hush[0-9a-f]{0,40}",
        "\\PC{0,60}",
    ]) {
        let mut settings = Config::default().auth;
        settings.keys = vec![line.as_str().into()];
        if let Err(why) = Auth::new(&settings).map(|_| ()) {
            prop_assert!(!why.contains("hush") && (line.len() < 12 || !why.contains(&line)), "{}", why);
        }
    }

    #[test]
    fn a_changed_set_of_keys_is_read_or_refused(changes in vec(change(), 0..6), more in "\\PC{0,10}") {
        let ed = encoded(WORLD.ed.public());
        let set = json!({"keys": [
            {"kty": "OKP", "crv": "Ed25519", "x": ed, "kid": more, "use": "sig", "alg": "EdDSA"},
            {"kty": "RSA", "n": encoded(vec![0xc5; 256]), "e": "AQAB", "kid": "r"},
            {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
            {"kty": "oct", "k": "AA"},
        ]});
        check_set(&changed(&set.to_string(), &changes))?;
    }

    #[test]
    fn any_file_is_no_set_of_keys_or_one(text in prop_oneof!["\\PC{0,80}", r#"\{"keys":\[\{("kty":"(RSA|OKP|EC|oct)",?)?("[nxe]":"[A-Za-z0-9_=-]{0,20}",?){0,4}\}\]\}"#]) {
        check_set(&text)?;
    }
}

/// A set of keys, as a node reads it from a file, for HS256 too: no key of it becomes a secret.
fn check_set(text: &str) -> Result<(), TestCaseError> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("written");
    let settings = config::Auth { jwks_files: vec![file.path().to_owned()], ..Config::default().auth };
    if let Ok(auth) = Auth::new(&settings) {
        for secret in [Vec::new(), b"AA".to_vec(), WORLD.ed.public()] {
            let bearer = format!("Bearer {}", Signer::secret(secret).of(&good()));
            prop_assert!(auth.caller(Some(&bearer)).is_err());
        }
    }
    Ok(())
}

#[test]
fn a_token_as_large_or_as_deep_as_can_be_is_refused_and_no_more() {
    let World { hs, .. } = &*WORLD;
    let mut large = good();
    large["more"] = "x".repeat(1_000_000).into();
    assert_eq!(caller(&hs.of(&large)), None);
    for depth in [100, 1000, 2500, 100_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nested = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let claims = good().to_string().replacen('{', &format!("{{\"more\":{nested},"), 1);
            let head = format!(r#"{{"alg":"HS256","more":{nested}}}"#);
            for token in [hs.raw(r#"{"alg":"HS256"}"#, &claims), hs.raw(&head, &good().to_string())] {
                // Who holds the key may put anything beside what counts, as long as it is short.
                assert!(caller(&token).is_none() || token.len() <= 8192, "{depth}");
            }
        }
    }
    assert!(caller(&hs.of(&good())).is_some());
}
