//! The engine of a node that runs alone: one SQLite file, one writer thread, one dispatcher.
//!
//! Invariant: a message is published after the transaction that holds it is committed, and in commit order. Groups,
//! friends and read states are tables beside the log, so that what they allow is checked in that transaction.

pub(crate) mod log;
mod recall;
mod schema;
mod sent;
mod store;
pub(crate) mod writer;

use std::fmt::Display;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use chat_protocol::UserId;
use chat_protocol::message::Recalled;
use rusqlite::Connection;
use tokio::sync::mpsc;

use super::{
    Broker, BrokerError, Conversation, Event, Notice, Outgoing, Page, Range, Receipt, Retention, Sink, Topic,
};
use crate::clock::Clock;
use store::Readers;
use writer::{Job, Published, Step};

/// Jobs waiting for the writer; callers wait when it is full.
const WRITER_QUEUE: usize = 4096;
/// Events waiting for the dispatcher; the writer waits when it is full.
const DISPATCH_QUEUE: usize = 4096;

/// Where the tables are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In memory; gone when the process ends.
    Memory,
    /// In this directory.
    Directory(PathBuf),
}

/// What a commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sync {
    /// The end of the process, however sudden.
    Normal,
    /// A power cut too; each group of commits waits for the disk.
    Full,
}

/// What a call of this engine can fail with: the refusals of its port, and that the store does not answer.
pub(crate) trait Fault: From<rusqlite::Error> + Send + 'static {
    /// The store did not answer for this reason.
    fn unreachable(reason: &dyn Display) -> Self;
}

impl Fault for BrokerError {
    fn unreachable(reason: &dyn Display) -> Self {
        BrokerError::Unreachable(reason.to_string())
    }
}

impl From<rusqlite::Error> for BrokerError {
    fn from(error: rusqlite::Error) -> Self {
        Self::unreachable(&error)
    }
}

/// See the file's head.
pub struct Embedded {
    writer: mpsc::Sender<Box<dyn Job>>,
    dispatch: mpsc::Sender<Published>,
    /// None in memory, where the writer's connection is the only one.
    readers: Option<Readers>,
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
        let (connection, lock, readers) = match place {
            Place::Memory => (store::memory(), None, None),
            Place::Directory(directory) => {
                let lock = lock(directory)?;
                let file = directory.join("chat.sqlite3");
                (store::file(&file, sync), Some(lock), Some(Readers::new(file)))
            }
        };
        let mut connection =
            connection.map_err(|error| format!("cannot open the log in {place:?}: {error}"))?;
        let (dispatch, events) = mpsc::channel(DISPATCH_QUEUE);
        let (writer, jobs) = mpsc::channel(WRITER_QUEUE);
        tokio::spawn(deliver(events, sink));
        let publish = dispatch.clone();
        std::thread::Builder::new()
            .name("chat-log".to_owned())
            .spawn(move || writer::run(&mut connection, jobs, &publish, retention, &*clock))
            .map_err(|error| format!("cannot start the writer thread: {error}"))?;
        Ok(Arc::new(Self { writer, dispatch, readers, _lock: lock }))
    }

    /// Runs `work` in the writer's transaction and gives its answer after the commit. An error undoes what it did.
    pub(crate) async fn change<T, E, W>(&self, work: W) -> Result<T, E>
    where
        T: Send + 'static,
        E: Fault,
        W: FnOnce(&mut Step<'_>) -> Result<T, E> + Send + 'static,
    {
        let (job, answer) = writer::job(work);
        self.writer.send(job).await.map_err(|_| gone::<E>())?;
        answer.await.map_err(|_| gone::<E>())?
    }

    /// Runs `work`, which only reads, on tables of one moment.
    pub(crate) async fn query<T, E, W>(&self, work: W) -> Result<T, E>
    where
        T: Send + 'static,
        E: Fault,
        W: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    {
        match &self.readers {
            Some(readers) => readers.read(work).await,
            None => self.change(move |step| work(step.connection)).await,
        }
    }
}

fn gone<E: Fault>() -> E {
    E::unreachable(&"the writer has stopped")
}

fn lock(directory: &Path) -> Result<File, String> {
    let shown = directory.display();
    std::fs::create_dir_all(directory).map_err(|error| format!("cannot create {shown}: {error}"))?;
    let file =
        File::create(directory.join("lock")).map_err(|error| format!("cannot write to {shown}: {error}"))?;
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
impl Broker for Embedded {
    async fn append(&self, message: Outgoing) -> Result<Receipt, BrokerError> {
        self.change(move |step| log::append(step, message)).await
    }

    async fn notify(&self, topic: &Topic, notice: Notice) -> Result<(), BrokerError> {
        self.dispatch.send((vec![topic.clone()], Event::Notice(notice))).await.map_err(|_| gone())
    }

    // Within one process nothing is lost between commit and delivery, so there is nothing to subscribe to.
    async fn subscribe(&self, _topic: &Topic) -> Result<(), BrokerError> {
        Ok(())
    }

    fn unsubscribe(&self, _topic: &Topic) {}

    async fn read(
        &self,
        conversation: &Conversation,
        range: Range,
        limit: usize,
    ) -> Result<Page, BrokerError> {
        let conversation = conversation.clone();
        self.query(move |tables| Ok(log::read(tables, &conversation, range, limit)?)).await
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

    async fn ready(&self) -> Result<(), BrokerError> {
        if self.writer.is_closed() { Err(gone()) } else { Ok(()) }
    }
}
