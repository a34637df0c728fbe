//! The content of files in an object store: a directory, a bucket, or memory.
//!
//! Invariant: a name is made by chatd, and never of what a client calls a file; what lies under it is whole. A piece of a
//! file is in memory, whatever its size.

mod bucket;
mod upload;

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path as Name;
use object_store::{GetOptions, GetResultPayload, MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};
use tokio::sync::Semaphore;
use tokio::time::timeout;

pub use self::bucket::Unusable;
use self::bucket::{Purpose, Why};
use self::upload::{Parts, Upload, tidy};
use super::sqlite::private;
use crate::config::Bucket;
use crate::files::{FileError, Pieces, Store};

/// Bytes of a file that are written at a time.
const PART: usize = 1024 * 1024;
/// The same in a bucket, where a part has at least so many unless it is the last.
const PART_OF_BUCKET: usize = 5 * 1024 * 1024;
/// Bytes that are read at a time.
const PIECE: usize = 128 * 1024;
/// Files that are written at the same time; others wait, without anything of them in memory.
const WRITERS: usize = 8;
/// The same in a bucket, so that each has its share of the way there.
const WRITERS_OF_BUCKET: usize = 4;
/// How long a file waits for its turn, and how long it may take then.
const TURN: Duration = Duration::from_secs(60);
const WRITE: Duration = Duration::from_secs(10 * 60);
/// What is put and removed to see whether it can be; one name, so that what is left of it is not more each time.
const CHECK: &str = "check";
/// What a file in a directory has behind its name until it is whole.
const STAGED: &str = "#1";

/// Files in an object store.
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    /// The same, as it is read.
    reads: Arc<dyn ObjectStore>,
    /// The same, where it is a directory.
    directory: Option<PathBuf>,
    /// The same, where what is left of an upload must be given up.
    parts: Option<Arc<dyn Parts>>,
    /// What all names begin with.
    prefix: String,
    /// Bytes that are written at a time.
    part: usize,
    writers: Semaphore,
}

impl Objects {
    /// In memory; gone when the process ends.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::in_parts(Arc::new(InMemory::new()), PART)
    }

    /// In this directory, which is made where it is missing, for its owner only.
    ///
    /// # Errors
    /// A text for the operator when it cannot be used.
    pub fn in_directory(directory: &Path) -> Result<Self, String> {
        let refused = |error: &dyn std::fmt::Display| format!("cannot use {}: {error}", directory.display());
        private::directory(directory).map_err(|error| refused(&error))?;
        let store = LocalFileSystem::new_with_prefix(directory).map_err(|error| refused(&error))?;
        let store = Self::over(Arc::new(store.with_fsync(true)), PART);
        Ok(Self { directory: Some(directory.to_owned()), ..store })
    }

    /// In this bucket. Nothing is connected to.
    ///
    /// # Errors
    /// A text for the operator when it cannot be asked at all.
    pub fn in_bucket(bucket: &Bucket) -> Result<Self, String> {
        let store = Self::in_parts(Arc::new(bucket::open(bucket, Purpose::Changing)?), PART_OF_BUCKET);
        let reads = Arc::new(bucket::open(bucket, Purpose::Reading)?);
        let writers = Semaphore::new(WRITERS_OF_BUCKET);
        Ok(Self { reads, writers, prefix: bucket.prefix.clone(), ..store })
    }

    fn over(store: Arc<dyn ObjectStore>, part: usize) -> Self {
        let (reads, writers) = (store.clone(), Semaphore::new(WRITERS));
        Self { store, reads, directory: None, parts: None, prefix: String::new(), part, writers }
    }

    fn in_parts(store: Arc<dyn Parts>, part: usize) -> Self {
        Self { parts: Some(store.clone()), ..Self::over(store, part) }
    }

    fn name(&self, name: &str) -> Name {
        Name::from(format!("{}{name}", self.prefix))
    }

    /// Whether files can be put here, removed, and told from those that are not here.
    ///
    /// # Errors
    /// What cannot be done.
    pub async fn check(&self) -> Result<(), Unusable> {
        let name = self.name(CHECK);
        let put = self.store.put(&name, PutPayload::from_static(b"chatd")).await;
        put.map_err(|error| Unusable::new("put a file", &error))?;
        match self.store.delete(&name).await {
            // Another node, which starts at the same time, was faster.
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(Unusable::new("remove a file", &error)),
        }
        match self.reads.get(&name).await {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(Unusable::new("tell what is not there (s3:ListBucket)", &error)),
        }
    }

    async fn begin(&self, name: &Name) -> Result<Box<dyn MultipartUpload>, FileError> {
        match &self.parts {
            Some(parts) => {
                let upload = Upload::begin(parts.clone(), name.clone()).await.map_err(told)?;
                Ok(Box::new(upload))
            }
            None => self.store.put_multipart(name).await.map_err(told),
        }
    }

    /// Writes all that the file holds. Without an answer in time it may still come to be there.
    async fn write(&self, name: &Name, content: File) -> Result<(), FileError> {
        let first = read(content, self.part).await?;
        if first.1.len() < self.part {
            let whole = PutPayload::from_bytes(first.1);
            return self.store.put(name, whole).await.map(drop).map_err(told);
        }
        let mut upload = self.begin(name).await?;
        let sent = send(&mut *upload, first, self.part).await;
        if sent.is_err() {
            tidy(upload.abort()).await;
        }
        sent
    }
}

fn unreachable(error: impl std::fmt::Display) -> FileError {
    FileError::Unreachable(error.to_string())
}

fn told(error: object_store::Error) -> FileError {
    match error {
        object_store::Error::NotFound { .. } if !bucket::is_missing(&error) => FileError::Gone,
        error => unreachable(Why(&error)),
    }
}

/// Of a file that was being sent, whose reader sees only that less of it comes than was said.
fn cut(error: object_store::Error) -> FileError {
    let error = told(error);
    tracing::warn!(%error, "a file that was being sent is cut");
    error
}

/// That there is nothing is fine, too.
fn unless_gone(done: Result<(), FileError>) -> Result<(), FileError> {
    match done {
        Err(FileError::Gone) => Ok(()),
        done => done,
    }
}

/// Removes what a killed node was writing in a directory; the store itself leaves it alone.
async fn remove_staged(path: PathBuf) -> Result<(), FileError> {
    let removing = tokio::task::spawn_blocking(move || std::fs::remove_file(path));
    match removing.await.map_err(unreachable)? {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(unreachable(error)),
        _ => Ok(()),
    }
}

/// Sends a piece that was read, and all that comes after it.
async fn send(upload: &mut dyn MultipartUpload, first: (File, Bytes), part: usize) -> Result<(), FileError> {
    let (mut content, mut piece) = first;
    while !piece.is_empty() {
        upload.put_part(PutPayload::from_bytes(piece)).await.map_err(told)?;
        (content, piece) = read(content, part).await?;
    }
    upload.complete().await.map(drop).map_err(told)
}

/// Reads the next piece of a file, where nobody waits for the disk.
async fn read(mut file: File, most: usize) -> Result<(File, Bytes), FileError> {
    let reading = tokio::task::spawn_blocking(move || {
        let mut piece = Vec::with_capacity(most);
        file.by_ref().take(most as u64).read_to_end(&mut piece)?;
        Ok::<_, std::io::Error>((file, Bytes::from(piece)))
    });
    reading.await.map_err(unreachable)?.map_err(unreachable)
}

#[async_trait]
impl Store for Objects {
    async fn put(&self, name: &str, content: File) -> Result<(), FileError> {
        let late = |_| unreachable("it takes too long to write files");
        let busy = |_| FileError::Busy("others write files, and take long".to_owned());
        let _turn = timeout(TURN, self.writers.acquire()).await.map_err(busy)?.map_err(unreachable)?;
        match timeout(WRITE, self.write(&self.name(name), content)).await.map_err(late)? {
            // Somebody removed what there was of it.
            Err(FileError::Gone) => Err(unreachable("the upload was ended")),
            done => done,
        }
    }

    async fn read(&self, name: &str, range: Range<u64>) -> Result<Pieces, FileError> {
        let options = GetOptions { range: Some(range.clone().into()), ..GetOptions::default() };
        let found = self.reads.get_opts(&self.name(name), options).await.map_err(told)?;
        let (mut file, left) = match found.payload {
            GetResultPayload::Stream(pieces) => return Ok(pieces.map_err(cut).boxed()),
            GetResultPayload::File(file, _) => (file, range.end - range.start),
        };
        file.seek(SeekFrom::Start(range.start)).map_err(unreachable)?;
        let pieces = stream::try_unfold((file, left), async |(file, left)| {
            let most = PIECE.min(usize::try_from(left).unwrap_or(PIECE));
            if most == 0 {
                return Ok(None);
            }
            let (file, piece) = read(file, most).await?;
            match piece.len() as u64 {
                0 => Err(FileError::Corrupt("a file is shorter than it was".to_owned())),
                length => Ok(Some((piece, (file, left - length)))),
            }
        });
        Ok(pieces.boxed())
    }

    async fn remove(&self, name: &str) -> Result<(), FileError> {
        if let Some(directory) = &self.directory {
            remove_staged(directory.join(format!("{name}{STAGED}"))).await?;
        }
        let name = self.name(name);
        if let Some(parts) = &self.parts {
            unless_gone(upload::give_up(&**parts, &name).await.map_err(told))?;
        }
        unless_gone(self.store.delete(&name).await.map_err(told))
    }

    async fn ready(&self) -> Result<(), FileError> {
        unless_gone(self.reads.get(&self.name("ready")).await.map(drop).map_err(told))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    async fn all(store: &Objects, name: &str, range: Range<u64>) -> Result<Vec<u8>, FileError> {
        let pieces: Vec<Bytes> = store.read(name, range).await?.try_collect().await?;
        Ok(pieces.concat())
    }

    fn file(content: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        file
    }

    #[tokio::test]
    async fn what_was_put_is_read_in_part_and_whole_until_it_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        for store in [Objects::in_memory(), Objects::in_directory(&directory.path().join("files")).unwrap()] {
            for length in [7, PART as u32, 3 * PART as u32 + 7] {
                let content: Vec<u8> = (0..length).map(|number| number.to_le_bytes()[1]).collect();
                store.put("1/a", file(&content)).await.unwrap();
                let whole = 0..u64::from(length);
                assert!(all(&store, "1/a", whole).await.unwrap() == content);
                assert!(all(&store, "1/a", 5..7).await.unwrap() == content[5..7]);
            }
            assert_eq!(all(&store, "1/b", 0..1).await, Err(FileError::Gone));
            for _ in 0..2 {
                store.remove("1/a").await.unwrap();
            }
            assert_eq!(all(&store, "1/a", 0..1).await, Err(FileError::Gone));
            store.check().await.unwrap();
            store.ready().await.unwrap();
            assert_eq!(store.store.list(None).count().await, 0, "nothing is left");
        }
    }

    #[tokio::test]
    async fn what_a_killed_node_was_writing_goes_with_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let store = Objects::in_directory(directory.path()).unwrap();
        let under_way = store.store.put_multipart(&store.name("1/a")).await.unwrap();
        // A killed node drops nothing.
        std::mem::forget(under_way);
        let left = || std::fs::read_dir(directory.path().join("1")).unwrap().count();
        assert_eq!(left(), 1);
        for _ in 0..2 {
            store.remove("1/a").await.unwrap();
            assert_eq!(left(), 0);
        }
    }

    #[tokio::test]
    async fn what_is_left_of_an_upload_goes_with_its_name() {
        let store = Objects::in_memory();
        let name = store.name("1/a");
        let mut left = Upload::begin(store.parts.clone().unwrap(), name.clone()).await.unwrap();
        left.put_part(PutPayload::from_static(b"a part")).await.unwrap();
        assert_eq!(all(&store, "1/a", 0..1).await, Err(FileError::Gone), "it is not whole");
        store.remove("1/a").await.unwrap();
        assert!(left.put_part(PutPayload::from_static(b"another")).await.is_err(), "it was given up");
        assert!(left.complete().await.is_err());
        assert_eq!(store.store.list(None).count().await, 0, "nothing is left");
    }
}
