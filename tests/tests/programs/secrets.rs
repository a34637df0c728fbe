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
        &["--redis", "redis://h", "--sender-url", &url],
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

/// What somebody pasted where the name of a file or an address belongs.
const PASTED: [&str; 4] = [
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.SECRET",
    "ck_ops_SECRET",
    "redis://:SECRET@h",
    "q83vEjRWeJC6mHZUMhD+7cuph2SECRET8e1gmb/kLpVzU=",
];

#[tokio::test]
async fn a_secret_in_place_of_a_file_or_an_address_is_not_repeated_by_any_program() {
    for pasted in PASTED.map(with_secret) {
        let pasted = pasted.as_str();
        let lines: [(&str, &[&str]); 13] = [
            ("chatd", &["--config", pasted, "config", "check"]),
            ("chatd", &["--auth-jwt-secret-files", pasted, "config", "check"]),
            ("chatd", &["--auth-jwt-public-keys", pasted, "config", "check"]),
            ("chatd", &["--auth-jwks-files", pasted, "config", "check"]),
            ("chatctl", &["--token-file", pasted, "state"]),
            ("chatctl", &["--ca", pasted, "state"]),
            ("chatctl", &["--server", pasted, "state"]),
            ("chatctl", &["--app", pasted, "list"]),
            ("chatctl", &["state", pasted]),
            ("chatbench", &["connect", "--token-file", pasted]),
            ("chatbench", &["connect", "--ca", pasted]),
            ("chatbench", &["connect", "--clients", pasted]),
            ("chatbench", &["connect", pasted]),
        ];
        for (program, arguments) in lines {
            let ended = run(program, arguments, &[]).await;
            let what = format!("{program} {}", arguments.join(" "));
            if arguments.contains(&"--server") && pasted.starts_with("q83") {
                // Any word may be a host.
                continue;
            }
            assert!(matches!(ended.code, Some(1 | 2)), "{what}: {ended:?}");
            assert_hidden(&what, &ended);
            if arguments.iter().any(|argument| argument.contains("-file") || argument.contains("jw")) {
                assert!(
                    ended.stderr.contains("it looks like a secret; it is not shown"),
                    "{what}: {ended:?}"
                );
            }
        }
        for (program, variable, command) in [
            ("chatctl", "CHATCTL_TOKEN_FILE", "state"),
            ("chatctl", "CHATCTL_CA", "state"),
            ("chatctl", "CHATCTL_TIMEOUT", "state"),
            ("chatbench", "CHATBENCH_TOKEN_FILE", "connect"),
        ] {
            let ended = run(program, &[command], &[(variable, pasted)]).await;
            assert_hidden(&format!("{variable}={pasted} {program}"), &ended);
        }
    }
}

#[tokio::test]
async fn a_password_in_a_wrong_address_of_a_server_is_not_repeated() {
    for address in ["http://ops:SECRET@h:99999", "ftp://ops:SECRET@h", "http://ops:SECRET@"].map(with_secret)
    {
        for (program, command) in [("chatctl", "state"), ("chatbench", "connect")] {
            let ended = run(program, &[command, "--server", &address], &[]).await;
            assert_eq!(ended.code, Some(2), "{program} {address}: {ended:?}");
            assert_hidden(&address, &ended);
            let ended = run(program, &[command, &format!("--server={address}")], &[]).await;
            assert_hidden(&address, &ended);
        }
    }
}
