//! A certificate or a key that cannot be used: a node that is told to serve with it does not start.
//!
//! Invariant: it exits with 2 and names the file, what is wrong with it and what to do, and nothing that stands in it.

use chat_tests::authority::Authority;
use chat_tests::program::{Ended, run};

/// A key with a password, of which only the label matters.
const ENCRYPTED: &str =
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\nc2VjcmV0IGtleQ==\n-----END ENCRYPTED PRIVATE KEY-----\n";
const OLD_ENCRYPTED: &str = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
    DEK-Info: AES-256-CBC,00\n\nc2VjcmV0IGtleQ==\n-----END RSA PRIVATE KEY-----\n";
const BROKEN: &str = "-----BEGIN CERTIFICATE-----\nc2VjcmV0IGtleQ==\n-----END CERTIFICATE-----\n";
const OTHER_KEY: &str = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0IGtleQ==\n-----END PRIVATE KEY-----\n";

async fn start(arguments: &[&str]) -> Ended {
    run("chatd", &[&["--ephemeral", "--listen", "127.0.0.1:0"], arguments].concat(), &[]).await
}

fn assert_refused(ended: &Ended, named: &str, words: &[&str]) {
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stdout.is_empty() && ended.stderr.starts_with("chatd: "), "{ended:?}");
    assert!(ended.stderr.contains(named), "{named} is not named: {ended:?}");
    assert!(words.iter().all(|words| ended.stderr.contains(words)), "{words:?}: {ended:?}");
    assert!(!ended.stderr.contains("c2VjcmV0") && !ended.stderr.contains("secret key"), "{ended:?}");
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named_with_a_next_step() {
    let authority = Authority::new();
    let made = authority.renew();
    let other = authority.made_until(2090);
    let both = made.certificate.clone() + &made.key;
    let cases: [(&str, &str, &[&str]); 12] = [
        ("cert.pem", "", &["it is empty", "copy it anew"]),
        ("cert.pem", "nonsense\n", &["there is no certificate (PEM) in it"]),
        ("cert.pem", &made.key, &["there is a key and no certificate", "give the key as tls_key"]),
        ("cert.pem", BROKEN, &["cannot be used", "have it made again"]),
        ("cert.pem", "-----BEGIN CERTIFICATE-----\n%\n-----END CERTIFICATE-----\n", &["it is no PEM"]),
        ("key.pem", "", &["it is empty", "copy it anew"]),
        ("key.pem", "nonsense\n", &["there is no key (PEM) in it"]),
        ("key.pem", &made.certificate, &["there is a certificate and no key", "as tls_cert"]),
        ("key.pem", ENCRYPTED, &["encrypted", "openssl pkey"]),
        ("key.pem", OLD_ENCRYPTED, &["encrypted", "openssl pkey"]),
        ("key.pem", OTHER_KEY, &["give a key of the kind RSA"]),
        ("key.pem", &other.key, &["not the key of the first certificate", "cert.pem"]),
    ];
    let own = authority.arguments();
    let own: Vec<_> = own.iter().map(String::as_str).collect();
    for (name, text, words) in cases {
        authority.write("cert.pem", &made.certificate);
        authority.write("key.pem", &made.key);
        authority.write(name, text);
        let path = authority.path(name);
        assert_refused(&start(&own).await, path.to_str().expect("UTF-8"), words);
    }
    // Both in one file, as some keep them.
    authority.write("both.pem", &both);
    let both = authority.path("both.pem");
    let both = both.to_str().expect("UTF-8");
    let checked =
        run("chatd", &["config", "check"], &[("CHATD_TLS_CERT", both), ("CHATD_TLS_KEY", both)]).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named() {
    let authority = Authority::new();
    let [_, certificate, _, key] = authority.arguments();
    for missing in ["/nowhere/cert.pem", "/"] {
        let ended = start(&["--tls-cert", missing, "--tls-key", &key]).await;
        assert_refused(&ended, missing, &["tls_cert = "]);
    }
    assert_refused(&start(&["--tls-cert", &certificate]).await, "tls_cert", &["give --tls-key FILE"]);
    assert_refused(&start(&["--tls-key", &key]).await, "tls_key", &["give --tls-cert FILE"]);
}
