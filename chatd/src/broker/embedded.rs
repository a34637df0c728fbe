//! The broker of a node that runs alone: one SQLite file, one writer thread, one dispatcher.
//!
//! Invariant: a message is published after the transaction that holds it is committed, and in commit order.

mod store;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{
    Broker, BrokerError, Conversation, Event, Notice, Outgoing, Page, Range, Receipt, Retention, Sink, Topic,
};
use crate::clock::Clock;
use store::Store;

/// Appends waiting for the writer; callers wait when it is full.
const WRITER_QUEUE: usize = 4096;
/// Events waiting for the dispatcher; the writer waits when it is full.
const DISPATCH_QUEUE: usize = 4096;
/// Appends committed together at most.
const GROUP_COMMIT: usize = 200;
/// Reads of the file at the same time.
const READERS: usize = 4;

/// Where the log is kept.
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

enum Job {
    Append(Outgoing, oneshot::Sender<Result<Receipt, BrokerError>>),
    Read(Conversation, Range, usize, oneshot::Sender<Result<Page, BrokerError>>),
}

/// See the file's head.
pub struct Embedded {
    writer: mpsc::Sender<Job>,
    dispatch: mpsc::Sender<(Vec<Topic>, Event)>,
    readers: Option<Readers>,
    /// Held for the life of the broker, so that no second chatd opens the directory.
    _lock: Option<File>,
}

/// Connections that read the file beside the writer.
struct Readers {
    file: PathBuf,
    idle: Arc<parking_lot::Mutex<Vec<Store>>>,
    permits: Arc<Semaphore>,
}

impl Embedded {
    /// Opens or creates the log. Must be called inside a tokio runtime.
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
        let (store, lock, readers) = match place {
            Place::Memory => (Store::memory(), None, None),
            Place::Directory(directory) => {
                let lock = lock(directory)?;
                let file = directory.join("chat.sqlite3");
                let idle = Arc::default();
                let permits = Arc::new(Semaphore::new(READERS));
                (Store::file(&file, sync), Some(lock), Some(Readers { file, idle, permits }))
            }
        };
        let mut store = store.map_err(|error| format!("cannot open the log in {place:?}: {error}"))?;
        let (dispatch, events) = mpsc::channel(DISPATCH_QUEUE);
        let (writer, jobs) = mpsc::channel(WRITER_QUEUE);
        tokio::spawn(deliver(events, sink));
        let publish = dispatch.clone();
        std::thread::Builder::new()
            .name("chat-log".to_owned())
            .spawn(move || write(&mut store, jobs, &publish, retention, &*clock))
            .map_err(|error| format!("cannot start the writer thread: {error}"))?;
        Ok(Arc::new(Self { writer, dispatch, readers, _lock: lock }))
    }
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

async fn deliver(mut events: mpsc::Receiver<(Vec<Topic>, Event)>, sink: Arc<dyn Sink>) {
    while let Some((topics, event)) = events.recv().await {
        for topic in &topics {
            sink.deliver(topic, &event);
        }
        // A fan-out to thousands counts as one poll; let the connections it woke run before the next one.
        tokio::task::yield_now().await;
    }
}

fn write(
    store: &mut Store,
    mut jobs: mpsc::Receiver<Job>,
    publish: &mpsc::Sender<(Vec<Topic>, Event)>,
    retention: Retention,
    clock: &dyn Clock,
) {
    let mut batch = Vec::with_capacity(GROUP_COMMIT);
    while jobs.blocking_recv_many(&mut batch, GROUP_COMMIT) > 0 {
        let mut appends = Vec::with_capacity(batch.len());
        for job in batch.drain(..) {
            match job {
                Job::Append(message, answer) => appends.push((message, answer)),
                Job::Read(conversation, range, limit, answer) => {
                    let _ = answer.send(store.read(&conversation, range, limit).map_err(BrokerError::from));
                }
            }
        }
        commit(store, appends, publish, retention, clock.now_ms());
    }
}

fn commit(
    store: &mut Store,
    appends: Vec<(Outgoing, oneshot::Sender<Result<Receipt, BrokerError>>)>,
    publish: &mpsc::Sender<(Vec<Topic>, Event)>,
    retention: Retention,
    now_ms: u64,
) {
    if appends.is_empty() {
        return;
    }
    let (messages, answers): (Vec<_>, Vec<_>) = appends.into_iter().unzip();
    match store.append_all(&messages, retention, now_ms) {
        Ok(receipts) => {
            for ((message, receipt), answer) in messages.into_iter().zip(receipts).zip(answers) {
                if !receipt.duplicate {
                    let topics = message.conversation.topics();
                    // Fails only when the dispatcher is gone, that is at shutdown.
                    let _ = publish.blocking_send((topics, event(message, &receipt)));
                }
                let _ = answer.send(Ok(receipt));
            }
        }
        Err(error) => {
            tracing::error!(%error, "the log could not be written");
            for answer in answers {
                let _ = answer.send(Err(BrokerError::Unreachable(error.to_string())));
            }
        }
    }
}

fn event(message: Outgoing, receipt: &Receipt) -> Event {
    let entry = super::Entry {
        offset: receipt.offset,
        epoch: receipt.epoch.clone(),
        time: receipt.time,
        msg_id: message.msg_id,
        members: message.members,
    };
    Event::Message {
        conversation: message.conversation,
        entry,
        skip: message.skip,
        effect: super::Effect::None,
    }
}

fn gone() -> BrokerError {
    BrokerError::Unreachable("the writer has stopped".to_owned())
}

impl From<rusqlite::Error> for BrokerError {
    fn from(error: rusqlite::Error) -> Self {
        BrokerError::Unreachable(error.to_string())
    }
}

#[async_trait]
impl Broker for Embedded {
    async fn append(&self, message: Outgoing) -> Result<Receipt, BrokerError> {
        let (answer, receipt) = oneshot::channel();
        self.writer.send(Job::Append(message, answer)).await.map_err(|_| gone())?;
        receipt.await.map_err(|_| gone())?
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
        let Some(readers) = &self.readers else {
            let (answer, page) = oneshot::channel();
            let job = Job::Read(conversation.clone(), range, limit, answer);
            self.writer.send(job).await.map_err(|_| gone())?;
            return page.await.map_err(|_| gone())?;
        };
        readers.read(conversation.clone(), range, limit).await
    }

    async fn recall(
        &self,
        _conversation: &Conversation,
        _offset: u64,
        _by: Option<&chat_protocol::UserId>,
    ) -> Result<chat_protocol::message::Recalled, BrokerError> {
        Err(BrokerError::NoSuchMessage)
    }

    async fn ready(&self) -> Result<(), BrokerError> {
        if self.writer.is_closed() { Err(gone()) } else { Ok(()) }
    }
}

impl Readers {
    async fn read(
        &self,
        conversation: Conversation,
        range: Range,
        limit: usize,
    ) -> Result<Page, BrokerError> {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| gone())?;
        let (file, idle) = (self.file.clone(), self.idle.clone());
        let read = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let pooled = idle.lock().pop();
            let mut store = match pooled {
                Some(store) => store,
                None => Store::reader(&file)?,
            };
            let page = store.read(&conversation, range, limit)?;
            idle.lock().push(store);
            Ok(page)
        });
        read.await.map_err(|error| BrokerError::Unreachable(error.to_string()))?
    }
}
