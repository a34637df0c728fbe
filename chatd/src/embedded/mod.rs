//! The embedded engine's databases: SQLite files, each with one writer thread and some readers beside it.
//!
//! Invariant: a change is answered after its commit. Only what lies here opens a file.

pub(crate) mod schema;
mod store;
pub(crate) mod writer;

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::mpsc;

use self::schema::Steps;
use self::store::Readers;
use self::writer::{Job, Scope, Step};
use crate::clock::Clock;

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

/// What a commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sync {
    /// The end of the process, however sudden.
    Normal,
    /// A power cut too; each group of commits waits for the disk.
    Full,
}

/// What a call can fail with: the refusals of its port, and that the store does not answer.
pub(crate) trait Fault: From<rusqlite::Error> + Send + 'static {
    /// The store did not answer for this reason.
    fn unreachable(reason: &dyn Display) -> Self;
}

/// One file, or tables in memory. Its thread ends when the last handle is dropped.
pub(crate) struct Database<S: Scope> {
    writer: mpsc::Sender<Box<dyn Job<S>>>,
    /// None in memory, where the writer's connection is the only one.
    readers: Option<Readers>,
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
        let (connection, readers) = match place {
            Place::Memory => (store::memory(steps), None),
            Place::Directory(directory) => {
                let file = directory.join(file);
                (store::file(&file, sync, steps), Some(Readers::new(file)))
            }
        };
        let connection = connection.map_err(|error| format!("cannot open {file} in {place:?}: {error}"))?;
        let (writer, jobs) = mpsc::channel(WRITER_QUEUE);
        std::thread::Builder::new()
            .name(file.to_owned())
            .spawn(move || writer::run(connection, jobs, &scope, &*clock))
            .map_err(|error| format!("cannot start the writer thread: {error}"))?;
        Ok(Self { writer, readers })
    }

    /// Runs `work` in the writer's transaction and gives its answer after the commit. An error undoes what it did.
    pub(crate) async fn change<T, E, W>(&self, work: W) -> Result<T, E>
    where
        T: Send + 'static,
        E: Fault,
        W: FnOnce(&mut Step<'_, S>) -> Result<T, E> + Send + 'static,
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

    /// Whether the writer still runs.
    pub(crate) fn ready<E: Fault>(&self) -> Result<(), E> {
        if self.writer.is_closed() { Err(gone()) } else { Ok(()) }
    }
}

fn gone<E: Fault>() -> E {
    E::unreachable(&"the writer has stopped")
}
