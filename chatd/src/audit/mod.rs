//! The audit log: who did what as an operator, to whom, from where, and what became of it.
//!
//! Invariants: what is recorded follows from the rights and the effect that an operation's type states, so that no
//! operation can be forgotten. The record of an act is in the file before the act is answered; while the file takes no
//! records, nothing that would need one is done. Nothing that anybody said, and no credential, is in it. An outsider
//! fills it slowly at most. Whoever acts waits, but no thread of the runtime does: a thread of its own writes.

mod book;
mod reading;
mod writing;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chat_protocol::audit::{By, Record};
use chat_protocol::operation::{APP, Description};
use chat_protocol::{AppId, Code, Params, Refusal};
use parking_lot::Mutex;
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};

use self::book::Book;
pub use self::reading::{Page, Wanted};
use self::writing::{Job, Writer};
use crate::auth::{Auth, Caller, Grant};
use crate::clock::Clock;
use crate::counters::Counters;
use crate::model::Identity;

/// Records that wait for the file at most; whoever has one more waits until there is room.
const QUEUE: usize = 1024;
/// Refused attempts with a record of their own in one [`WINDOW`]; the others are counted.
const MAX_REFUSED: u32 = 60;
const WINDOW: Duration = Duration::from_secs(600);
/// How long the end of the node waits for what is still to be written.
const FAREWELL: Duration = Duration::from_secs(5);

/// Where the log is, and how much of it is kept.
#[derive(Debug, Clone)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// Bytes at which it is put aside; 0 for never.
    pub max_bytes: u64,
    /// How many that were put aside are kept.
    pub old_files: u32,
}

/// The log.
pub struct Audit {
    node: String,
    auth: Arc<Auth>,
    place: Place,
    jobs: mpsc::Sender<Job>,
    state: Arc<State>,
    refused: Mutex<Told>,
    counters: Arc<Counters>,
}

/// What the log and its writer share.
#[derive(Debug, Default)]
struct State {
    /// Whether the last records could not be written.
    is_failing: AtomicBool,
    /// Refused attempts that no record tells of yet.
    left_out: AtomicU64,
}

/// Refused attempts that were told of in this window.
struct Told {
    since: Instant,
    count: u32,
}

impl Audit {
    /// Opens the log of the node with this name.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(
        place: Place,
        node: String,
        auth: Arc<Auth>,
        clock: Arc<dyn Clock>,
        counters: Arc<Counters>,
    ) -> io::Result<Arc<Self>> {
        let (jobs, taken) = mpsc::channel(QUEUE);
        let (book, state) = (Book::open(place.clone())?, Arc::<State>::default());
        let writer = Writer::new(book, node.clone(), clock, state.clone(), counters.clone());
        std::thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run(taken))?;
        let refused = Mutex::new(Told { since: Instant::now(), count: 0 });
        Ok(Arc::new(Self { node, auth, place, jobs, state, refused, counters }))
    }

    /// The act that an admitted caller is about to do; none when it is none of an operator, or changes nothing. Where
    /// nobody is asked who they are, operators are known only by doing what users may not.
    pub fn act(
        self: &Arc<Self>,
        operation: &Description,
        caller: &Caller,
        peer: SocketAddr,
        params: &Params,
    ) -> Option<Act> {
        let grant = caller.grant()?;
        let is_operators = grant.key != 0 || !operation.rights.are_for_users();
        if !operation.effect.changes() || !is_operators {
            return None;
        }
        let mut kept = params.kept(operation.fields);
        let app = kept.remove(APP).as_ref().and_then(Value::as_u64).and_then(|app| AppId::try_from(app).ok());
        Some(self.act_by(grant, operation, peer, (app, kept)))
    }

    /// What an operator is about to do in this app with these parameters, whatever it does to the world.
    pub fn act_by(
        self: &Arc<Self>,
        grant: Grant,
        operation: &Description,
        peer: SocketAddr,
        (app, kept): (Option<AppId>, Map<String, Value>),
    ) -> Act {
        let mut record = self.record((Some(grant), None), operation.path, peer);
        record.scope = Some(operation.rights.scope().to_string());
        (record.app_id, record.params) = (app, kept);
        self.begin(record)
    }

    /// What an operator is about to do on a WebSocket, by a key, in the name of a user.
    pub fn act_as(
        self: &Arc<Self>,
        cmd: &str,
        (grant, identity): (Grant, &Identity),
        peer: SocketAddr,
        named: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Act {
        let mut record = self.record((Some(grant), None), cmd, peer);
        let own = ("userId", identity.user.to_string());
        let named = named.into_iter().chain([own]).map(|(name, value)| (name.to_owned(), value.into()));
        (record.app_id, record.params) = (Some(identity.app), named.collect());
        self.begin(record)
    }

    /// Notes that somebody was refused what is for operators, or an operator what they wanted to change.
    pub fn refused(
        &self,
        operation: &Description,
        caller: Option<&Caller>,
        peer: SocketAddr,
        refusal: &Refusal,
    ) {
        let (grant, user) = (caller.and_then(Caller::grant), caller.and_then(Caller::user));
        let is_by_key = grant.is_some_and(|grant| grant.key != 0);
        let is_meant = !operation.rights.are_for_users() || (is_by_key && operation.effect.changes());
        if !is_meant || ![Code::NotLoggedIn, Code::NotAuthorised].contains(&refusal.code) {
            return;
        }
        let mut record = self.record((grant, user), operation.path, peer);
        record.scope = Some(operation.rights.scope().to_string());
        record.app_id = user.map(|identity| identity.app);
        record.code = Some(refusal.code.number());
        // Whoever is refused does not wait for it.
        if !self.refused.lock().has_room() || !self.put(record) {
            self.state.left_out.fetch_add(1, Ordering::Relaxed);
            self.counters.audit.left_out.add(1);
        }
    }

    /// Goes on with a new file where somebody has moved the old one away. For a thread that may wait.
    ///
    /// # Errors
    /// What the system says; the log stays where it was.
    pub fn reopen(&self) -> io::Result<()> {
        let (told, hears) = oneshot::channel();
        let gone = || io::Error::other("the thread of the audit log has ended");
        self.jobs.blocking_send(Job::Reopen(told)).map_err(|_| gone())?;
        hears.blocking_recv().map_err(|_| gone())?
    }

    /// Waits until everything is written, but not for ever.
    pub async fn finish(&self) {
        if tokio::time::timeout(FAREWELL, self.takes()).await.is_err() {
            tracing::warn!("the audit log could not be written to its end in time");
        }
    }

    /// The records that are wanted, the newest first: at most `limit`, from `cursor` on. For a thread that may wait.
    ///
    /// # Errors
    /// What the system says when a file cannot be read.
    pub fn read(&self, wanted: &Wanted, limit: usize, cursor: Option<reading::Cursor>) -> io::Result<Page> {
        reading::read(&self.place, wanted, limit, cursor)
    }

    /// Whether records can be written; asked again by writing, when the last could not.
    async fn takes(&self) -> bool {
        let (told, hears) = oneshot::channel();
        self.jobs.send(Job::Check(told)).await.is_ok() && hears.await.unwrap_or(false)
    }

    fn begin(self: &Arc<Self>, record: Record) -> Act {
        Act { audit: self.clone(), record: Some(Box::new(record)) }
    }

    /// What is known of it beforehand, by an operator, a user or nobody.
    fn record(&self, by: (Option<Grant>, Option<&Identity>), operation: &str, peer: SocketAddr) -> Record {
        let (by, who) = match by {
            (Some(Grant { key: 0, .. }), _) => (By::Anonymous, "anonymous".to_owned()),
            // A key that a reload takes away just now has lost its name.
            (Some(Grant { key, .. }), _) => {
                (By::Key, self.auth.key_name(key).unwrap_or_else(|| "a key that is gone".to_owned()))
            }
            (None, Some(identity)) => (By::User, identity.user.to_string()),
            (None, None) => (By::Unknown, "unknown".to_owned()),
        };
        Record {
            time: 0,
            node: self.node.clone(),
            by,
            who,
            scope: None,
            operation: operation.to_owned(),
            app_id: None,
            params: Map::new(),
            address: peer.to_string(),
            code: None,
            left_out: None,
        }
    }

    /// Puts a record for which nobody waits; false when too much waits already.
    fn put(&self, record: Record) -> bool {
        self.jobs.try_send(Job::Record(Box::new(record), None)).is_ok()
    }
}

impl Told {
    fn has_room(&mut self) -> bool {
        if self.since.elapsed() >= WINDOW {
            *self = Self { since: Instant::now(), count: 0 };
        }
        self.count = self.count.saturating_add(1);
        self.count <= MAX_REFUSED
    }
}

/// An act that will have a record: with its outcome, or without one if nobody waits for it to the end.
pub struct Act {
    audit: Arc<Audit>,
    record: Option<Box<Record>>,
}

impl Act {
    /// Does it, if it can be recorded, and records how it ended before anybody hears of it; `code` is that of a failure.
    ///
    /// # Errors
    /// As the act itself, and as [`Act::check`].
    pub async fn around<T, E: From<Refusal>>(
        mut self,
        doing: impl Future<Output = Result<T, E>>,
        code: impl Fn(&E) -> Code,
    ) -> Result<T, E> {
        self.check().await?;
        let outcome = doing.await;
        self.done(outcome.as_ref().map_or_else(code, |_| Code::Success)).await;
        outcome
    }

    /// It is not done after all, and has no record.
    pub fn forget(mut self) {
        self.record = None;
    }

    /// Whether it can be recorded.
    ///
    /// # Errors
    /// [`Code::StoreUnreachable`] when it cannot: it must not be done then, and has no record.
    pub async fn check(&mut self) -> Result<(), Refusal> {
        if !self.audit.state.is_failing.load(Ordering::Relaxed) || self.audit.takes().await {
            return Ok(());
        }
        self.record = None;
        let reason = "the audit log of this node cannot be written, so nothing was done; try again later";
        Err(Refusal::new(Code::StoreUnreachable, reason))
    }

    /// Records how it ended, and waits until that is written. What cannot be written any more stands in the log.
    pub async fn done(mut self, code: Code) {
        if let Some(record) = &mut self.record {
            record.code = Some(code.number());
        }
        let Ok(room) = self.audit.jobs.reserve().await else { return };
        if let Some(record) = self.record.take() {
            let (told, hears) = oneshot::channel();
            room.send(Job::Record(record, Some(told)));
            let _ = hears.await;
        }
    }
}

impl Drop for Act {
    fn drop(&mut self) {
        if let Some(record) = self.record.take()
            && !self.audit.put(*record)
        {
            tracing::error!("an act of an operator has no record: too much waits for the audit log");
        }
    }
}
