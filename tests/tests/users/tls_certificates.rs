//! The certificate of a node that runs, when its files change.
//!
//! Invariant: a certificate that cannot be used changes nothing but the log, and connections outlive the one they began
//! with.

use std::path::Path;

use chat_client::{Session, Stream};
use chat_tests::authority::{Authority, Made};
use chat_tests::node::Node;
use chat_tests::wait::{SOON, until};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;

const APP: u32 = 341;

/// The certificate that the node shows now.
async fn shown(node: &Node) -> Vec<u8> {
    match Stream::open(node.server(), None).await.expect("a handshake") {
        Stream::Tls(stream) => {
            let (_, tls) = stream.get_ref();
            tls.peer_certificates().expect("shown")[0].to_vec()
        }
        Stream::Plain(_) => panic!("no TLS"),
    }
}

fn own(made: &Made) -> Vec<u8> {
    CertificateDer::from_pem_slice(made.certificate.as_bytes()).expect("PEM").to_vec()
}

async fn lives(session: &mut Session) {
    session.request("ping", &json!({})).await.expect("the connection goes on");
}

async fn reload(node: &Node) -> Result<(), String> {
    let reloaded = node.http().call_raw("/system/reload", &json!({})).await;
    reloaded.map(drop).map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_new_certificate_is_for_new_connections() {
    let authority = Authority::new();
    let node = Node::secure(&authority, &[]).await;
    let before = shown(&node).await;
    let mut early = node.login(APP, "early").await;
    let made = authority.renew();
    until("it is shown", SOON, async || shown(&node).await == own(&made)).await;
    assert_ne!(before, own(&made));
    lives(&mut early).await;
    lives(&mut node.login(APP, "late").await).await;
    // Whoever does not want to wait for the next look asks for it.
    let made = authority.renew();
    reload(&node).await.expect("it can be used");
    assert_eq!(shown(&node).await, own(&made));
    lives(&mut early).await;
    let told = node.log().matches("new connections are shown this certificate").count();
    assert_eq!(told, 3, "{}", node.log());
}

#[tokio::test]
async fn what_cannot_be_used_changes_nothing_and_is_told_once() {
    let authority = Authority::new();
    let node = Node::secure(&authority, &[]).await;
    let before = shown(&node).await;
    let mut early = node.login(APP, "early").await;
    let other = authority.made_until(2098);
    for (name, text, why) in [
        ("key.pem", "nonsense", "there is no key (PEM) in it"),
        ("key.pem", &other.key, "it is not the key of the first certificate"),
        ("cert.pem", "", "it is empty"),
    ] {
        authority.write(name, text);
        let refusal = reload(&node).await.expect_err("refused");
        let file = authority.path(name);
        assert!(refusal.contains(why) && refusal.contains("1009"), "{refusal}");
        assert!(refusal.contains(file.to_str().expect("UTF-8")), "{refusal}");
        let tells = |line: &&str| line.contains("stays as it was") && line.contains(why);
        let said = || node.log().lines().filter(tells).count();
        until("it is told", SOON, async || said() == 1).await;
        assert_eq!(shown(&node).await, before);
        lives(&mut early).await;
        assert_eq!(said(), 1, "once");
    }
    authority.write("cert.pem", &other.certificate);
    authority.write("key.pem", &other.key);
    until("the new one is shown", SOON, async || shown(&node).await == own(&other)).await;
    lives(&mut early).await;
}

#[tokio::test]
async fn a_certificate_that_has_ended_is_shown_all_the_same() {
    let authority = Authority::new();
    let over = authority.made_until(2001);
    authority.write("cert.pem", &over.certificate);
    authority.write("key.pem", &over.key);
    let node = Node::secure(&authority, &[]).await;
    let log = || node.log();
    until("it is told", SOON, async || log().contains("the certificate has ended")).await;
    assert!(log().contains("2002-01-01T00:00:00Z"), "{}", log());
    let refused = Stream::open(node.server(), None).await.expect_err("a client looks at it");
    assert!(refused.remedy().expect("a next step").contains("renew"), "{refused}");
    let made = authority.renew();
    until("the next one is shown", SOON, async || {
        Stream::open(node.server(), None).await.is_ok() && shown(&node).await == own(&made)
    })
    .await;
}

#[tokio::test]
async fn only_a_start_changes_between_plain_and_tls() {
    let authority = Authority::new();
    let (directory, text) = (tempfile::tempdir().expect("a directory"), |path: &Path| format!("{path:?}"));
    let file = directory.path().join("chatd.toml");
    let both = |certificate: &str| {
        let [certificate, key] = [certificate, "key.pem"].map(|name| text(&authority.path(name)));
        format!("tls_cert = {certificate}\ntls_key = {key}\n")
    };
    let config = ["--config", file.to_str().expect("UTF-8")];
    std::fs::write(&file, "").expect("written");
    let plain = Node::ephemeral(&config).await;
    std::fs::write(&file, both("cert.pem")).expect("written");
    let refusal = reload(&plain).await.expect_err("refused");
    assert!(refusal.contains("speaks no TLS since its start"), "{refusal}");
    let node = Node::ephemeral(&config).await.believed(&authority);
    std::fs::write(&file, "").expect("written");
    let refusal = reload(&node).await.expect_err("refused");
    assert!(refusal.contains("speaks TLS since its start"), "{refusal}");
    // Another place for it is taken over.
    let made = authority.made_until(2050);
    authority.write("other.pem", &made.certificate);
    authority.write("key.pem", &made.key);
    std::fs::write(&file, both("other.pem")).expect("written");
    reload(&node).await.expect("it can be used");
    assert_eq!(shown(&node).await, own(&made));
}
