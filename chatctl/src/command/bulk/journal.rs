//! Which messages of a batch were sent, so that a run that was broken off goes on where it was.
//!
//! Invariant: what stands in the file was sent; what does not stand there is sent again with the id it had, and the
//! server delivers it once. A line that was cut off counts as not written.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

use crate::failure::Failure;

const HEAD: &str = "chatctl batch ";

/// The batch, and what of it is done.
#[derive(Debug)]
pub struct Journal {
    /// What the ids of its messages are made from.
    pub batch: Uuid,
    done: HashSet<String>,
    file: Option<Mutex<File>>,
}

impl Journal {
    /// A batch that is not written down.
    #[must_use]
    pub fn none(batch: Option<Uuid>) -> Self {
        let batch = batch.unwrap_or_else(Uuid::now_v7);
        Self { batch, done: HashSet::new(), file: None }
    }

    /// The batch in this file, or a new one.
    ///
    /// # Errors
    /// [`Failure::Usage`] when the file cannot be used, or is about another batch.
    pub fn open(path: &Path, batch: Option<Uuid>) -> Result<Self, Failure> {
        let bad = |error: io::Error| {
            let why = crate::failure::plain(&error.to_string()).to_owned();
            Failure::usage(format!("journal {}: {why}", path.display()), "name another file with --journal")
        };
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(false).open(path).map_err(bad)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(bad)?;
        if text.is_empty() {
            let made = Self::none(batch);
            writeln!(file, "{HEAD}{}", made.batch).map_err(bad)?;
            return Ok(Self { file: Some(Mutex::new(file)), ..made });
        }
        let whole = &text[..text.rfind('\n').map_or(0, |at| at + 1)];
        let mut lines = whole.lines();
        let known = lines.next().and_then(|line| line.strip_prefix(HEAD)?.parse::<Uuid>().ok());
        let known = known.ok_or_else(|| bad(io::Error::other("it is no journal of a batch")))?;
        if batch.is_some_and(|batch| batch != known) {
            return Err(bad(io::Error::other(format!("it is about batch {known}"))));
        }
        file.set_len(whole.len() as u64).and_then(|()| file.seek(io::SeekFrom::End(0))).map_err(bad)?;
        let done = lines.map(ToOwned::to_owned).collect();
        Ok(Self { batch: known, done, file: Some(Mutex::new(file)) })
    }

    /// Whether a message was sent before.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.done.contains(id)
    }

    /// A message was sent.
    ///
    /// # Errors
    /// What the system says when that cannot be written.
    pub fn add(&self, id: &str) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        file.lock().unwrap_or_else(PoisonError::into_inner).write_all(format!("{id}\n").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_goes_on_behind_the_last_whole_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let first = Journal::open(&path, None).unwrap();
        first.add("m-1").unwrap();
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + "m-2 cut o").unwrap();
        let second = Journal::open(&path, None).unwrap();
        assert_eq!((second.batch, second.has("m-1"), second.has("m-2 cut o")), (first.batch, true, false));
        second.add("m-3").unwrap();
        assert!(Journal::open(&path, Some(first.batch)).unwrap().has("m-3"));
        assert!(std::fs::read_to_string(&path).unwrap().ends_with("\nm-1\nm-3\n"));
        assert!(Journal::open(&path, Some(Uuid::now_v7())).is_err());
        std::fs::write(&path, "something else\n").unwrap();
        assert!(Journal::open(&path, None).unwrap_err().to_string().contains("no journal"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "something else\n", "it is left alone");
    }
}
