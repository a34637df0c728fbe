//! The embedded engine's databases: SQLite files, each with one writer thread and some readers beside it.
//!
//! Invariant: a change is answered after its commit. Only what lies here opens a file, and only its owner can read it.
//! A database that was closed is whole in its one file.

mod amount;
mod append;
pub mod bans;
pub mod broker;
pub mod conversations;
pub mod files;
pub mod friends;
pub mod groups;
mod known;
mod last_write;
pub mod ledger;
mod leftovers;
mod log;
pub(crate) mod migrate;
pub mod money_file;
pub mod packets;
mod pairs;
pub mod presence;
pub(crate) mod private;
pub mod queue;
mod recall;
mod schema;
mod sent;
mod store;
pub mod worlds;
pub(crate) mod writer;

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use async_trait::async_trait;
use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode};
use tokio::sync::mpsc;

use self::last_write::LastWrite;
use self::migrate::Steps;
use self::store::Readers;
use self::writer::{Job, Scope, Step};
use crate::clock::Clock;
pub use crate::config::Sync;

/// Jobs waiting for the writer; callers wait when it is full.
const WRITER_QUEUE: usize = 4096;

/// Where the tables are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In memory; gone when the process ends.
    Memory,
    /// In this directory.
    Directory(PathBuf),
}

/// What a call can fail with: the refusals of its port, and that the store does not answer.
pub(crate) trait Fault: From<rusqlite::Error> + Send + 'static {
    /// The store did not answer for this reason.
    fn unreachable(reason: &dyn Display) -> Self;
    /// Whether this says so, and is no refusal by a rule.
    fn is_unreachable(&self) -> bool;
}

/// What can be closed in order.
#[async_trait]
pub trait Close: Send + std::marker::Sync {
    /// Finishes what was asked for, refuses what is asked for from now on, and returns when everything is in the one
    /// file, without its `-wal`. A repeat is harmless.
    async fn close(&self);
}

/// One file, or tables in memory. Its thread ends when it is closed, or when the last handle is dropped.
pub(crate) struct Database<S: Scope> {
    writer: mpsc::Sender<Box<dyn Job<S>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    closing: Arc<AtomicBool>,
    /// None in memory, where the writer's connection is the only one.
    readers: Option<Readers>,
    last_write: Arc<LastWrite>,
}

impl<S: Scope> Database<S> {
    /// Opens `file` in `place`, creates it when it is missing, and brings its tables to the version of `steps`.
    ///
    /// # Errors
    /// A text for the operator when the file cannot be used.
    pub(crate) fn open(
        place: &Place,
        file: &str,
        sync: Sync,
        steps: &'static Steps,
        scope: S,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, String> {
        let (connection, readers, shown) = match place {
            Place::Memory => (store::memory(steps), None, "tables in memory".to_owned()),
            Place::Directory(directory) => {
                let file = directory.join(file);
                let shown = file.display().to_string();
                private::file(&file).map_err(|error| format!("cannot open {shown}: {error}"))?;
                (store::file(&file, sync, steps), Some(Readers::new(file)), shown)
            }
        };
        let connection = connection.map_err(|error| {
            let step = match error.sqlite_error_code() {
                Some(ErrorCode::DiskFull) => "; make room on its disk",
                _ => "",
            };
            format!("cannot open {shown}: {error}{step}")
        })?;
        let (writer, jobs) = mpsc::channel(WRITER_QUEUE);
        let (closing, last_write) = (Arc::<AtomicBool>::default(), Arc::<LastWrite>::default());
        let (until, met) = (closing.clone(), last_write.clone());
        let thread = std::thread::Builder::new()
            .name(file.to_owned())
            .spawn(move || writer::run(connection, jobs, &until, &scope, &*clock, &met))
            .map_err(|error| format!("cannot start the writer thread: {error}"))?;
        Ok(Self { writer, thread: Mutex::new(Some(thread)), closing, readers, last_write })
    }

    /// Runs `work` in the writer's transaction and gives its answer after the commit. An error undoes what it did.
    pub(crate) async fn change<T, E, W>(&self, work: W) -> Result<T, E>
    where
        T: Send + 'static,
        E: Fault,
        W: FnOnce(&mut Step<'_, S>) -> Result<T, E> + Send + 'static,
    {
        let (job, answer) = writer::job(work, false);
        self.writer.send(job).await.map_err(|_| gone::<E>())?;
        answer.await.map_err(|_| gone::<E>())?
    }

    /// Runs each of `works` as [`Database::change`] does, in their order; all are on their way at once. Each is refused,
    /// if at all, before it writes.
    pub(crate) async fn change_each<T, E, W>(
        &self,
        works: impl ExactSizeIterator<Item = W>,
    ) -> Vec<Result<T, E>>
    where
        T: Send + 'static,
        E: Fault,
        W: FnOnce(&mut Step<'_, S>) -> Result<T, E> + Send + 'static,
    {
        let count = works.len();
        let (jobs, answers): (Vec<_>, Vec<_>) = works.map(|work| writer::job(work, true)).unzip();
        let Ok(room) = self.writer.reserve_many(count).await else {
            return std::iter::repeat_with(|| Err(gone())).take(count).collect();
        };
        room.zip(jobs).for_each(|(place, job)| place.send(job));
        let mut outcomes = Vec::with_capacity(count);
        for answer in answers {
            outcomes.push(answer.await.unwrap_or_else(|_| Err(gone())));
        }
        outcomes
    }

    /// A way to the writer that keeps nothing open.
    pub(crate) fn visitor(&self) -> Visitor<S> {
        Visitor(self.writer.downgrade())
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

    /// The same for `work` that looks at a few rows only: it is done at once where that can be.
    pub(crate) async fn look<T, E, W>(&self, work: W) -> Result<T, E>
    where
        T: Send + 'static,
        E: Fault,
        W: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    {
        let Some(readers) = &self.readers else { return self.query(work).await };
        match readers.look(work) {
            Ok(answer) => answer,
            Err(work) => readers.read(work).await,
        }
    }

    /// Whether the writer still runs and can write: when the last write failed, it tries another one.
    pub(crate) async fn ready<E: Fault>(&self) -> Result<(), E> {
        if self.writer.is_closed() {
            return Err(gone());
        }
        if self.last_write.failed() {
            self.change(last_write::probe::<S, E>).await?;
            self.change(last_write::forget::<S, E>).await?;
        }
        Ok(())
    }
}

/// A way to the writer for work that nobody waits for: it does not keep a database open that its owner lets go.
pub(crate) struct Visitor<S: Scope>(mpsc::WeakSender<Box<dyn Job<S>>>);

impl<S: Scope> Visitor<S> {
    /// As [`Database::change`]; unreachable too once the owner has gone.
    pub(crate) async fn change<T, E, W>(&self, work: W) -> Result<T, E>
    where
        T: Send + 'static,
        E: Fault,
        W: FnOnce(&mut Step<'_, S>) -> Result<T, E> + Send + 'static,
    {
        let (job, answer) = writer::job(work, false);
        let writer = self.0.upgrade().ok_or_else(gone::<E>)?;
        writer.send(job).await.map_err(|_| gone::<E>())?;
        drop(writer);
        answer.await.map_err(|_| gone::<E>())?
    }
}

#[async_trait]
impl<S: Scope> Close for Database<S> {
    async fn close(&self) {
        let Some(thread) = self.thread.lock().take() else { return };
        if let Some(readers) = &self.readers {
            readers.close().await;
        }
        self.closing.store(true, Ordering::Release);
        // Wakes it. Fails only when it has ended already.
        let _ = self.writer.send(Box::new(writer::Last)).await;
        let _ = tokio::task::spawn_blocking(|| thread.join()).await;
    }
}

fn gone<E: Fault>() -> E {
    E::unreachable(&"the writer has stopped")
}
