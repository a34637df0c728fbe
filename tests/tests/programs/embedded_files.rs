//! The files of a node that runs alone: whole after a clean stop, and for the eyes of their owner only.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use chat_protocol::Target;
use chat_tests::money_site::deposit;
use chat_tests::node::Node;
use chat_tests::program::run;
use chat_tests::raw_http::get;
use nix::sys::signal::Signal;
use serde_json::json;

const APP: u32 = 906;
const FILES: [&str; 3] = ["chat.sqlite3", "money.sqlite3", "ledger.sqlite3"];

fn mode(path: &Path) -> u32 {
    path.metadata().expect("it is there").permissions().mode() & 0o7777
}

fn entries(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("a directory");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name")).collect();
    names.sort();
    names
}

async fn on(directory: &Path) -> Node {
    Node::start(&["--data-dir", directory.to_str().expect("a path")]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clean_stop_leaves_files_that_are_whole_without_their_wal() {
    let place = tempfile::tempdir().expect("a directory");
    let (data, copy) = (place.path().join("data"), place.path().join("copy"));
    for (round, signal) in [Signal::SIGTERM, Signal::SIGHUP].into_iter().enumerate() {
        let node = on(&data).await;
        let mut user = node.login(APP, "a").await;
        for number in 0..20 {
            user.send(Target::World, &format!("text {round} {number}")).await.expect("accepted");
        }
        deposit(&node.http(), APP, "a", 100).await;
        assert_eq!(node.stop_with(signal).await, Some(0));
    }
    assert_eq!(
        entries(&data),
        ["audit.jsonl", "chat.sqlite3", "files", "ledger.sqlite3", "lock", "money.sqlite3"],
        "nothing beside them"
    );
    std::fs::create_dir(&copy).expect("made");
    for file in FILES {
        std::fs::copy(data.join(file), copy.join(file)).expect("copied");
    }
    let node = on(&copy).await;
    let history = get(node.server(), &format!("/message/history?appId={APP}&target=")).await.json();
    assert_eq!(history["data"]["messages"].as_array().map(Vec::len), Some(40));
    let balance = get(node.server(), &format!("/wallet/balance?appId={APP}&userId=a")).await.json();
    assert_eq!(balance["data"]["balance"], json!(200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_could_not_start_leaves_its_files_whole_too() {
    let place = tempfile::tempdir().expect("a directory");
    let data = place.path().join("data");
    let ledger = place.path().join("no-such-directory/ledger");
    let ended = run(
        "chatd",
        &[
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            data.to_str().expect("a path"),
            "--ledger",
            &format!("sqlite:{}", ledger.display()),
        ],
        &[],
    )
    .await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(entries(&data), ["chat.sqlite3", "files", "lock", "money.sqlite3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_said_and_own_only_the_owner_of_the_files_can_read() {
    let place = tempfile::tempdir().expect("a directory");
    let data = place.path().join("data");
    let node = on(&data).await;
    node.login(APP, "a").await.send(Target::World, "a word").await.expect("accepted");
    assert_eq!(mode(&data), 0o700);
    let made = entries(&data);
    assert!(made.iter().any(|name| name == "chat.sqlite3-wal"), "{made:?}");
    for name in &made {
        let expected = if name == "files" { 0o700 } else { 0o600 };
        assert_eq!(mode(&data.join(name)), expected, "{name}");
    }
    assert_eq!(node.stop().await, Some(0));

    // Files of an earlier chatd, which took what the umask gave.
    let open = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode));
    open(&data, 0o755).expect("opened");
    for file in FILES {
        open(&data.join(file), 0o644).expect("opened");
    }
    let node = on(&data).await;
    assert_eq!(mode(&data), 0o700);
    for file in FILES {
        assert_eq!(mode(&data.join(file)), 0o600, "{file}");
        assert!(node.log().contains(file), "it says so:\n{}", node.log());
    }
    assert_eq!(node.stop().await, Some(0));
}
