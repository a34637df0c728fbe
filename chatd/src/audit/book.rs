//! The file of the audit log: lines are added to it, and it is put aside when it is full.
//!
//! Invariant: a file is made for its owner only. A line that was written in part is ended before the next one begins, so
//! that it spoils none. What is no regular file, such as /dev/stdout, is never put aside.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::Place;

/// The file that is written to.
pub(super) struct Book {
    place: Place,
    file: File,
    /// Bytes in it.
    length: u64,
    is_regular: bool,
    /// Whether it may end within a line.
    is_torn: bool,
}

impl Book {
    /// Opens it, and makes it where it is missing.
    pub(super) fn open(place: Place) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&place.file)?;
        let found = file.metadata()?;
        let (length, is_regular) = (found.len(), found.is_file());
        let is_torn = is_regular && length > 0 && last_byte(&place.file, length)? != b'\n';
        Ok(Self { place, file, length, is_regular, is_torn })
    }

    /// Opens it again, wherever the old one is by now.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        *self = Self::open(self.place.clone())?;
        Ok(())
    }

    /// Adds lines, each with its end.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let is_full = self.length > 0 && self.length + lines.len() as u64 > self.place.max_bytes;
        if is_full
            && self.is_regular
            && self.place.max_bytes > 0
            && let Err(error) = self.put_aside()
        {
            tracing::warn!(%error, file = %self.place.file.display(), "the audit log could not be put aside");
        }
        if self.is_torn {
            self.file.write_all(b"\n")?;
            (self.is_torn, self.length) = (false, self.length + 1);
        }
        self.file.write_all(lines).inspect_err(|_| self.is_torn = true)?;
        self.length += lines.len() as u64;
        Ok(())
    }

    fn put_aside(&mut self) -> io::Result<()> {
        for number in (1..self.place.old_files).rev() {
            match std::fs::rename(aside(&self.place.file, number), aside(&self.place.file, number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        std::fs::rename(&self.place.file, aside(&self.place.file, 1))?;
        self.reopen()
    }
}

/// The file with this number among those that were put aside, of which 1 is the youngest.
pub(super) fn aside(file: &Path, number: u32) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(format!(".{number}"));
    path.into()
}

fn last_byte(file: &Path, length: u64) -> io::Result<u8> {
    let mut byte = [0];
    File::open(file)?.read_exact_at(&mut byte, length - 1)?;
    Ok(byte[0])
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn book(place: &Path, max_bytes: u64) -> Book {
        Book::open(Place { file: place.join("a"), max_bytes, old_files: 2 }).unwrap()
    }

    fn text(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn what_is_full_is_put_aside_and_the_oldest_goes() {
        let place = tempfile::tempdir().unwrap();
        let mut book = book(place.path(), 8);
        for line in ["one\n", "two\n", "three\n", "four\n", "a line longer than the file may be\n", "six\n"] {
            book.append(line.as_bytes()).unwrap();
        }
        let [now, first, second, third] =
            ["a", "a.1", "a.2", "a.3"].map(|name| text(&place.path().join(name)));
        assert_eq!((now.as_str(), first.as_str()), ("six\n", "a line longer than the file may be\n"));
        assert_eq!((second.as_str(), third.as_str()), ("four\n", ""));
        let mode = place.path().join("a").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_line_that_was_cut_spoils_none() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("a"), "whole\ncu").unwrap();
        book(place.path(), 0).append(b"next\n").unwrap();
        assert_eq!(text(&place.path().join("a")), "whole\ncu\nnext\n");
        book(place.path(), 0).append(b"last\n").unwrap();
        assert_eq!(text(&place.path().join("a")), "whole\ncu\nnext\nlast\n");
    }

    #[test]
    fn a_file_that_was_moved_away_is_followed_by_a_new_one_once_that_is_asked_for() {
        let place = tempfile::tempdir().unwrap();
        let mut book = book(place.path(), 0);
        book.append(b"one\n").unwrap();
        std::fs::rename(place.path().join("a"), place.path().join("moved")).unwrap();
        book.append(b"two\n").unwrap();
        book.reopen().unwrap();
        book.append(b"three\n").unwrap();
        assert_eq!(text(&place.path().join("moved")), "one\ntwo\n");
        assert_eq!(text(&place.path().join("a")), "three\n");
    }
}
