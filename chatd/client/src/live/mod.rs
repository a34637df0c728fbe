//! A session that stays: it reconnects by itself, recovers what was missed, drops repeats and reports gaps.
//!
//! Invariants: a message comes at most once and behind those before it; what is missing is told, never silent; a
//! reader that does not keep up holds back the socket, not the memory.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use chat_protocol::session::{MSG, Msg, Position, Push, Receipt, Recovered};
use chat_protocol::{AppId, Target, UserId};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::connection;
use crate::error::Error;
use crate::server::Server;
use crate::session::Pushed;

mod driver;
mod link;
mod missed;
pub mod positions;

use positions::Positions;
pub use positions::{Gap, conversation_of};

/// Items that wait for the reader inside the channel; further ones wait in the driver, and then in the socket.
const ITEMS: usize = 64;
/// Requests that wait to be sent.
const ASKS: usize = 16;

/// Who logs in.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Which world.
    pub app_id: AppId,
    /// Who speaks.
    pub user_id: UserId,
    /// Proof of identity, where the server asks for one; that of the [`Server`] when absent.
    pub token: Option<String>,
}

/// Who reads along instead, as an operator and not as a user.
#[derive(Debug, Clone)]
pub struct Observer {
    /// Which world.
    pub app_id: AppId,
    /// Whose one-to-one conversations are read, where any are.
    pub side: Option<UserId>,
}

/// As whom a connection is there.
#[derive(Debug, Clone)]
enum Who {
    User(Identity),
    Observer(Observer),
}

impl Who {
    /// By whose names conversations go.
    fn names(&self) -> Option<&UserId> {
        match self {
            Who::User(identity) => Some(&identity.user_id),
            Who::Observer(observer) => observer.side.as_ref(),
        }
    }

    /// The conversation of a message.
    fn conversation_of(&self, message: &Push) -> Target {
        self.names().map_or_else(|| message.target.clone(), |me| conversation_of(message, me))
    }
}

/// How a [`Live`] behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// How to connect.
    pub connection: connection::Options,
    /// Longest wait for an answer, the log-in's included.
    pub timeout: Duration,
    /// Pause between heartbeats; one that is not answered within `timeout` ends the connection.
    pub heartbeat: Duration,
    /// What the user has seen already; the first log-in recovers from there.
    pub positions: Vec<Position>,
    /// Follow all conversations of the user, also those that begin while there is no connection: what was said there is
    /// read from their histories. Without it, only those of `positions` and those of which something came.
    pub discover: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connection: connection::Options::default(),
            timeout: Duration::from_secs(10),
            heartbeat: Duration::from_secs(30),
            positions: Vec::new(),
            discover: true,
        }
    }
}

/// What happens to a [`Live`].
#[derive(Debug)]
pub enum Item {
    /// A message, once.
    Message(Push),
    /// Anything else the server sent of its own accord.
    Push(Pushed),
    /// Messages are missing.
    Gap(Gap),
    /// The history of a conversation is another one than before; offsets count anew.
    NewEpoch {
        /// The conversation, as this user names it.
        target: Target,
        /// The history from now on.
        epoch: String,
    },
    /// Logged in.
    Connected {
        /// Where.
        server: String,
        /// What the server gives back; empty when nothing was asked for.
        recovered: Vec<Recovered>,
    },
    /// The connection ended. It is replaced unless the code forbids that, after which nothing more comes.
    Disconnected {
        /// Close code; 1006 when the connection broke without one.
        code: u16,
        /// The server's words, or what broke.
        reason: String,
    },
    /// No connection yet; there is another attempt after the pause.
    Retrying {
        /// Why the last attempt failed.
        error: Error,
        /// The pause.
        pause: Duration,
    },
    /// The server refuses this user for good; nothing more comes.
    Refused(Error),
}

/// A session that reconnects by itself. Dropping it closes the connection in the background.
#[derive(Debug)]
pub struct Live {
    items: mpsc::Receiver<Item>,
    requests: Requests,
    stop: Option<oneshot::Sender<()>>,
    driver: tokio::task::JoinHandle<()>,
}

/// Sends requests over the connection of a [`Live`], from any task.
#[derive(Debug, Clone)]
pub struct Requests {
    asks: mpsc::Sender<Ask>,
    servers: String,
    timeout: Duration,
}

/// A request on its way to the driver.
struct Ask {
    cmd: String,
    data: Value,
    /// The conversation it adds to.
    adds_to: Option<Target>,
    answer: oneshot::Sender<Result<Value, Error>>,
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask").field("cmd", &self.cmd).finish_non_exhaustive()
    }
}

impl Live {
    /// Begins to connect to one server after the other until one takes the user. Needs a Tokio runtime.
    #[must_use]
    pub fn start(servers: Vec<Server>, identity: Identity, options: Options) -> Self {
        Self::begin(servers, Who::User(identity), options)
    }

    /// The same for an operator who reads along in the conversations of `options.positions`, and in no others. Of what
    /// a user may ask nothing but heartbeats is answered.
    #[must_use]
    pub fn observe(servers: Vec<Server>, observer: Observer, options: Options) -> Self {
        Self::begin(servers, Who::Observer(observer), Options { discover: false, ..options })
    }

    fn begin(servers: Vec<Server>, who: Who, options: Options) -> Self {
        let (to_items, items) = mpsc::channel(ITEMS);
        let (asks, from_asks) = mpsc::channel(ASKS);
        let (stop, stopped) = oneshot::channel();
        let names: Vec<String> = servers.iter().map(Server::to_string).collect();
        let requests = Requests { asks, servers: names.join(", "), timeout: options.timeout };
        let mut positions = Positions::default();
        options.positions.iter().cloned().for_each(|position| positions.set(position));
        let driver = driver::Driver {
            servers,
            who,
            options,
            positions,
            items: to_items,
            asks: from_asks,
            stopped,
            backlog: VecDeque::new(),
            missed: missed::Missed::default(),
            name: rand::random(),
            next_seq: 1,
        };
        Self { items, requests, stop: Some(stop), driver: tokio::spawn(driver.run()) }
    }

    /// What happens next; `None` after the end. Cancel safe.
    pub async fn next(&mut self) -> Option<Item> {
        self.items.recv().await
    }

    /// Sends a request, see [`Requests::request`]. While the answer is awaited and nobody calls [`Live::next`],
    /// a few hundred items find room; when there are more the answer does not come in time.
    ///
    /// # Errors
    /// As [`Requests::request`].
    pub async fn request(&self, cmd: &str, data: &impl Serialize) -> Result<Value, Error> {
        self.requests.request(cmd, data).await
    }

    /// Sends a message, see [`Requests::send`].
    ///
    /// # Errors
    /// As [`Requests::request`].
    pub async fn send(&self, msg: &Msg) -> Result<Receipt, Error> {
        self.requests.send(msg).await
    }

    /// A way to send requests from other tasks.
    #[must_use]
    pub fn requests(&self) -> Requests {
        self.requests.clone()
    }

    /// Closes in order.
    pub async fn close(mut self) {
        self.items.close();
        drop(self.stop.take());
        // Closing a connection has a limit of its own.
        let _ = (&mut self.driver).await;
    }
}

impl Requests {
    /// Sends a request and waits for its answer. Cancel safe in that the answer is thrown away.
    ///
    /// # Errors
    /// [`Error::Unreachable`] without a connection: nothing was sent. [`Error::Interrupted`] when the connection
    /// ended before the answer, [`Error::Timeout`], or [`Error::Refused`].
    pub async fn request(&self, cmd: &str, data: &impl Serialize) -> Result<Value, Error> {
        self.ask(cmd, data, None).await
    }

    /// Sends a message and waits until it is in its log. Give it a `msgId` to repeat it safely.
    ///
    /// # Errors
    /// As [`Requests::request`].
    pub async fn send(&self, msg: &Msg) -> Result<Receipt, Error> {
        let target = msg.target.clone().unwrap_or(Target::World);
        let data = self.ask(MSG, msg, Some(target)).await?;
        serde_json::from_value(data).map_err(|error| self.not_chatd(&error))
    }

    async fn ask(&self, cmd: &str, data: &impl Serialize, adds_to: Option<Target>) -> Result<Value, Error> {
        let data = serde_json::to_value(data).map_err(|error| self.not_chatd(&error))?;
        let (answer, answered) = oneshot::channel();
        let ask = Ask { cmd: cmd.to_owned(), data, adds_to, answer };
        let asking = async {
            let over =
                || Error::Unreachable { server: self.servers.clone(), cause: "the session is over".into() };
            self.asks.send(ask).await.map_err(|_| over())?;
            answered.await.unwrap_or_else(|_| {
                let cause = "the session is over".to_owned();
                Err(Error::Interrupted { server: self.servers.clone(), cause })
            })
        };
        match tokio::time::timeout(self.timeout, asking).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let timeout_ms = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
                Err(Error::Timeout { server: self.servers.clone(), timeout_ms })
            }
        }
    }

    fn not_chatd(&self, error: &serde_json::Error) -> Error {
        Error::NotChatd { server: self.servers.clone(), cause: error.to_string() }
    }
}
