//! A small chat server that does one thing wrong on request.
//!
//! Invariant: without a fault it delivers each message once, in order, to all but its sender.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chat_protocol::Target;
use chat_protocol::envelope::{Answer, Request};
use chat_protocol::session::{HEARTBEAT, LOGIN, Login, MSG, Msg};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::exporter;
pub use crate::fault::Fault;
use crate::vault::Vault;

/// A running server.
pub struct Double {
    /// The two addresses where it listens.
    pub addresses: [SocketAddr; 2],
    /// What it knows.
    pub world: Shared,
}

/// A message in a log.
#[derive(Clone)]
pub struct Logged {
    pub from: String,
    pub target: Target,
    pub id: String,
    pub text: String,
}

/// What all connections share.
#[derive(Default)]
pub struct World {
    pub faults: Vec<Fault>,
    rooms: HashMap<u32, HashMap<String, mpsc::Sender<Message>>>,
    /// By conversation.
    pub logs: HashMap<(u32, String), Vec<Logged>>,
    /// Who is in which group.
    pub members: HashMap<String, HashSet<String>>,
    /// Red packets and wallets.
    pub vault: Vault,
    /// Frames held back until the receiver's next one.
    held: HashMap<String, Message>,
    /// Closes of clients.
    pub closes: u64,
    /// Log-ins without an answer.
    pub ignored: u64,
    /// How often it told of itself.
    pub scrapes: u64,
    /// Who was let go, and until when that one is to stay away.
    pub away: Option<(u32, Instant)>,
    /// Log-ins before that.
    pub early: u64,
    /// Requests that hang.
    pub hung: u64,
    /// Whether it is gone.
    pub gone: watch::Sender<bool>,
}

/// What the connections share.
pub type Shared = Arc<Mutex<World>>;

impl Double {
    /// Starts with these faults.
    pub async fn start(faults: &[Fault]) -> Self {
        let cheat = faults.iter().find_map(|fault| match fault {
            Fault::Money(cheat) => Some(*cheat),
            _ => None,
        });
        let vault = Vault::new(cheat);
        let world: Shared =
            Arc::new(Mutex::new(World { faults: faults.to_vec(), vault, ..World::default() }));
        if faults.contains(&Fault::Chatter) {
            tokio::spawn(chatter(Arc::clone(&world)));
        }
        Self { addresses: [listen(&world).await, listen(&world).await], world }
    }
}

async fn listen(world: &Shared) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let world = Arc::clone(world);
    let mut gone = world.lock().unwrap().gone.subscribe();
    tokio::spawn(async move {
        let mut connections = JoinSet::new();
        let accepting = async {
            while let Ok((tcp, _)) = listener.accept().await {
                connections.spawn(serve(tcp, Arc::clone(&world)));
            }
        };
        tokio::select! {
            () = accepting => {}
            // Let go of before the world is taken, whose holder may say it twice.
            () = async { drop(gone.wait_for(|gone| *gone).await) } => world.lock().unwrap().rooms.clear(),
        }
    });
    address
}

async fn chatter(world: Shared) {
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let world = world.lock().unwrap();
        for out in world.rooms.values().flat_map(HashMap::values) {
            let _ = out.try_send(entered("somebody"));
        }
    }
}

fn entered(user: &str) -> Message {
    push("enter", json!({"target": "", "from": user, "time": 1}))
}

fn push(cmd: &str, data: Value) -> Message {
    Message::Text(serde_json::to_string(&Answer::push("e", cmd, data)).unwrap().into())
}

async fn serve(tcp: TcpStream, world: Shared) {
    let mut start = [0; 12];
    while tcp.peek(&mut start).await.is_ok_and(|read| read > 0 && read < start.len()) {}
    match &start {
        b"GET /metrics" => exporter::serve(tcp, &world).await,
        [b'P', b'O', b'S', b'T', ..] => crate::post::serve(tcp, &world).await,
        _ => converse(tcp, world).await,
    }
}

async fn converse(tcp: TcpStream, world: Shared) {
    let Ok(socket) = tokio_tungstenite::accept_async(tcp).await else { return };
    let (mut sink, mut stream) = socket.split();
    let (out, queue) = mpsc::channel::<Message>(10_000);
    let mut queue = delayed(queue, &world);
    tokio::spawn(async move {
        while let Some(message) = queue.recv().await {
            let last = message.is_close();
            if sink.send(message).await.is_err() || last {
                break;
            }
        }
    });
    let mut me = None;
    while let Some(Ok(message)) = stream.next().await {
        world.lock().unwrap().closes += u64::from(message.is_close());
        if message.is_close() && keeps_open(&world, me.as_ref()) {
            // Who reads nothing more answers nothing more.
            return std::future::pending().await;
        }
        if let Message::Text(text) = message {
            let request: Request<'_> = serde_json::from_str(&text).unwrap();
            if let Some(answer) = handle(&world, &request, &mut me, &out) {
                let _ = out.send(answer).await;
            }
        }
    }
    if let Some((app, user)) = me {
        // The user may be back already, on another connection.
        let mut world = world.lock().unwrap();
        let room = world.rooms.entry(app).or_default();
        if room.get(&user).is_some_and(|current| current.same_channel(&out)) {
            room.remove(&user);
        }
    }
}

fn keeps_open(world: &Shared, me: Option<&(u32, String)>) -> bool {
    let keep = me.map(|(_, user)| Fault::KeepOpen { user: number(user) });
    keep.is_some_and(|keep| world.lock().unwrap().faults.contains(&keep))
}

/// The same queue, or one whose messages come as much later as a fault says.
fn delayed(mut queue: mpsc::Receiver<Message>, world: &Shared) -> mpsc::Receiver<Message> {
    let delay = world.lock().unwrap().faults.iter().find_map(|fault| match fault {
        Fault::Delay(delay) => Some(*delay),
        _ => None,
    });
    let Some(delay) = delay else { return queue };
    let (due, mut line) = mpsc::channel(10_000);
    let (out, later) = mpsc::channel(10_000);
    tokio::spawn(async move {
        while let Some(message) = queue.recv().await {
            let _ = due.send((Instant::now() + delay, message)).await;
        }
    });
    tokio::spawn(async move {
        while let Some((at, message)) = line.recv().await {
            tokio::time::sleep_until(at).await;
            let _ = out.send(message).await;
        }
    });
    later
}

fn handle(
    world: &Shared,
    request: &Request<'_>,
    me: &mut Option<(u32, String)>,
    out: &mpsc::Sender<Message>,
) -> Option<Message> {
    let mut world = world.lock().unwrap();
    let data = request.data.map_or("{}", |data| data.get());
    match request.cmd.as_ref() {
        LOGIN => {
            let login: Login = serde_json::from_str(data).unwrap();
            if world.faults.contains(&Fault::IgnoreLogin) {
                world.ignored += 1;
                return None;
            }
            let user = login.user_id.to_string();
            let refused = [Fault::RefuseLogin, Fault::RefuseUser { user: number(&user) }];
            if refused.iter().any(|fault| world.faults.contains(fault)) {
                return Some(answer(request, 1003, Value::Null));
            }
            let (data, missed) = world.recover(login.app_id, &user, &login.recover.unwrap_or_default());
            for frame in std::iter::once(answer(request, 200, data)).chain(missed) {
                let _ = out.try_send(frame);
            }
            world.enter(login.app_id, &user, out);
            *me = Some((login.app_id, user));
            None
        }
        HEARTBEAT => {
            let number = me.as_ref().map(|(_, user)| number(user));
            let close = world.faults.iter().find_map(|fault| match fault {
                Fault::CloseOnHeartbeat { receiver, code } if Some(*receiver) == number => Some(close(*code)),
                _ => None,
            });
            close.or_else(|| Some(answer(request, 200, Value::Null)))
        }
        MSG => {
            let msg: Msg = serde_json::from_str(data).unwrap();
            let (app, user) = me.as_ref().unwrap();
            let (target, content, id) = msg.parts();
            let id = id.map_or(request.seq.to_string(), |id| id.to_string());
            let taken = world.take(*app, user, &target, &id, &content.msg.unwrap_or_default());
            taken.map(|(code, data)| answer(request, code, data))
        }
        other => {
            let mut body: Value = serde_json::from_str(data).unwrap();
            let (_, user) = me.as_ref().unwrap();
            body["userId"] = json!(user);
            let done = world.vault.operate(other, &body);
            let (code, data) = done.unwrap_or_else(|| panic!("unexpected command {other}"));
            Some(answer(request, code, data))
        }
    }
}

fn answer(request: &Request<'_>, code: u16, data: Value) -> Message {
    let text = if code == 200 { "Success" } else { "refused by the double" };
    let (seq, cmd) = (&request.seq, &request.cmd);
    let frame = json!({"seq": seq, "cmd": cmd, "response": {"code": code, "codeMsg": text, "data": data}});
    Message::Text(frame.to_string().into())
}

fn close(code: u16) -> Message {
    Message::Close(Some(CloseFrame { code: code.into(), reason: "as told".into() }))
}

pub fn number(user: &str) -> u32 {
    user.rsplit('-').next().unwrap().parse().unwrap()
}

impl World {
    /// Who is logged in.
    pub fn clients(&self) -> usize {
        self.rooms.values().map(HashMap::len).sum()
    }

    /// Messages taken.
    pub fn messages(&self) -> usize {
        self.logs.values().map(Vec::len).sum()
    }

    fn enter(&mut self, app: u32, user: &str, out: &mpsc::Sender<Message>) {
        let away = self.away.filter(|(who, _)| *who == number(user));
        self.early += u64::from(away.is_some_and(|(_, until)| Instant::now() < until));
        let room = self.rooms.entry(app).or_default();
        let frame = entered(user);
        room.values().for_each(|other| {
            let _ = other.try_send(frame.clone());
        });
        room.insert(user.to_owned(), out.clone());
    }

    /// Takes a message and delivers it; gives code and data of the answer, if there is to be one.
    pub fn take(
        &mut self,
        app: u32,
        from: &str,
        target: &Target,
        id: &str,
        text: &str,
    ) -> Option<(u16, Value)> {
        let conversation = match target {
            Target::User(to) => format!("{from} {to}"),
            other => other.to_string(),
        };
        let log = self.logs.entry((app, conversation)).or_default();
        let logged = Logged { from: from.into(), target: target.clone(), id: id.into(), text: text.into() };
        log.push(logged.clone());
        let offset = log.len() as u64;
        if self.faults.contains(&Fault::Refuse { offset }) {
            return Some((1011, json!({"retryAfterMs": 5})));
        }
        let push = |offset: u64, text: &str| logged.push(offset, text);
        let echo = self.faults.contains(&Fault::Echo { offset });
        let room = self.rooms.get(&app).cloned().unwrap_or_default();
        for (user, out) in room {
            let wanted = match target {
                Target::User(to) => to.as_str() == user,
                Target::Group(id) => {
                    user != from && self.members.get(id.as_str()).is_some_and(|group| group.contains(&user))
                }
                Target::World => user != from || echo,
            };
            if wanted {
                self.deliver(&user, &out, offset, text, &push);
            }
        }
        let silent = self.faults.contains(&Fault::Mute) || self.faults.contains(&Fault::NoAnswer { offset });
        let data = json!({"msgId": id, "offset": offset, "epoch": "e1", "time": 1, "duplicate": false});
        (!silent).then_some((200, data))
    }

    fn deliver(
        &mut self,
        user: &str,
        out: &mpsc::Sender<Message>,
        offset: u64,
        text: &str,
        push: &impl Fn(u64, &str) -> Message,
    ) {
        let number = number(user);
        let this = |receiver: u32, at: u64| receiver == number && at == offset;
        let mut frames = vec![push(offset, text)];
        for fault in self.faults.clone() {
            match fault {
                Fault::Lose { receiver, offset } if this(receiver, offset) => frames.clear(),
                Fault::Double { receiver, offset } if this(receiver, offset) => {
                    frames.push(push(offset, text));
                }
                Fault::Swap { receiver, offset } if this(receiver, offset) => {
                    self.held.insert(user.to_owned(), frames.remove(0));
                    return;
                }
                Fault::Corrupt { receiver, offset } if this(receiver, offset) => {
                    frames[0] = push(offset, &format!("{}!", &text[..text.len() - 1]));
                }
                Fault::Misnumber { receiver, offset } if this(receiver, offset) => {
                    frames[0] = push(offset + 1_000_000, text);
                }
                Fault::Part { receiver, offset, away_ms } if this(receiver, offset) => {
                    self.away = Some((number, Instant::now() + Duration::from_millis(away_ms)));
                    frames = vec![self::push("system/drain", json!({"reconnectInMs": away_ms})), close(4002)];
                }
                Fault::Close { receiver, offset, code } if this(receiver, offset) => {
                    frames = vec![close(code)];
                }
                _ => {}
            }
        }
        frames.extend(self.held.remove(user));
        for frame in frames {
            let _ = out.try_send(frame);
        }
    }
}

/// Takes a message that came over HTTP.
pub fn take_posted(world: &Shared, path: &str, body: &Value) -> (u16, Value) {
    if let Some(answer) = world.lock().unwrap().operate(path, body) {
        return answer;
    }
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let app = u32::try_from(body["appId"].as_u64().unwrap_or_default()).unwrap();
    let (from, target) = match path {
        "/user/sendMessageAll" => (text("userId"), Target::World),
        "/group/sendMessage" => (text("userId"), format!("group:{}", text("groupId")).parse().unwrap()),
        "/user/sendMessage" => (text("from"), format!("user:{}", text("userId")).parse().unwrap()),
        _ => return (1010, Value::Null),
    };
    let taken = world.lock().unwrap().take(app, &from, &target, &text("msgId"), &text("message"));
    let (code, mut data) = taken.expect("no fault of silence over HTTP");
    data["sendResults"] = json!(true);
    data["stored"] = json!(true);
    (code, data)
}
