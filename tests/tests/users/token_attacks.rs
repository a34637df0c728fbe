//! Tokens that were never given out, or not for this: each is refused over HTTP and WebSocket, and told nothing of.
//!
//! Invariant: every attack stands beside good tokens of every kind of key, on one node.

use chat_tests::closed::{Closed, SECRET};
use chat_tests::jwt::{RSA_PUBLIC, Signer, claims, der, encoded, in_seconds};
use chat_tests::raw_http::request;
use chat_tests::talk::{close_code, refused};
use serde_json::{Value, json};

const APP: u32 = 911;
const SECOND: &str = "the second secret, while both are good";
const SETTINGS: &str = "issuer = \"tests\"\naudience = \"chat\"";

/// A node that takes every kind of key, and wants an issuer and an audience.
struct World {
    closed: Closed,
    hs: Signer,
    rs: Signer,
    ed: Signer,
    set: Signer,
}

impl World {
    async fn start() -> Self {
        let [ed, set] = [Signer::ed25519(), Signer::ed25519()];
        let directory = tempfile::tempdir().expect("a directory");
        let jwks = json!({"keys": [
            {"kty": "OKP", "crv": "Ed25519", "kid": "of-the-set", "use": "sig", "x": encoded(set.public())},
            {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        ]});
        let mut paths = Vec::new();
        for (name, text) in [
            ("rsa.pem", RSA_PUBLIC.to_owned()),
            ("ed.pem", ed.ed25519_pem()),
            ("jwks.json", jwks.to_string()),
        ] {
            paths.push(directory.path().join(name).to_str().expect("a path").to_owned());
            std::fs::write(directory.path().join(name), text).expect("written");
        }
        let [rsa, pem, jwks] = &paths[..] else { unreachable!("three files") };
        let keys = format!("{rsa},{pem}");
        let arguments = ["--auth-jwt-public-keys", &keys, "--auth-jwks-files", jwks];
        // What is read at the start need not stay there.
        let closed = Closed::start(&format!("jwt_secret = {SECOND:?}\n{SETTINGS}"), &arguments).await;
        Self { closed, hs: Signer::secret(SECRET), rs: Signer::rsa(), ed, set }
    }

    async fn over_http(&self, token: &str) -> (u16, String) {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str())];
        let answer = request(self.closed.node.server(), "GET", "/user/list", &headers, b"").await;
        (answer.status, answer.body)
    }
}

fn good() -> Value {
    let mut good = claims(APP, "a");
    (good["iss"], good["aud"]) = ("tests".into(), "chat".into());
    good
}

/// The same with other claims; null takes one away.
fn with(changes: Value) -> Value {
    let mut changed = good();
    for (name, value) in changes.as_object().expect("claims") {
        match value {
            Value::Null => _ = changed.as_object_mut().expect("claims").remove(name),
            value => changed[name] = value.clone(),
        }
    }
    changed
}

#[tokio::test]
async fn good_tokens_of_every_kind_of_key_are_taken() {
    let world = World::start().await;
    let second = Signer::secret(SECOND);
    let kid = |kid: &str| json!({"alg": "EdDSA", "kid": kid});
    for (what, token) in [
        ("a secret", world.hs.of(&good())),
        ("the second secret", second.of(&good())),
        ("RSA", world.rs.of(&good())),
        ("Ed25519", world.ed.of(&good())),
        ("a key set", world.set.token(&kid("of-the-set"), &good())),
        ("a key set, by a token that names none", world.set.of(&good())),
        ("an audience among others", world.hs.of(&with(json!({"aud": ["else", "chat"]})))),
        ("a time with a fraction", world.hs.of(&with(json!({"exp": in_seconds(60) as f64 + 0.5})))),
        ("no end that anybody sees", world.hs.of(&with(json!({"exp": u64::MAX})))),
        ("much beside it", world.hs.of(&with(json!({"more": "x".repeat(5000)})))),
        (
            "a moment of another clock",
            world.hs.of(&with(json!({"nbf": in_seconds(3), "exp": in_seconds(60)}))),
        ),
    ] {
        assert_eq!(world.over_http(&token).await.0, 200, "{what}");
        let (_session, entered) = world.closed.enter(APP, "a", &token).await;
        entered.unwrap_or_else(|error| panic!("{what}: {error}"));
    }
}

/// By somebody without a key, with what anybody can have: public keys, and good tokens of others.
fn forged(world: &World) -> Vec<(&'static str, String)> {
    let World { hs, rs, ed, .. } = world;
    let stranger = Signer::secret("the secret of somebody else, just as long");
    let by_pem = Signer::secret(RSA_PUBLIC);
    let [by_der, by_bytes] = [der(RSA_PUBLIC), rs.public()].map(Signer::secret);
    let by_ed = Signer::secret(ed.public());
    let token = hs.of(&good());
    let (message, signature) = token.rsplit_once('.').expect("three parts");
    let other = hs.of(&with(json!({"sub": "b"})));
    let swapped = other.rsplit_once('.').expect("three parts").0;
    let other_rsa = rs.of(&with(json!({"sub": "b"})));
    let own_key = json!({"alg": "EdDSA", "jwk": {"kty": "OKP", "crv": "Ed25519", "x": encoded(Signer::ed25519().public())}});
    let none = |name: &str| Signer::Nobody.token(&json!({"alg": name, "typ": "JWT"}), &good());
    vec![
        ("alg none", none("none")),
        ("alg None", none("None")),
        ("alg NONE", none("NONE")),
        ("alg nOnE with a signature", format!("{}{signature}", none("nOnE"))),
        ("no alg", stranger.raw("{}", &good().to_string())),
        ("two algs", hs.raw(r#"{"alg":"HS256","alg":"none"}"#, &good().to_string())),
        ("another secret", stranger.of(&good())),
        ("no secret", Signer::secret("").of(&good())),
        ("the public key's PEM as a secret", by_pem.of(&good())),
        ("the public key's DER as a secret", by_der.of(&good())),
        ("the public key's bytes as a secret", by_bytes.of(&good())),
        ("the other public key as a secret", by_ed.of(&good())),
        ("a secret for RS256", hs.token(&json!({"alg": "RS256"}), &good())),
        ("a secret for EdDSA", hs.token(&json!({"alg": "EdDSA"}), &good())),
        ("a secret for HS384", hs.token(&json!({"alg": "HS384"}), &good())),
        ("RSA for PS256", rs.token(&json!({"alg": "PS256"}), &good())),
        ("RSA for HS256", rs.token(&json!({"alg": "HS256"}), &good())),
        ("another key of Ed25519", Signer::ed25519().of(&good())),
        ("a key that the token brings along", Signer::ed25519().token(&own_key, &good())),
        ("another key's name", world.set.token(&json!({"alg": "EdDSA", "kid": "of-nobody"}), &good())),
        ("a path as a key's name", stranger.token(&json!({"alg": "HS256", "kid": "/dev/null"}), &good())),
        ("the signature of another token", format!("{swapped}.{signature}")),
        ("the signature of another token by RSA", {
            let (_, signature) = other_rsa.rsplit_once('.').expect("three parts");
            format!("{}.{signature}", rs.of(&good()).rsplit_once('.').expect("three parts").0)
        }),
        ("no signature", format!("{message}.")),
        ("half a signature", format!("{message}.{}", &signature[..20])),
        ("more than a signature", format!("{token}AAAA")),
        ("a signature with padding", format!("{token}=")),
    ]
}

/// By the holder of a key, for another time, place or purpose.
fn unfit(world: &World) -> Vec<(&'static str, String)> {
    let hs = |changes: Value| world.hs.of(&with(changes));
    let long = "a".repeat(65);
    vec![
        ("expired", hs(json!({"exp": in_seconds(-60)}))),
        ("expired in 1970", hs(json!({"exp": 0}))),
        ("no end", hs(json!({"exp": null}))),
        ("an end before time", hs(json!({"exp": -5}))),
        ("an end in words", hs(json!({"exp": "tomorrow"}))),
        ("not yet", hs(json!({"nbf": in_seconds(3600)}))),
        ("not yet, in words", hs(json!({"nbf": "tomorrow"}))),
        ("no user", hs(json!({"sub": null}))),
        ("a user without a name", hs(json!({"sub": ""}))),
        ("a number as a user", hs(json!({"sub": 7}))),
        ("a name of two lines", hs(json!({"sub": "a\r\nSet-Cookie: x"}))),
        ("a name that is too long", hs(json!({"sub": long}))),
        (
            "two users",
            world.hs.raw(r#"{"alg":"HS256"}"#, &good().to_string().replacen('{', r#"{"sub":"b","#, 1)),
        ),
        ("no app", hs(json!({"appId": null}))),
        ("an app in words", hs(json!({"appId": "all"}))),
        ("an app below nothing", hs(json!({"appId": -1}))),
        ("an app beyond all", hs(json!({"appId": 1_u64 << 32}))),
        ("another issuer", hs(json!({"iss": "others"}))),
        ("no issuer", hs(json!({"iss": null}))),
        ("another audience", hs(json!({"aud": "files"}))),
        ("no audience", hs(json!({"aud": null}))),
        ("none of several audiences", hs(json!({"aud": ["files", "mail"]}))),
        (
            "what is not understood",
            world.hs.token(&json!({"alg": "HS256", "crit": ["b64"], "b64": false}), &good()),
        ),
        ("too much beside it", hs(json!({"more": "x".repeat(8000)}))),
    ]
}

fn garbage() -> Vec<(&'static str, String)> {
    [
        "x",
        ".",
        "..",
        "...",
        "a.b.c",
        "eyJ",
        "eyJhbGciOiJIUzI1NiJ9.e30.",
        "a.b.c.d.e",
        "eyJ!.e30.AAAA",
        "null",
        "ck_",
        "ck__",
        "ck_all_",
        "ck_all_00",
        "%00",
        "{}",
    ]
    .map(|text| (text, text.to_owned()))
    .into()
}

#[tokio::test]
async fn no_other_token_is_taken_and_nothing_of_it_is_repeated() {
    let world = World::start().await;
    let mut tried = 0;
    for (what, token) in [forged(&world), unfit(&world), garbage()].concat() {
        let (status, body) = world.over_http(&token).await;
        assert_eq!(status, 403, "{what}: {body}");
        let (mut session, entered) = world.closed.enter(APP, "a", &token).await;
        assert_eq!(refused(entered), 1003, "{what}");
        assert_eq!(close_code(&mut session).await, 4501, "{what}");
        assert!(
            token.len() < 20 || !format!("{body}{}", world.closed.node.log()).contains(&token[..20]),
            "{what}"
        );
        tried += 1;
    }
    assert!(tried > 60, "{tried}");
    assert_eq!(world.over_http(&world.hs.of(&good())).await.0, 200, "and the node is well");
}

#[tokio::test]
async fn what_comes_beside_a_header_changes_nothing() {
    let world = World::start().await;
    let token = world.hs.of(&good());
    for (value, status) in [
        (format!("bearer {token}"), 200),
        (format!("Bearer   {token}  "), 200),
        (format!("Bearer {token} {token}"), 403),
        (format!("Bearer {token},"), 403),
        (format!("Basic {token}"), 401),
        (token.clone(), 401),
        (String::new(), 401),
    ] {
        let headers = [("Authorization", value.as_str())];
        let answer = request(world.closed.node.server(), "GET", "/user/list", &headers, b"").await;
        assert_eq!(answer.status, status, "{value}");
    }
    for target in ["token", "serviceToken", "access_token", "Authorization"] {
        let target = format!("/user/list?appId={APP}&{target}={token}");
        let answer = request(world.closed.node.server(), "GET", &target, &[], b"").await;
        assert_eq!(answer.status, 401, "no token is taken from an address, which logs keep: {target}");
    }
}
