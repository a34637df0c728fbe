//! The content of files in an object store: a directory, or memory.
//!
//! Invariant: a name is made by chatd, and never of what a client calls a file; what lies under it is whole. A piece of a
//! file is in memory, whatever its size.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path as Name;
use object_store::{GetOptions, GetResultPayload, ObjectStore, ObjectStoreExt, PutPayload};
use tokio::sync::Semaphore;

use super::sqlite::private;
use crate::files::{FileError, Pieces, Store};

/// Bytes of a file that are written at a time.
const PART: usize = 1024 * 1024;
/// Bytes that are read at a time.
const PIECE: usize = 128 * 1024;
/// Files that are written at the same time; others wait, without anything of them in memory.
const WRITERS: usize = 8;

/// Files in an object store.
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    writers: Semaphore,
}

impl Objects {
    /// In memory; gone when the process ends.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::over(Arc::new(InMemory::new()))
    }

    /// In this directory, which is made where it is missing, for its owner only.
    ///
    /// # Errors
    /// A text for the operator when it cannot be used.
    pub fn in_directory(directory: &Path) -> Result<Self, String> {
        let refused = |error: &dyn std::fmt::Display| format!("cannot use {}: {error}", directory.display());
        private::directory(directory).map_err(|error| refused(&error))?;
        let store = LocalFileSystem::new_with_prefix(directory).map_err(|error| refused(&error))?;
        Ok(Self::over(Arc::new(store.with_fsync(true))))
    }

    fn over(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, writers: Semaphore::new(WRITERS) }
    }
}

fn unreachable(error: impl std::fmt::Display) -> FileError {
    FileError::Unreachable(error.to_string())
}

fn told(error: object_store::Error) -> FileError {
    match error {
        object_store::Error::NotFound { .. } => FileError::Gone,
        error => unreachable(error),
    }
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
        let _turn = self.writers.acquire().await.map_err(unreachable)?;
        let mut upload = self.store.put_multipart(&Name::from(name)).await.map_err(told)?;
        let mut content = content;
        loop {
            let (rest, piece) = read(content, PART).await?;
            content = rest;
            if piece.is_empty() {
                break;
            }
            if let Err(error) = upload.put_part(PutPayload::from_bytes(piece)).await {
                let _ = upload.abort().await;
                return Err(told(error));
            }
        }
        upload.complete().await.map(drop).map_err(told)
    }

    async fn read(&self, name: &str, range: Range<u64>) -> Result<Pieces, FileError> {
        let options = GetOptions { range: Some(range.clone().into()), ..GetOptions::default() };
        let found = self.store.get_opts(&Name::from(name), options).await.map_err(told)?;
        let (mut file, left) = match found.payload {
            GetResultPayload::Stream(pieces) => return Ok(pieces.map_err(told).boxed()),
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
        match self.store.delete(&Name::from(name)).await.map_err(told) {
            Err(FileError::Gone) => Ok(()),
            done => done,
        }
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

    #[tokio::test]
    async fn what_was_put_is_read_in_part_and_whole_until_it_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let content: Vec<u8> = (0..3 * PART as u32 + 7).map(|number| number.to_le_bytes()[1]).collect();
        for store in [Objects::in_memory(), Objects::in_directory(&directory.path().join("files")).unwrap()] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&content).unwrap();
            file.seek(SeekFrom::Start(0)).unwrap();
            store.put("1/a", file).await.unwrap();
            let length = content.len() as u64;
            assert!(all(&store, "1/a", 0..length).await.unwrap() == content);
            assert!(all(&store, "1/a", 5..9).await.unwrap() == content[5..9]);
            assert_eq!(all(&store, "1/b", 0..1).await, Err(FileError::Gone));
            for _ in 0..2 {
                store.remove("1/a").await.unwrap();
            }
            assert_eq!(all(&store, "1/a", 0..1).await, Err(FileError::Gone));
        }
    }
}
