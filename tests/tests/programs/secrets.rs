//! Passwords: whatever is wrong with a setting, and wherever it was written, its password is not shown.
//!
//! Invariant: each run has a password in it somewhere.

use chat_tests::program::{Ended, run};

const SECRET: &str = "hunter2secret";

fn with_secret(text: &str) -> String {
    text.replace("SECRET", SECRET)
}

fn assert_hidden(what: &str, ended: &Ended) {
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert!(!said.is_empty() && !said.contains("hunter2") && !said.contains("2secret"), "{what}: {said}");
}

/// Spellings that are right, that other programs take, and that are mistakes.
const URLS: [(&str, &str); 16] = [
    ("redis", "redis://:SECRET@h"),
    ("redis", "localhost:6379,password=SECRET,ssl=False"),
    ("redis", "unix:/run/redis.sock?pass=SECRET"),
    ("redis", "redis://:SECRET@h:x"),
    ("redis", "redis:/:SECRET@h"),
    ("redis", "redis://u:SECRET"),
    ("redis", "rediss://u:SECRET@h"),
    ("ledger", "postgres://u:SECRET@h/d"),
    ("ledger", "host=db user=chat password=SECRET dbname=chat"),
    ("ledger", "postgres://u:SECRET@h:port/d"),
    ("ledger", "postgres://h/d?password=SECRET&sslmode=require"),
    ("ledger", "jdbc:postgresql://h/d?user=u&password=SECRET"),
    ("amqp", "amqp://u:SECRET@h"),
    ("amqp", "host=h;username=u;password=SECRET"),
    ("amqp", "amqp:u:SECRET@h"),
    ("amqp", "amqps://u:SECRET@h"),
];

/// What a setting needs beside it to be looked at.
fn beside(name: &str) -> Vec<&'static str> {
    match name {
        "ledger" => vec!["--redis", "redis://h"],
        "amqp" => vec!["--redis", "redis://h", "--ledger", "postgres://h/d"],
        _ => vec![],
    }
}

#[tokio::test]
async fn no_refusal_and_no_listing_shows_a_password() {
    for (name, url) in URLS {
        let (flag, url) = (format!("--{name}"), with_secret(url));
        for action in ["check", "show"] {
            let arguments = [beside(name), vec![&flag, &url, "config", action]].concat();
            assert_hidden(&url, &run("chatd", &arguments, &[]).await);
        }
        let variable = format!("CHATD_{}", name.to_uppercase());
        for arguments in [&["--help"][..], &["-h"], &["config", "check"], &["config", "show"]] {
            let arguments = [beside(name), arguments.to_vec()].concat();
            assert_hidden(&url, &run("chatd", &arguments, &[(&variable, &url)]).await);
        }
    }
}

#[tokio::test]
async fn a_password_in_a_wrong_place_of_the_command_line_is_not_repeated() {
    let url = with_secret("redis://:SECRET@h");
    for arguments in [
        &[url.as_str()][..],
        &["--reddis", &url],
        &["--allow-open", &url],
        &["--max-connections", &url],
        &["--role", &url],
        &["--redis", "redis://h", "--redis", &url],
        &["config", "check", &url],
    ] {
        let ended = run("chatd", arguments, &[]).await;
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert_hidden(&arguments.join(" "), &ended);
    }
}

#[tokio::test]
async fn an_unreadable_file_is_named_with_the_line_and_not_shown() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("chatd.toml");
    let path = file.to_str().expect("a path");
    for (text, named) in [
        ("listen = '127.0.0.1:0'\nredis = \"redis://:SECRET@h\nledger = ''", "line 2"),
        ("redis = redis://:SECRET@h", "line 1"),
        ("redis = 'redis://:SECRET@h' x", "line 1"),
        ("redis = ['redis://:SECRET@h']", "redis"),
        ("allow_open = 'redis://:SECRET@h'", "boolean"),
        ("redis = 'redis://:SECRET@h'\nredis = 'x'", "line 2"),
        ("redis = 'redis://:SECRET@h'\nlissten = 'x'", "lissten"),
        ("redis = 'http://:SECRET@h'", "redis"),
    ] {
        std::fs::write(&file, with_secret(text)).expect("written");
        let ended = run("chatd", &["config", "check", "--config", path], &[]).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{text}: {ended:?}");
        assert!(ended.stderr.contains(named), "{text}: {}", ended.stderr);
        assert_hidden(text, &ended);
    }
}
