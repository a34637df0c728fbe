//! A node on a Redis that speaks TLS only to whom it knows, with a user who may do nothing else.

use chat_protocol::Target;
use chat_tests::authority::Authority;
use chat_tests::node::Node;
use chat_tests::program::run;
use chat_tests::redis_server::RedisServer;
use chat_tests::talk::next_text;

const APP: u32 = 305;

/// As the README says.
const RIGHTS: [&str; 7] = ["~{chat*", "&{chat*", "+@all", "-@admin", "-@dangerous", "+info", "+role"];

#[tokio::test]
async fn a_node_believes_who_has_a_certificate_and_needs_no_more_rights_than_its_own() {
    let authority = Authority::new();
    let files = authority.arguments();
    let own_port = chat_tests::redis_server::free_port().to_string();
    let redis = RedisServer::start_with(&[
        "--tls-port",
        &own_port,
        "--tls-cert-file",
        &files[1],
        "--tls-key-file",
        &files[3],
        "--tls-auth-clients",
        "no",
    ])
    .await;
    let rights = [&["ACL", "SETUSER", "chatd", "on", ">hush"], &RIGHTS[..]].concat();
    redis.command(&rights).await;
    redis.command(&["ACL", "SETUSER", "default", "resetchannels", "-@all", "+ping"]).await;
    let url = format!("rediss://chatd:hush@localhost:{own_port}");
    let authority = authority.file();
    let trusted = [("SSL_CERT_FILE", authority.to_str().expect("a path"))];
    let node = Node::with_variables(&trusted, &["--redis", &url]).await;
    let (mut a, mut b) = (node.login(APP, "a").await, node.login(APP, "b").await);
    a.send(Target::World, "in the world").await.expect("sent");
    assert_eq!(next_text(&mut b).await, "in the world");
    a.send("user:b".parse().expect("a target"), "to b").await.expect("sent");
    assert_eq!(next_text(&mut b).await, "to b");

    // Nobody vouches for it here.
    let refused = run("chatd", &["--redis", &url, "--store-wait", "0", "--listen", "127.0.0.1:0"], &[]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains(&own_port) && !refused.stderr.contains("hush"), "{refused:?}");
    let wrong = url.replace("hush", "wrong");
    let refused =
        run("chatd", &["--redis", &wrong, "--store-wait", "60", "--listen", "127.0.0.1:0"], &trusted).await;
    assert_eq!(refused.code, Some(1), "a password does not become right by waiting: {refused:?}");
}
