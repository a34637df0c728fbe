//! An upload on its way: a file without a name, so that nothing is left of it whatever ends.
//!
//! Invariant: a few pieces of it are in memory, whatever its size; a client that sends nothing for a while, or too little in
//! all, is given up.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use chat_protocol::{Code, Refusal};
use futures_util::{Stream, StreamExt};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout_at};

use super::FileError;

/// Bytes that are gathered before they are written.
const PIECE: usize = 64 * 1024;
/// Bytes from its beginning that tell what a file is.
const HEAD: usize = 4096;

/// How long a client is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For any of it to come.
    pub piece: Duration,
    /// For all of it.
    pub whole: Duration,
}

/// A file that came whole.
pub struct Spooled {
    /// It, from its beginning.
    pub file: File,
    /// How long it is.
    pub bytes: u64,
    /// Its digest.
    pub sha256: [u8; 32],
}

/// What of it has come.
struct Spool {
    file: File,
    gathered: Vec<u8>,
    digest: Sha256,
    bytes: u64,
}

impl Spool {
    fn write(&mut self) -> io::Result<()> {
        self.digest.update(&self.gathered);
        self.file.write_all(&self.gathered)?;
        self.gathered.clear();
        Ok(())
    }

    fn end(mut self) -> io::Result<Spooled> {
        self.write()?;
        self.file.seek(SeekFrom::Start(0))?;
        Ok(Spooled { file: self.file, bytes: self.bytes, sha256: self.digest.finalize().into() })
    }
}

/// Takes a body. `head` judges its beginning as soon as that is there, `limit` each number of bytes.
///
/// # Errors
/// What the two say; [`Code::BadParameter`] when the body breaks off, [`Code::StoreUnreachable`] when it cannot be written.
pub async fn receive<E: std::fmt::Display>(
    directory: &Path,
    patience: Patience,
    body: impl Stream<Item = Result<Bytes, E>>,
    mut head: impl FnMut(&[u8]) -> Result<(), Refusal>,
    limit: impl Fn(u64) -> Result<(), Refusal>,
) -> Result<Spooled, Refusal> {
    let place = directory.to_owned();
    let file = blocking(move || tempfile::tempfile_in(place)).await?;
    let mut spool = Spool { file, gathered: Vec::new(), digest: Sha256::new(), bytes: 0 };
    let (mut is_judged, end) = (false, Instant::now() + patience.whole);
    let mut body = std::pin::pin!(body);
    loop {
        let next = timeout_at(end.min(Instant::now() + patience.piece), body.next()).await;
        let piece = match next {
            Ok(Some(Ok(piece))) => piece,
            Ok(Some(Err(error))) => return Err(broken(&format!("the file broke off: {error}"))),
            Ok(None) => break,
            Err(_) => return Err(late(patience, Instant::now() >= end)),
        };
        spool.bytes += piece.len() as u64;
        limit(spool.bytes)?;
        spool.gathered.extend_from_slice(&piece);
        if !is_judged && spool.gathered.len() >= HEAD {
            head(&spool.gathered)?;
            is_judged = true;
        }
        if spool.gathered.len() >= PIECE {
            spool = blocking(move || spool.write().map(|()| spool)).await?;
        }
    }
    if !is_judged {
        head(&spool.gathered)?;
    }
    Ok(blocking(move || spool.end()).await?)
}

fn broken(why: &str) -> Refusal {
    Refusal::new(Code::BadParameter, why)
}

fn late(patience: Patience, is_over: bool) -> Refusal {
    let (what, within) = if is_over {
        ("the file did not come whole", patience.whole)
    } else {
        ("no more of the file came", patience.piece)
    };
    broken(&format!("{what} within {} s", within.as_secs()))
}

/// Does what waits for the disk where nobody else waits for it.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, FileError> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|error| FileError::Unreachable(error.to_string()))?;
    done.map_err(|error| FileError::Unreachable(error.to_string()))
}
