//! The task behind a [`super::Live`]: connects, reads, answers, and connects again.
//!
//! Invariant: it never waits for the reader alone; requests, heartbeats and the wish to stop are served meanwhile.

use std::collections::VecDeque;
use std::pin::pin;
use std::time::Duration;

use chat_protocol::Code;
use chat_protocol::backoff::Backoff;
use chat_protocol::code::close;
use chat_protocol::session::{DRAIN, HEARTBEAT, LoggedIn, Position, Push, Receipt};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::link::{Link, Waiting};
use super::missed::Missed;
use super::positions::{Admission, Gap, Positions, unanswered};
use super::{Ask, Item, Options, Who};
use crate::connection::ABNORMAL;
use crate::error::Error;
use crate::incoming::{Frame, read};
use crate::server::Server;
use crate::session::Pushed;

/// Items kept for a reader that is late; beyond it nothing is read from the socket.
pub(super) const BACKLOG: usize = 256;
/// Longest first pause before connecting again, and longest of all.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// A connection that lived so long is a success; a server that takes and drops connections is not stormed.
const SETTLED: Duration = Duration::from_secs(5);

/// State of the task: the servers, the positions, what is asked and not answered.
pub(super) struct Driver {
    pub(super) servers: Vec<Server>,
    pub(super) who: Who,
    pub(super) options: Options,
    pub(super) positions: Positions,
    pub(super) items: mpsc::Sender<Item>,
    pub(super) asks: mpsc::Receiver<Ask>,
    pub(super) stopped: oneshot::Receiver<()>,
    pub(super) backlog: VecDeque<Item>,
    pub(super) missed: Missed,
    /// Makes the default message ids of this session differ from those of any other.
    pub(super) name: u64,
    pub(super) next_seq: u64,
}

/// Why a connection is over.
enum Ending {
    /// The caller wants no more.
    Stopped,
    /// The node asked to leave at this moment.
    Drained,
    /// Closed or broken.
    Closed { code: u16, reason: String },
}

impl From<Error> for Ending {
    fn from(error: Error) -> Self {
        match error {
            Error::Closed { code, reason } => Ending::Closed { code, reason },
            other => Ending::Closed { code: ABNORMAL, reason: other.to_string() },
        }
    }
}

impl Driver {
    /// Runs until the caller stops it or the server forbids to come back.
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::full(FIRST_PAUSE, LONGEST_PAUSE);
        let mut was_in = false;
        for turn in 0.. {
            let Some(server) = self.servers.get(turn % self.servers.len().max(1)).cloned() else { return };
            let seq = self.seq();
            let (who, options) = (self.who.clone(), self.options.clone());
            let asked = self.positions.to_recover();
            let opening = Link::open(&server, &who, &options, asked.clone(), &seq);
            let pause = match self.meanwhile(opening).await {
                None => return,
                Some(Err(error)) if is_final(&error, was_in) => {
                    self.backlog.push_back(Item::Refused(error));
                    break;
                }
                Some(Err(error)) => {
                    let pause = pause_after(&error, &mut backoff);
                    self.backlog.push_back(Item::Retrying { error, pause });
                    pause
                }
                Some(Ok((mut link, answer))) => {
                    was_in = true;
                    let ending = self.attend(&mut link, &asked, answer).await;
                    if link.since.elapsed() >= SETTLED {
                        backoff.reset();
                    }
                    match self.part(link, ending, &mut backoff).await {
                        Some(pause) => pause,
                        None => break,
                    }
                }
            };
            if self.meanwhile(sleep(pause)).await.is_none() {
                return;
            }
        }
        self.finish().await;
    }

    /// Ends a connection; how long to wait before the next one, `None` when there is to be none.
    async fn part(&mut self, mut link: Link, ending: Ending, backoff: &mut Backoff) -> Option<Duration> {
        let (code, reason) = match ending {
            Ending::Stopped => {
                link.abandon("the session is over");
                link.connection.close().await;
                return None;
            }
            Ending::Drained => (close::DRAIN, "the node drains".to_owned()),
            Ending::Closed { code, reason } => (code, reason),
        };
        link.abandon(&reason);
        self.backlog.push_back(Item::Disconnected { code, reason });
        if !close::may_reconnect(code) {
            return None;
        }
        match link.leave_at {
            // The node spreads its clients over the time it has.
            Some(leave_at) => {
                let pause = leave_at.saturating_duration_since(Instant::now());
                let closing = link.connection.close();
                self.meanwhile(closing).await?;
                Some(pause)
            }
            None => Some(backoff.pause(rand::random())),
        }
    }

    /// Serves a connection until it ends.
    async fn attend(&mut self, link: &mut Link, asked: &[Position], answer: LoggedIn) -> Ending {
        let mut gaps = self.positions.recovered(&answer.recovered);
        gaps.extend(unanswered(asked, &answer.recovered));
        let server = link.connection.server().to_owned();
        self.backlog.push_back(Item::Connected { server, recovered: answer.recovered.clone() });
        self.tell(gaps);
        self.hear_of(answer);
        loop {
            if let Err(error) = self.look(link).await {
                return error.into();
            }
            let ended = match self.wait(link).await {
                Event::Frame(frame) => frame.and_then(|text| self.take(link, &text)),
                Event::Ask(ask) => self.forward(link, ask).await,
                Event::Beat => self.beat(link).await,
                Event::Silence => {
                    let reason = "no answer to a heartbeat".to_owned();
                    Err(Error::Closed { code: ABNORMAL, reason })
                }
                Event::Drained => return Ending::Drained,
                Event::Stopped => return Ending::Stopped,
                Event::Delivered => Ok(()),
            };
            if let Err(error) = ended {
                return error.into();
            }
        }
    }

    async fn wait(&mut self, link: &mut Link) -> Event {
        let is_reading = self.backlog.len() < BACKLOG;
        let has_room = link.has_room();
        tokio::select! {
            frame = link.connection.next(), if is_reading => Event::Frame(frame),
            permit = self.items.reserve(), if !self.backlog.is_empty() => {
                if let (Ok(permit), Some(item)) = (permit, self.backlog.pop_front()) {
                    permit.send(item);
                }
                Event::Delivered
            }
            Some(ask) = self.asks.recv(), if has_room => Event::Ask(ask),
            _ = &mut self.stopped => Event::Stopped,
            () = sleep_until(link.beat) => Event::Beat,
            // Without reading, an answer could not be noticed.
            () = at(link.silent_at), if link.silent_at.is_some() && is_reading => Event::Silence,
            () = at(link.leave_at), if link.leave_at.is_some() => Event::Drained,
        }
    }

    /// Takes one frame in.
    fn take(&mut self, link: &mut Link, text: &Utf8Bytes) -> Result<(), Error> {
        // Whatever comes is a sign of life.
        link.silent_at = None;
        match read(link.connection.server(), text)? {
            Frame::Push(pushed) => self.push(link, pushed),
            Frame::Answer { seq, outcome } => match link.waiting.remove(&seq) {
                Some(Waiting::Caller { answer, adds_to }) => {
                    if let (Some(target), Ok(data)) = (&adds_to, &outcome)
                        && let Ok(receipt) = serde_json::from_value::<Receipt>(data.clone())
                    {
                        self.positions.sent(target, &receipt);
                    }
                    // A caller that has gone needs no answer.
                    let _ = answer.send(outcome);
                }
                Some(Waiting::Conversations) => self.take_conversations(outcome),
                Some(Waiting::History) => self.take_history(outcome),
                Some(Waiting::Heartbeat) | None => {}
            },
        }
        Ok(())
    }

    fn push(&mut self, link: &mut Link, pushed: Pushed) {
        let Some(message) = pushed.message() else {
            if pushed.cmd == DRAIN {
                let wait = pushed.data.get("reconnectInMs").and_then(Value::as_u64).unwrap_or(0);
                link.leave_at = Some(Instant::now() + Duration::from_millis(wait.min(DAY_MS)));
            }
            self.backlog.push_back(Item::Push(pushed));
            return;
        };
        let target = self.who.conversation_of(&message);
        if !self.missed.holds(&target, message.offset) {
            self.message(message);
        }
    }

    /// Hands a message over, once.
    pub(super) fn message(&mut self, message: Push) {
        let target = self.who.conversation_of(&message);
        match self.positions.admit(&target, &message.epoch, message.offset) {
            Admission::Repeat => return,
            Admission::NewEpoch => {
                self.backlog.push_back(Item::NewEpoch { target, epoch: message.epoch.clone() });
            }
            Admission::New => {}
        }
        self.backlog.push_back(Item::Message(message));
    }

    pub(super) fn tell(&mut self, gaps: Vec<Gap>) {
        for gap in gaps {
            if gap.is_other_history() {
                let (target, epoch) = (gap.target.clone(), gap.epoch.clone());
                self.backlog.push_back(Item::NewEpoch { target, epoch });
            }
            self.backlog.push_back(Item::Gap(gap));
        }
    }

    async fn forward(&mut self, link: &mut Link, ask: Ask) -> Result<(), Error> {
        let Ask { cmd, data, adds_to, answer } = ask;
        let seq = self.seq();
        link.ask(seq, &cmd, &data, Waiting::Caller { answer, adds_to }).await
    }

    async fn beat(&mut self, link: &mut Link) -> Result<(), Error> {
        link.beat = Instant::now() + self.options.heartbeat;
        if link.silent_at.is_none() && self.backlog.len() < BACKLOG {
            link.silent_at = Some(Instant::now() + self.options.timeout);
        }
        let seq = self.seq();
        link.ask(seq, HEARTBEAT, &json!({}), Waiting::Heartbeat).await
    }

    /// Waits for `work` without letting callers and the reader wait; `None` when the session is to stop.
    async fn meanwhile<F: Future>(&mut self, work: F) -> Option<F::Output> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                permit = self.items.reserve(), if !self.backlog.is_empty() => {
                    if let (Ok(permit), Some(item)) = (permit, self.backlog.pop_front()) {
                        permit.send(item);
                    }
                }
                Some(ask) = self.asks.recv() => refuse(ask, &self.servers),
                _ = &mut self.stopped => return None,
            }
        }
    }

    /// Hands the last items over, as long as someone wants them.
    async fn finish(self) {
        let Self { asks, items, backlog, .. } = self;
        // From here on a request is refused at once.
        drop(asks);
        for item in backlog {
            if items.send(item).await.is_err() {
                return;
            }
        }
    }

    pub(super) fn seq(&mut self) -> String {
        self.next_seq += 1;
        format!("{:016x}-{}", self.name, self.next_seq)
    }
}

/// What a connection waits for.
enum Event {
    Frame(Result<Utf8Bytes, Error>),
    Ask(Ask),
    Beat,
    Silence,
    Drained,
    Stopped,
    Delivered,
}

/// No drain takes longer; a wrong number must not overflow a clock.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

fn refuse(ask: Ask, servers: &[Server]) {
    let server = servers.iter().map(Server::to_string).collect::<Vec<_>>().join(", ");
    let cause = "there is no connection at the moment".to_owned();
    // A caller that has gone needs no answer.
    let _ = ask.answer.send(Err(Error::Unreachable { server, cause }));
}

/// Whether trying again cannot help: a refusal that names no passing state. A user who was logged in before may
/// be refused by a rule while the old connection still counts.
fn is_final(error: &Error, was_in: bool) -> bool {
    match error {
        Error::Refused { code, .. } => match Code::from_number(*code) {
            Some(Code::TooManyRequests | Code::StoreUnreachable | Code::ServerError) => false,
            Some(Code::RefusedByRule) => !was_in,
            Some(_) => true,
            // An HTTP status: the server did not upgrade.
            None => (400..500).contains(code) && !matches!(code, 408 | 429),
        },
        Error::Closed { code, .. } => !close::may_reconnect(*code),
        _ => false,
    }
}

fn pause_after(error: &Error, backoff: &mut Backoff) -> Duration {
    let pause = backoff.pause(rand::random());
    match error {
        Error::Refused { retry_after_ms: Some(ms), .. } => {
            pause + Duration::from_millis(*ms).min(LONGEST_PAUSE)
        }
        _ => pause,
    }
}
