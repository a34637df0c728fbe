//! A logged-in connection: requests with their answers, pushes in the order they came.

use std::collections::VecDeque;
use std::time::Duration;

use chat_protocol::session::{LOGIN, Login, MSG, Msg, Push, Receipt};
use chat_protocol::{AppId, Target, UserId};
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::connection::{Connection, Options};
use crate::error::Error;
use crate::incoming::{Frame, read};
use crate::server::Server;

/// Something the server sent of its own accord.
#[derive(Debug, Clone, PartialEq)]
pub struct Pushed {
    /// The message's id, or a name the server made up.
    pub seq: String,
    /// What kind: `msg`, `enter`, `exit` …
    pub cmd: String,
    /// Its content.
    pub data: Value,
}

impl Pushed {
    /// The content as a message, when it is one.
    #[must_use]
    pub fn message(&self) -> Option<Push> {
        (self.cmd == MSG).then(|| serde_json::from_value(self.data.clone()).ok()).flatten()
    }
}

/// A user's connection, driven by its caller: nothing runs in the background.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
    timeout: Duration,
    pushes: VecDeque<Pushed>,
    next_seq: u64,
    /// Makes the default message ids of this session differ from those of any other.
    name: u64,
}

impl Session {
    /// Connects without logging in.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub async fn open(server: &Server, options: &Options, timeout: Duration) -> Result<Self, Error> {
        let connection = Connection::open(server, options).await?;
        Ok(Self { connection, timeout, pushes: VecDeque::new(), next_seq: 1, name: rand::random() })
    }

    /// Connects and logs in, with the server's key or token where it has one.
    ///
    /// # Errors
    /// As [`Session::open`] and [`Session::request`].
    pub async fn login(server: &Server, app_id: AppId, user_id: &UserId) -> Result<Self, Error> {
        let mut session = Self::open(server, &Options::default(), Duration::from_secs(10)).await?;
        let token = server.token().map(str::to_owned);
        let login = Login { token, ..Login::new(user_id.clone(), app_id) };
        session.request(LOGIN, &login).await?;
        Ok(session)
    }

    /// Sends a request and waits for its answer; pushes that come meanwhile are kept for [`Session::next_push`].
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Closed`], or [`Error::Timeout`].
    pub async fn request(&mut self, cmd: &str, data: &impl Serialize) -> Result<Value, Error> {
        let seq = format!("{:016x}-{}", self.name, self.next_seq);
        self.next_seq += 1;
        let request = serde_json::json!({"seq": seq, "cmd": cmd, "data": data});
        self.connection.send(request.to_string()).await?;
        self.answer(&seq).await
    }

    /// Sends a message and waits until it is in its log.
    ///
    /// # Errors
    /// As [`Session::request`].
    pub async fn send(&mut self, target: Target, text: &str) -> Result<Receipt, Error> {
        let msg = Msg::text(target, text);
        let data = self.request(MSG, &msg).await?;
        serde_json::from_value(data).map_err(|error| self.not_chatd(&error.to_string()))
    }

    /// The next push, or `None` when none came within `wait`.
    ///
    /// # Errors
    /// [`Error::Closed`] when the connection ended.
    pub async fn next_push(&mut self, wait: Duration) -> Result<Option<Pushed>, Error> {
        let deadline = Instant::now() + wait;
        while self.pushes.is_empty() {
            match tokio::time::timeout_at(deadline, self.connection.next()).await {
                Ok(frame) => {
                    if let Frame::Push(pushed) = read(self.connection.server(), &frame?)? {
                        self.pushes.push_back(pushed);
                    }
                }
                Err(_) => return Ok(None),
            }
        }
        Ok(self.pushes.pop_front())
    }

    /// The connection below.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Closes in order.
    pub async fn close(self) {
        self.connection.close().await;
    }

    async fn answer(&mut self, seq: &str) -> Result<Value, Error> {
        let deadline = Instant::now() + self.timeout;
        loop {
            let Ok(frame) = tokio::time::timeout_at(deadline, self.connection.next()).await else {
                let timeout_ms = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
                return Err(Error::Timeout { server: self.connection.server().to_owned(), timeout_ms });
            };
            match read(self.connection.server(), &frame?)? {
                Frame::Push(pushed) => self.pushes.push_back(pushed),
                Frame::Answer { seq: answered, outcome } if answered == seq => return outcome,
                Frame::Answer { .. } => {}
            }
        }
    }

    fn not_chatd(&self, cause: &str) -> Error {
        Error::NotChatd { server: self.connection.server().to_owned(), cause: cause.to_owned() }
    }
}
