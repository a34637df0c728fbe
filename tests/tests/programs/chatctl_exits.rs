//! Every exit code that chatctl promises, reached as a person reaches it, and what a program is told then.
//!
//! Invariant: each code of the table is reached by the program itself, against real nodes and sockets.

use std::io::Read;
use std::net::TcpListener;

use chat_tests::node::Node;
use chat_tests::program::{Ended, run, run_until};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

async fn chatctl(server: &str, words: &[&str]) -> Ended {
    let variables = [("CHATCTL_SERVER", server), ("CHATCTL_APP", "401"), ("CHATCTL_RETRIES", "0")];
    run("chatctl", words, &variables).await
}

/// A server that takes what it is sent and says nothing; its address.
fn silent() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else { return };
            std::thread::spawn(
                move || while connection.read(&mut [0; 1024]).is_ok_and(|length| length > 0) {},
            );
        }
    });
    format!("http://{address}")
}

/// A server that is no chatd; its address.
fn other() -> String {
    use std::io::Write;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else { return };
            let _ = connection.read(&mut [0; 4096]);
            let _ =
                connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn every_exit_code_is_reached() {
    let open = Node::ephemeral(&[]).await;
    let _user = open.login(401, "here").await;
    let closed = Node::ephemeral(&["--auth-jwt-secret", "a secret of at least thirty-two bytes"]).await;
    let gone = Node::ephemeral(&[]).await.server().to_string();
    let (open, closed) = (open.server().to_string(), closed.server().to_string());
    let (silent, other) = (silent(), other());
    let cases: [(&str, &[&str], i32); 12] = [
        (&open, &["online", "here"], 0),
        (&other, &["state"], 1),
        (&open, &["lsit"], 2),
        (&open, &["list", "--columns", "nope"], 2),
        (&open, &["online", "here", "gone"], 3),
        (&closed, &["list"], 4),
        (&open, &["online", "gone"], 5),
        (&open, &["--as", "here", "group", "members", "nothing"], 5),
        (&open, &["wallet", "withdraw", "here", "1", "--transfer-id", "w-1"], 6),
        (&gone, &["state"], 7),
        (&silent, &["send", "here", "hello", "--timeout", "300ms"], 8),
        (&silent, &["list", "--timeout", "300ms"], 8),
    ];
    for (server, words, code) in cases {
        let ended = chatctl(server, words).await;
        assert_eq!(ended.code, Some(code), "{words:?}: {ended:?}");
    }
    let variables = [("CHATCTL_SERVER", open.as_str()), ("CHATCTL_APP", "401")];
    let ended =
        run_until("chatctl", &["--as", "me", "tail", "-v"], &variables, "connected to", Signal::SIGINT).await;
    assert_eq!(ended.code, Some(130), "{ended:?}");
}

#[tokio::test]
async fn a_program_is_told_of_errors_in_json() {
    let node = Node::ephemeral(&[]).await;
    let (server, silent) = (node.server().to_string(), silent());
    let told = async |server: &str, words: &[&str]| -> Value {
        let ended = chatctl(server, words).await;
        assert_eq!(ended.stdout, "", "{words:?}");
        let told: Value =
            serde_json::from_str(&ended.stderr).unwrap_or_else(|e| panic!("{e}: {}", ended.stderr));
        assert_eq!(told["error"]["exit"].as_i64(), ended.code.map(i64::from), "{told}");
        told["error"].clone()
    };
    let refused = told(&server, &["-o", "json", "wallet", "withdraw", "a", "1", "--transfer-id", "w"]).await;
    assert_eq!((&refused["code"], &refused["mayBeDone"]), (&json!(1014), &json!(false)));
    let words = ["send", "a", "x", "--msg-id", "m-1", "--timeout", "300ms", "--json"];
    let lost = told(&silent, &words).await;
    assert_eq!((&lost["mayBeDone"], &lost["repeatWith"]), (&json!(true), &json!("--msg-id m-1")));
    assert!(told(&server, &["lsit", "-ojson"]).await["message"].as_str().is_some_and(|m| m.contains("lsit")));
    assert!(told(&server, &["--output=jsonl", "list", "--app", "x"]).await["message"].is_string());
}

#[tokio::test]
async fn verbose_tells_status_time_and_size_of_each_request() {
    let node = Node::ephemeral(&[]).await;
    let ended = chatctl(&node.server().to_string(), &["-v", "list"]).await;
    let line = ended.stderr.lines().find(|line| line.starts_with("POST /user/list: status 200 in "));
    let line = line.unwrap_or_else(|| panic!("{}", ended.stderr));
    assert!(
        line.contains(" ms, ") && line.contains(" bytes sent, ") && line.ends_with(" received"),
        "{line}"
    );
    let words = ["-v", "api", "GET", "/livez"];
    let ended = chatctl(&node.server().to_string(), &words).await;
    assert!(ended.stderr.contains("GET /livez: status 200 in "), "{ended:?}");
}
