//! The clients chatd's document prints, as printed: they log in, send, receive, and come back without a hole or a repeat.
//!
//! Invariant: the program that runs is the fenced block itself. Debian's own node is too old for that client, so where no
//! newer one is, it is told and not run.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;

use chat_protocol::Target;
use chat_tests::javascript;
use chat_tests::manual::{blocks, text_of};
use chat_tests::node::Node;
use chat_tests::talk::next_text;
use chat_tests::wait::{SOON, until};
use chat_tidy::root;
use parking_lot::Mutex;
use serde_json::{Value, json};

const APP: u32 = 101;
const PYTHON_PACKAGE: &str = "websockets==15.0.1";
/// Where Debian's golang-github-gorilla-websocket-dev puts it.
const GO_PACKAGES: &str = "/usr/share/gocode";

/// A client that runs, with what it printed.
struct Client {
    child: Child,
    input: ChildStdin,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Client {
    fn start(mut command: Command, port: u16) -> Self {
        command.arg(format!("ws://127.0.0.1:{port}/acc")).arg("reader");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let read = lines.clone();
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).for_each(|line| read.lock().push(line))
        });
        let input = child.stdin.take().expect("a pipe");
        Self { child, input, lines }
    }

    fn type_line(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("it reads");
    }

    /// Waits until it printed so many lines, and checks that they are these in any order, as those of different
    /// conversations are.
    async fn shows(&self, expected: &[&str]) {
        until(&format!("{expected:?} shown"), SOON, async || self.lines.lock().len() >= expected.len()).await;
        let (mut lines, mut expected) = (self.lines.lock().clone(), expected.to_vec());
        lines.sort_unstable();
        expected.sort_unstable();
        assert_eq!(lines, expected);
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes the program of a language where it can be run.
fn program(language: &str, file: &str) -> PathBuf {
    let blocks = blocks(&text_of("chatd/README.md"));
    let block = blocks.iter().find(|block| block.language == language).expect("the client stands there");
    let directory = root().join("target/clients").join(language);
    std::fs::create_dir_all(&directory).expect("a directory");
    std::fs::write(directory.join(file), &block.text).expect("written");
    directory.join(file)
}

fn succeeds(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

async fn call(node: &Node, path: &str, data: Value) -> Value {
    node.http().call_raw(path, &data).await.unwrap_or_else(|error| panic!("{path}: {error}"))
}

async fn is_online(node: &Node) {
    until("the client is online", SOON, async || {
        call(node, "/user/online", json!({"appId": APP, "userId": "reader"})).await["online"] == true
    })
    .await;
}

/// How often a text stands in the world's history.
async fn times_said(node: &Node, text: &str) -> usize {
    let history = call(node, "/message/history", json!({"appId": APP, "target": ""})).await;
    let messages = history["messages"].as_array().expect("messages");
    messages.iter().filter(|message| message["msg"] == text).count()
}

/// Takes the client through two ends of its server, of which the second is a crash. While the server is away from the
/// client, others speak to it on another address.
async fn comes_back(command: Command) {
    let directory = tempfile::tempdir().expect("a directory");
    let files = directory.path().to_str().expect("a name").to_owned();
    let arguments = ["--data-dir", files.as_str()];
    let node = Node::start(&arguments).await;
    let port: u16 =
        node.server().to_string().rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let address: &'static str = Box::leak(format!("127.0.0.1:{port}").into_boxed_str());

    let mut client = Client::start(command, port);
    is_online(&node).await;
    let mut peer = node.login(APP, "peer").await;
    client.type_line("hello");
    assert_eq!(next_text(&mut peer).await, "hello");
    peer.send(Target::World, "one").await.expect("it is taken");
    client.shows(&["peer: one"]).await;
    assert_eq!(node.stop().await, Some(0));

    client.type_line("said while away");
    let elsewhere = Node::start(&arguments).await;
    let two = json!({"appId": APP, "userId": "peer", "msgId": "two", "message": "two"});
    call(&elsewhere, "/user/sendMessageAll", two).await;
    let three = json!({"appId": APP, "userId": "reader", "from": "stranger", "message": "three"});
    call(&elsewhere, "/user/sendMessage", three).await;
    assert_eq!(elsewhere.stop().await, Some(0));

    let mut node = Node::start_on(address, &arguments).await;
    client.shows(&["peer: one", "peer: two", "stranger: three"]).await;
    until("what was typed meanwhile is said", SOON, async || times_said(&node, "said while away").await > 0)
        .await;
    node.kill();
    drop(node);

    let node = Node::start_on(address, &arguments).await;
    let four = json!({"appId": APP, "userId": "peer", "msgId": "four", "message": "four"});
    call(&node, "/user/sendMessageAll", four).await;
    client.shows(&["peer: one", "peer: two", "stranger: three", "peer: four"]).await;
    assert_eq!(times_said(&node, "said while away").await, 1);
    assert_eq!(times_said(&node, "hello").await, 1);
}

#[tokio::test]
async fn the_python_client_comes_back_without_a_hole_or_a_repeat() {
    let file = program("python", "client.py");
    let venv = file.with_file_name("venv");
    let (python, installed) = (venv.join("bin/python"), venv.join("installed"));
    if std::fs::read_to_string(&installed).ok().as_deref() != Some(PYTHON_PACKAGE) {
        succeeds(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv));
        succeeds(Command::new(&python).args(["-m", "pip", "install", "--quiet", PYTHON_PACKAGE]));
        std::fs::write(&installed, PYTHON_PACKAGE).expect("written");
    }
    let mut command = Command::new(python);
    command.arg(file);
    comes_back(command).await;
}

#[tokio::test]
async fn the_go_client_comes_back_without_a_hole_or_a_repeat() {
    let missing =
        "golang-go or golang-github-gorilla-websocket-dev is missing: run scripts/services install go";
    assert!(Path::new(GO_PACKAGES).join("src/github.com/gorilla/websocket").exists(), "{missing}");
    let file = program("go", "client.go");
    let built = file.with_file_name("client");
    let mut build = Command::new("go");
    build.env("GO111MODULE", "off").env("GOPATH", GO_PACKAGES).env("GOFLAGS", "");
    build.env("GOCACHE", file.with_file_name("cache")).arg("build").arg("-o").arg(&built).arg(&file);
    succeeds(&mut build);
    let formatted = Command::new("gofmt").arg("-l").arg(&file).output().expect("gofmt");
    assert!(formatted.stdout.is_empty(), "gofmt would change the client");
    comes_back(Command::new(built)).await;
}

#[tokio::test]
async fn the_javascript_client_comes_back_without_a_hole_or_a_repeat() {
    let Some(mut command) = javascript::node() else {
        return eprintln!("node is missing or too old");
    };
    command.arg(program("js", "client.cjs"));
    comes_back(command).await;
}
