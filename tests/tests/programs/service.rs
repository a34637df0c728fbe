//! chatd as a service: what it tells the service manager, over a real socket of the kind that systemd has.
//!
//! Invariant: it is called ready no sooner than it is, and alive no longer than its threads turn.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use chat_tests::node::Node;
use chat_tests::raw_http::get;
use chat_tests::redis_server::RedisServer;
use chat_tests::talk::close_code;
use chat_tests::wait::{SOON, until};
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use parking_lot::Mutex;

const APP: u32 = 309;

/// What was told, datagram by datagram.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    /// Listens at this socket for as long as the test runs.
    fn at(socket: UnixDatagram) -> Self {
        let told = Self::default();
        let heard = told.clone();
        std::thread::spawn(move || {
            let mut datagram = [0; 4096];
            while let Ok(length) = socket.recv(&mut datagram) {
                heard.0.lock().push(String::from_utf8_lossy(&datagram[..length]).into_owned());
            }
        });
        told
    }

    /// How often a line was told.
    fn count(&self, line: &str) -> usize {
        self.0.lock().iter().flat_map(|datagram| datagram.lines()).filter(|told| *told == line).count()
    }

    async fn has(&self, line: &str) {
        until(line, SOON, async || self.count(line) > 0).await;
    }
}

#[tokio::test]
async fn it_tells_when_it_is_ready_that_it_lives_and_that_it_stops() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("notify");
    let abstracted = format!("chatd-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&abstracted).expect("a name");
    let sockets = [
        (path.to_str().expect("a path").to_owned(), UnixDatagram::bind(&path)),
        (format!("@{abstracted}"), UnixDatagram::bind_addr(&address)),
    ];
    for (name, socket) in sockets {
        let told = Told::at(socket.expect("a socket"));
        let variables = [("NOTIFY_SOCKET", name.as_str()), ("WATCHDOG_USEC", "200000")];
        let mut node = Node::ephemeral_with(&variables, &[]).await;
        told.has("READY=1").await;
        assert_eq!(get(node.server(), "/readyz").await.status, 200);
        assert_eq!(told.count(&format!("STATUS=listening on {}", node.server())), 1);
        assert_eq!(told.0.lock().first().map(String::as_str), Some("STATUS=opening the stores"));
        until("several signs of life", SOON, async || told.count("WATCHDOG=1") >= 3).await;
        let mut user = node.login(APP, "user").await;
        node.signal(Signal::SIGTERM);
        told.has("STOPPING=1").await;
        assert_eq!((close_code(&mut user).await, node.ended().await), (4002, Some(0)));
        assert_eq!((told.count("READY=1"), told.count("STOPPING=1")), (1, 1));
    }
}

#[tokio::test]
async fn a_node_whose_store_refuses_is_ready_once_it_does_not() {
    let redis = RedisServer::start().await;
    redis.command(&["CONFIG", "SET", "min-replicas-to-write", "1"]).await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("notify");
    let told = Told::at(UnixDatagram::bind(&path).expect("a socket"));
    let url = redis.url();
    let starting = async {
        let variables = [("NOTIFY_SOCKET", path.to_str().expect("a path"))];
        Node::with_variables(&variables, &["--redis", &url]).await
    };
    let refusing = async {
        told.has("STATUS=opening the stores").await;
        assert_eq!(told.count("READY=1"), 0);
        redis.command(&["CONFIG", "SET", "min-replicas-to-write", "0"]).await;
    };
    let (node, ()) = tokio::join!(starting, refusing);
    told.has("READY=1").await;
    assert_eq!(get(node.server(), "/readyz").await.status, 200);
    assert_eq!(told.count("WATCHDOG=1"), 0, "nobody asked for signs of life");
}

/// A thread of another process that stands still until this is dropped.
struct Stopped {
    release: mpsc::Sender<()>,
    tracer: Option<JoinHandle<()>>,
}

impl Stopped {
    /// Only the thread that stops another can let it go on.
    fn thread(tid: i32) -> Self {
        let ((release, released), (stopped, is_stopped)) = (mpsc::channel(), mpsc::channel());
        let tracer = std::thread::spawn(move || {
            let tid = Pid::from_raw(tid);
            ptrace::attach(tid).expect("a thread of a child can be traced");
            waitpid(tid, Some(WaitPidFlag::__WALL)).expect("it stops");
            stopped.send(()).expect("the test waits");
            let _ = released.recv();
            ptrace::detach(tid, None).expect("it goes on");
        });
        is_stopped.recv().expect("it was stopped");
        Self { release, tracer: Some(tracer) }
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.release.send(());
        let ended = self.tracer.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(()))) || std::thread::panicking(), "the tracer failed");
    }
}

/// The threads of a process whose names begin so.
fn threads(pid: u32, name: &str) -> Vec<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("a process");
    let named = tasks.flatten().filter(|task| {
        std::fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.starts_with(name))
    });
    named.filter_map(|task| task.file_name().to_str()?.parse().ok()).collect()
}

#[tokio::test]
async fn a_node_whose_worker_hangs_gives_no_sign_of_life() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("notify");
    let told = Told::at(UnixDatagram::bind(&path).expect("a socket"));
    let variables = [("NOTIFY_SOCKET", path.to_str().expect("a path")), ("WATCHDOG_USEC", "400000")];
    let node = Node::ephemeral_with(&variables, &[]).await;
    told.has("WATCHDOG=1").await;
    let workers = threads(node.pid(), "connections-");
    assert!(!workers.is_empty(), "its workers have names");
    let stopped = Stopped::thread(*workers.last().expect("one"));
    let complaints = async || node.log().matches("no sign of life").count();
    until("it notices", SOON, async || complaints().await >= 1).await;
    let before = told.count("WATCHDOG=1");
    until("it notices again", SOON, async || complaints().await >= 3).await;
    assert_eq!(told.count("WATCHDOG=1"), before, "what hangs does not live");
    assert_eq!(get(node.server(), "/livez").await.status, 200, "although the rest of it goes on");
    drop(stopped);
    until("it lives again", SOON, async || told.count("WATCHDOG=1") > before).await;
}

#[tokio::test]
async fn a_manager_that_is_not_there_keeps_nobody_from_serving() {
    let directory = tempfile::tempdir().expect("a directory");
    let gone = directory.path().join("gone");
    for name in [gone.to_str().expect("a path"), "vsock:2:1234", "@"] {
        let variables = [("NOTIFY_SOCKET", name), ("WATCHDOG_USEC", "nonsense")];
        let node = Node::ephemeral_with(&variables, &[]).await;
        assert!(node.log().contains("cannot be told"), "{name}: {}", node.log());
        assert_eq!(get(node.server(), "/readyz").await.status, 200);
        assert_eq!(node.stop().await, Some(0));
    }
    // Signs of life are for the process that the manager means.
    let path = directory.path().join("notify");
    let told = Told::at(UnixDatagram::bind(&path).expect("a socket"));
    let variables = [
        ("NOTIFY_SOCKET", path.to_str().expect("a path")),
        ("WATCHDOG_USEC", "100000"),
        ("WATCHDOG_PID", "1"),
    ];
    let node = Node::ephemeral_with(&variables, &[]).await;
    told.has("READY=1").await;
    assert_eq!(node.stop().await, Some(0));
    assert_eq!((told.count("WATCHDOG=1"), told.count("STOPPING=1")), (0, 1));
}
