//! A relay that knows nothing: it takes messages and writes their bytes to the sockets they are for.
//!
//! Invariant: a delivery costs it one write; it keeps no log, checks nothing and remembers nobody who left.

use std::collections::{HashMap, HashSet};
use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chat_protocol::Target;
use chat_protocol::envelope::{Answer, Request};
use chat_protocol::session::{LOGIN, Login, MSG, Msg};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::floor::http;
use crate::wire::frames::{self, FromClient};

/// A member that does not read so many bytes is let go.
const MOST_BACKLOG: usize = 64 * 1024 * 1024;

/// One connected client.
struct Peer {
    user: String,
    socket: OwnedWriteHalf,
    /// What the socket did not take at once.
    backlog: Mutex<Vec<u8>>,
    wake: Notify,
}

/// Everybody.
#[derive(Default)]
pub struct Room {
    /// By app, then by user.
    peers: Mutex<HashMap<u32, HashMap<String, Arc<Peer>>>>,
    /// Members by group.
    pub groups: Mutex<HashMap<String, HashSet<String>>>,
    offset: AtomicU64,
}

/// Listens on a free port of loopback, prints it, and relays until standard input ends.
pub async fn run() -> u8 {
    let listener = match TcpListener::bind("127.0.0.1:0").await {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("chatbench relay: no port: {error}");
            return 1;
        }
    };
    let port = listener.local_addr().map_or(0, |address| address.port());
    if rlimit::increase_nofile_limit(u64::MAX).is_err() || writeln!(std::io::stdout(), "{port}").is_err() {
        return 1;
    }
    std::thread::spawn(|| {
        // Whoever started it holds the other end.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    let room = Arc::new(Room::default());
    loop {
        if let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(serve(tcp, Arc::clone(&room)));
        }
    }
}

async fn serve(mut tcp: TcpStream, room: Arc<Room>) {
    let _ = tcp.set_nodelay(true);
    let Some(rest) = http::upgrade(&mut tcp, &room).await else { return };
    let (mut reading, writing) = tcp.into_split();
    let Some((app, peer, rest)) = enter(&mut reading, writing, rest, &room).await else { return };
    converse(&mut reading, app, &peer, rest, &room).await;
    let mut peers = lock(&room.peers);
    let users = peers.entry(app).or_default();
    if users.get(&peer.user).is_some_and(|current| Arc::ptr_eq(current, &peer)) {
        users.remove(&peer.user);
    }
}

/// Waits for the log-in and answers it.
async fn enter(
    reading: &mut OwnedReadHalf,
    socket: OwnedWriteHalf,
    mut bytes: Vec<u8>,
    room: &Room,
) -> Option<(u32, Arc<Peer>, Vec<u8>)> {
    loop {
        if let Some(FromClient { text, length, .. }) = frames::parse_masked(&bytes).ok()? {
            let request: Request<'_> = serde_json::from_slice(&text).ok()?;
            let login: Login = serde_json::from_str(request.data?.get()).ok()?;
            let user = login.user_id.to_string();
            let peer = Peer { user: user.clone(), socket, backlog: Mutex::default(), wake: Notify::new() };
            peer.write(&answer(&request, Value::Null));
            let peer = Arc::new(peer);
            lock(&room.peers).entry(login.app_id).or_default().insert(user, Arc::clone(&peer));
            bytes.drain(..length);
            return (request_is(LOGIN, &text)).then_some((login.app_id, peer, bytes));
        }
        if reading.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

async fn converse(reading: &mut OwnedReadHalf, app: u32, peer: &Peer, mut bytes: Vec<u8>, room: &Room) {
    loop {
        while let Ok(Some(FromClient { text, length, is_close })) = frames::parse_masked(&bytes) {
            bytes.drain(..length);
            if is_close {
                peer.write(&frames::unmasked_close(1000));
                return;
            }
            if !text.is_empty() {
                take(&text, app, peer, room);
            }
        }
        tokio::select! {
            read = reading.read_buf(&mut bytes) => if !read.is_ok_and(|read| read > 0) { return },
            () = peer.wake.notified() => if peer.flush().await.is_err() { return },
        }
    }
}

fn request_is(cmd: &str, text: &[u8]) -> bool {
    serde_json::from_slice::<Request<'_>>(text).is_ok_and(|request| request.cmd == cmd)
}

/// Takes one request of a client who is in.
fn take(text: &[u8], app: u32, peer: &Peer, room: &Room) {
    let Ok(request) = serde_json::from_slice::<Request<'_>>(text) else { return };
    if request.cmd != MSG {
        return peer.write(&answer(&request, Value::Null));
    }
    let Some(Ok(msg)) = request.data.map(|data| serde_json::from_str::<Msg>(data.get())) else { return };
    let (target, content, _) = msg.parts();
    let offset = room.offset.fetch_add(1, Relaxed) + 1;
    let id = request.seq.to_string();
    let data = json!({"target": target, "type": "text", "msg": content.msg, "from": peer.user,
        "msgId": id, "offset": offset, "epoch": "floor", "time": 1});
    let push = frame(&serde_json::to_vec(&Answer::push(&id, MSG, data)).unwrap_or_default());
    let peers: Vec<Arc<Peer>> = match lock(&room.peers).get(&app) {
        None => Vec::new(),
        Some(users) => match &target {
            Target::World => users.values().cloned().collect(),
            Target::User(user) => users.get(user.as_str()).cloned().into_iter().collect(),
            Target::Group(group) => {
                let groups = lock(&room.groups);
                let members = groups.get(group.as_str()).into_iter().flatten();
                members.filter_map(|user| users.get(user).cloned()).collect()
            }
        },
    };
    for other in peers.iter().filter(|other| other.user != peer.user) {
        other.write(&push);
    }
    let data = json!({"msgId": id, "offset": offset, "epoch": "floor", "time": 1, "duplicate": false});
    peer.write(&answer(&request, data));
}

fn answer(request: &Request<'_>, data: Value) -> Vec<u8> {
    let (seq, cmd) = (&request.seq, &request.cmd);
    let response = json!({"code": 200, "codeMsg": "Success", "data": data});
    frame(json!({"seq": seq, "cmd": cmd, "response": response}).to_string().as_bytes())
}

fn frame(text: &[u8]) -> Vec<u8> {
    frames::unmasked_text(text)
}

impl Peer {
    /// Writes at once what the socket takes and leaves the rest to the peer's own task.
    fn write(&self, bytes: &[u8]) {
        let mut backlog = lock(&self.backlog);
        let mut written = 0;
        while backlog.is_empty() && written < bytes.len() {
            match self.socket.try_write(&bytes[written..]) {
                Ok(more) => written += more,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // Its own task will see it.
                Err(_) => return,
            }
        }
        if written < bytes.len() && backlog.len() < MOST_BACKLOG {
            backlog.extend_from_slice(&bytes[written..]);
            self.wake.notify_one();
        }
    }

    async fn flush(&self) -> std::io::Result<()> {
        loop {
            {
                let mut backlog = lock(&self.backlog);
                while !backlog.is_empty() {
                    match self.socket.try_write(&backlog) {
                        Ok(written) => drop(backlog.drain(..written)),
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        Err(error) => return Err(error),
                    }
                }
                if backlog.is_empty() {
                    return Ok(());
                }
            }
            self.socket.writable().await?;
        }
    }
}

/// The value behind a lock, whoever held it before.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
