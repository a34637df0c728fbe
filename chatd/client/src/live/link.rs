//! One connection of a session that stays: the log-in, requests that wait for answers, heartbeats, the drain notice.
//!
//! Invariant: every request that was sent is answered: by the server, or as interrupted when the link is dropped.

use std::collections::HashMap;
use std::time::Duration;

use chat_protocol::Target;
use chat_protocol::observe::{OBSERVE, ObserveRequest, Observed};
use chat_protocol::session::{LOGIN, LoggedIn, Login, Position};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use super::{Options, Who};
use crate::connection::{ABNORMAL, Connection};
use crate::error::Error;
use crate::incoming::{Frame, read};
use crate::server::Server;

/// Requests without an answer at a time.
pub(super) const MAX_WAITING: usize = 64;

/// Who waits for an answer.
pub(super) enum Waiting {
    /// A caller.
    Caller { answer: oneshot::Sender<Result<Value, Error>>, adds_to: Option<Target> },
    /// The driver: a sign of life.
    Heartbeat,
    /// The driver: a page of the user's conversations.
    Conversations,
    /// The driver: a page of the history it reads.
    History,
}

/// One logged-in connection of a live session.
pub(super) struct Link {
    pub(super) connection: Connection,
    pub(super) waiting: HashMap<String, Waiting>,
    pub(super) since: Instant,
    /// When to send the next heartbeat.
    pub(super) beat: Instant,
    /// When to give the connection up because a heartbeat was not answered.
    pub(super) silent_at: Option<Instant>,
    /// When to change to another node because this one drains.
    pub(super) leave_at: Option<Instant>,
    timeout: Duration,
}

impl Link {
    /// Connects and logs in, or observes.
    pub(super) async fn open(
        server: &Server,
        who: &Who,
        options: &Options,
        positions: Vec<Position>,
        seq: &str,
    ) -> Result<(Self, LoggedIn), Error> {
        let mut connection = Connection::open(server, &options.connection).await?;
        let token = server.token().map(str::to_owned);
        let request = match who {
            Who::User(identity) => {
                let login = Login {
                    token: identity.token.clone().or(token),
                    recover: (options.discover || !positions.is_empty()).then_some(positions),
                    ..Login::new(identity.user_id.clone(), identity.app_id)
                };
                json!({"seq": seq, "cmd": LOGIN, "data": login})
            }
            Who::Observer(observer) => {
                let (app_id, user_id) = (observer.app_id, observer.side.clone());
                let observe = ObserveRequest { app_id, user_id, token, recover: positions };
                json!({"seq": seq, "cmd": OBSERVE, "data": observe})
            }
        }
        .to_string();
        let exchange = async {
            connection.send(request).await?;
            loop {
                let frame = connection.next().await?;
                // Pushes come behind the answer; notices to everyone on the node may come before it.
                match read(connection.server(), &frame)? {
                    Frame::Answer { seq: answered, outcome } if answered == seq => return outcome,
                    Frame::Answer { .. } | Frame::Push(_) => {}
                }
            }
        };
        let Ok(outcome) = timeout(options.timeout, exchange).await else {
            let timeout_ms = u64::try_from(options.timeout.as_millis()).unwrap_or(u64::MAX);
            return Err(Error::Timeout { server: server.to_string(), timeout_ms });
        };
        let not_chatd = |error: serde_json::Error| Error::NotChatd {
            server: server.to_string(),
            cause: error.to_string(),
        };
        let answer: Option<LoggedIn> = match who {
            Who::User(_) => serde_json::from_value(outcome?).map_err(not_chatd)?,
            Who::Observer(_) => {
                let Observed { recovered } = serde_json::from_value(outcome?).map_err(not_chatd)?;
                Some(LoggedIn { recovered, ..LoggedIn::default() })
            }
        };
        let now = Instant::now();
        let link = Self {
            connection,
            waiting: HashMap::new(),
            since: now,
            beat: now + options.heartbeat,
            silent_at: None,
            leave_at: None,
            timeout: options.timeout,
        };
        Ok((link, answer.unwrap_or_default()))
    }

    /// Sends a request; its answer goes to `waiting`.
    pub(super) async fn ask(
        &mut self,
        seq: String,
        cmd: &str,
        data: &Value,
        waiting: Waiting,
    ) -> Result<(), Error> {
        let request = json!({"seq": seq, "cmd": cmd, "data": data}).to_string();
        self.waiting.insert(seq, waiting);
        // A server that takes nothing any more must not hold up the reading for ever.
        match timeout_at(Instant::now() + self.timeout, self.connection.send(request)).await {
            Ok(sent) => sent,
            Err(_) => {
                Err(Error::Closed { code: ABNORMAL, reason: "the server takes no more requests".to_owned() })
            }
        }
    }

    /// Whether another request may go out; those whose callers have gone are forgotten.
    pub(super) fn has_room(&mut self) -> bool {
        if self.waiting.len() >= MAX_WAITING {
            self.waiting.retain(|_, waiting| match waiting {
                Waiting::Caller { answer, .. } => !answer.is_closed(),
                Waiting::Heartbeat | Waiting::Conversations | Waiting::History => true,
            });
        }
        self.waiting.len() < MAX_WAITING
    }

    /// Tells everyone who still waits that the outcome is unknown.
    pub(super) fn abandon(&mut self, cause: &str) {
        let server = self.connection.server().to_owned();
        for (_, waiting) in self.waiting.drain() {
            if let Waiting::Caller { answer, .. } = waiting {
                // A caller that has gone needs no answer.
                let _ =
                    answer.send(Err(Error::Interrupted { server: server.clone(), cause: cause.to_owned() }));
            }
        }
    }
}
