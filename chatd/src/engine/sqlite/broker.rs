//! The engine of a node that runs alone: one SQLite file, one writer thread, one dispatcher.
//!
//! Invariant: a message is published after the transaction that holds it is committed, and in commit order. Groups,
//! friends and read states are tables beside the log, so that what they allow is checked in that transaction.

use std::cell::RefCell;
use std::fmt::Display;
use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use chat_protocol::UserId;
use chat_protocol::message::Recalled;
use rusqlite::Connection;
use tokio::sync::mpsc;
use tokio::sync::mpsc::PermitIterator;

use super::known::Logs;
use super::sent::Sweep;
use super::writer::{self, Scope};
use super::{Close, Database, Fault, append, leftovers, log, private, recall, schema};
pub use super::{Place, Sync};
use crate::broker::{Broker, BrokerError, Bus, Event, Log, Outgoing, Page, Range, Receipt, Retention, Sink};
use crate::clock::Clock;
use crate::model::{Conversation, Notice, Topic, new_epoch};

/// Events waiting for the dispatcher; the writer waits when it is full.
const DISPATCH_QUEUE: usize = 4096;

/// An event and the topics it goes to.
pub(crate) type Published = (Vec<Topic>, Event);
/// What a job of this engine works with.
pub(crate) type Step<'a> = writer::Step<'a, LogScope>;

/// What the jobs share.
pub(crate) struct LogScope {
    pub(crate) retention: Retention,
    /// Tells this life of the store from earlier ones.
    pub(super) life: Arc<str>,
    dispatch: mpsc::Sender<Published>,
    /// What the writer knows of the logs.
    pub(super) logs: RefCell<Logs>,
    /// How far the ids were swept of which no repeat can come.
    pub(super) sweep: RefCell<Sweep>,
    /// Wakes whoever removes what lies under logs that have ended.
    pub(super) ended: mpsc::Sender<()>,
}

impl LogScope {
    /// For a life of the store that begins now.
    pub(super) fn new(
        retention: Retention,
        dispatch: mpsc::Sender<Published>,
        ended: mpsc::Sender<()>,
    ) -> Self {
        Self {
            retention,
            life: new_epoch(),
            dispatch,
            logs: RefCell::default(),
            sweep: RefCell::default(),
            ended,
        }
    }
}

impl Scope for LogScope {
    type Event = Published;

    fn publish(&self, event: Published) {
        // Fails only when the dispatcher is gone, that is at shutdown.
        let _ = self.dispatch.blocking_send(event);
    }

    fn undone(&self) {
        self.logs.borrow_mut().forget_all();
    }
}

impl Fault for BrokerError {
    fn unreachable(reason: &dyn Display) -> Self {
        BrokerError::Unreachable(reason.to_string())
    }

    fn is_unreachable(&self) -> bool {
        matches!(self, BrokerError::Unreachable(_))
    }
}

impl From<rusqlite::Error> for BrokerError {
    fn from(error: rusqlite::Error) -> Self {
        Self::unreachable(&error)
    }
}

/// The log and the bus of a node that runs alone.
pub struct Embedded {
    database: Database<LogScope>,
    retention: Retention,
    clock: Arc<dyn Clock>,
    dispatch: mpsc::Sender<Published>,
    /// Held for the life of the engine, so that no second chatd opens the directory.
    _lock: Option<File>,
}

impl Embedded {
    /// Opens or creates the tables. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// A text for the operator when the directory cannot be used or another process holds it.
    pub fn open(
        place: &Place,
        sync: Sync,
        retention: Retention,
        clock: Arc<dyn Clock>,
        sink: Arc<dyn Sink>,
    ) -> Result<Arc<Self>, String> {
        let lock = match place {
            Place::Memory => None,
            Place::Directory(directory) => Some(lock(directory)?),
        };
        let (dispatch, events) = mpsc::channel(DISPATCH_QUEUE);
        let (ended, wakes) = mpsc::channel(1);
        let log = LogScope::new(retention, dispatch.clone(), ended);
        let database = Database::open(place, "chat.sqlite3", sync, schema::STEPS, log, clock.clone())?;
        tokio::spawn(deliver(events, sink));
        let visitor = database.visitor();
        let engine = Arc::new(Self { database, retention, clock, dispatch, _lock: lock });
        tokio::spawn(leftovers::remove(visitor, wakes));
        Ok(engine)
    }

    /// Runs `work` in the writer's transaction and gives its answer after the commit. An error undoes what it did.
    pub(crate) async fn change<T, E, W>(&self, work: W) -> Result<T, E>
    where
        T: Send + 'static,
        E: Fault,
        W: FnOnce(&mut Step<'_>) -> Result<T, E> + Send + 'static,
    {
        self.database.change(work).await
    }

    /// Oldest time of what is read now, Unix milliseconds.
    pub(crate) fn since(&self) -> u64 {
        self.retention.since(self.clock.now_ms())
    }

    /// Room for so many events among those that wait for delivery, at most [`DISPATCH_QUEUE`]; they stand in the order in
    /// which they are put there.
    pub(crate) async fn reserve(&self, count: usize) -> Result<PermitIterator<'_, Published>, BrokerError> {
        let room = self.dispatch.reserve_many(count).await;
        room.map_err(|_| BrokerError::Unreachable("the dispatcher has stopped".to_owned()))
    }

    /// Runs `work`, which only reads, on tables of one moment.
    pub(crate) async fn query<T, E, W>(&self, work: W) -> Result<T, E>
    where
        T: Send + 'static,
        E: Fault,
        W: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    {
        self.database.query(work).await
    }

    /// The same for `work` that looks at a few rows only.
    pub(crate) async fn look<T, E, W>(&self, work: W) -> Result<T, E>
    where
        T: Send + 'static,
        E: Fault,
        W: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    {
        self.database.look(work).await
    }
}

#[async_trait]
impl Close for Embedded {
    async fn close(&self) {
        self.database.close().await;
    }
}

fn lock(directory: &Path) -> Result<File, String> {
    let shown = directory.display();
    private::directory(directory).map_err(|error| format!("cannot create {shown}: {error}"))?;
    let file = private::file(&directory.join(private::LOCK));
    let file = file.map_err(|error| format!("cannot write to {shown}: {error}"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(format!(
            "{shown} is in use by another chatd; stop it, choose another --data-dir, or use --ephemeral"
        )),
        Err(TryLockError::Error(error)) => Err(format!("cannot lock {shown}: {error}")),
    }
}

async fn deliver(mut events: mpsc::Receiver<Published>, sink: Arc<dyn Sink>) {
    while let Some((topics, event)) = events.recv().await {
        for topic in &topics {
            sink.deliver(topic, &event);
        }
        // A fan-out to thousands counts as one poll; let the connections it woke run before the next one.
        tokio::task::yield_now().await;
    }
}

#[async_trait]
impl Log for Embedded {
    async fn append(&self, message: Outgoing) -> Result<Receipt, BrokerError> {
        let mut outcomes = self.append_all(vec![message]).await;
        outcomes.pop().unwrap_or_else(|| Err(BrokerError::Unreachable("no answer".to_owned())))
    }

    async fn append_all(&self, messages: Vec<Outgoing>) -> Vec<Result<Receipt, BrokerError>> {
        let append = |message| move |step: &mut Step<'_>| append::append(step, message);
        self.database.change_each(messages.into_iter().map(append)).await
    }

    async fn read(
        &self,
        conversation: &Conversation,
        range: Range,
        limit: usize,
    ) -> Result<Page, BrokerError> {
        let conversation = conversation.clone();
        let since = self.since();
        self.query(move |tables| Ok(log::read(tables, &conversation, range, limit, since)?)).await
    }

    async fn doubt(&self, conversation: &Conversation, epoch: &str, offset: u64) -> Result<(), BrokerError> {
        let (conversation, epoch) = (conversation.clone(), epoch.to_owned());
        self.change(move |step| Ok(log::doubt(step, &conversation, &epoch, offset)?)).await
    }

    /// An epoch ends only where somebody saw more than there is, and entries do not tell in which they were written.
    async fn stood(&self, _: &Conversation, _: &str, _: u64) -> Result<bool, BrokerError> {
        Ok(false)
    }

    async fn recall(
        &self,
        conversation: &Conversation,
        offset: u64,
        by: Option<&UserId>,
    ) -> Result<Recalled, BrokerError> {
        let (conversation, by) = (conversation.clone(), by.cloned());
        self.change(move |step| recall::recall(step, &conversation, offset, by.as_ref())).await
    }
}

#[async_trait]
impl Bus for Embedded {
    async fn notify(&self, topic: &Topic, notice: Notice) -> Result<(), BrokerError> {
        let sent = self.dispatch.send((vec![topic.clone()], Event::Notice(notice))).await;
        sent.map_err(|_| BrokerError::Unreachable("the dispatcher has stopped".to_owned()))
    }

    // Within one process nothing is lost between commit and delivery, so there is nothing to subscribe to.
    async fn subscribe(&self, _topic: &Topic) -> Result<(), BrokerError> {
        Ok(())
    }

    fn unsubscribe(&self, _topic: &Topic) {}
}

#[async_trait]
impl Broker for Embedded {
    async fn ready(&self) -> Result<(), BrokerError> {
        self.database.ready().await
    }
}
