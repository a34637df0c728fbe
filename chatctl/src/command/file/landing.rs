//! Where a file that is fetched comes to lie.
//!
//! Invariant: a file that was there stays as it was until the new one is whole, and what is no file, such as a device or
//! a pipe, is written to and never removed or replaced.

use std::fs::{File, OpenOptions, canonicalize, metadata, remove_file, rename};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Bytes on their way into a file.
pub struct Landing {
    file: File,
    /// Where they lie meanwhile, and where they belong; none where they go straight.
    moved: Option<(PathBuf, PathBuf)>,
}

impl Landing {
    /// Begins one; nothing is there yet under its name.
    ///
    /// # Errors
    /// What the system says of the place.
    pub fn begin(to: &Path) -> io::Result<Self> {
        // Through a link, as whoever writes to one expects.
        let to = canonicalize(to).unwrap_or_else(|_| to.to_owned());
        if metadata(&to).is_ok_and(|there| !there.is_file()) {
            return Ok(Self { file: OpenOptions::new().write(true).open(&to)?, moved: None });
        }
        let mut part = to.clone().into_os_string();
        part.push(format!(".part-{}", std::process::id()));
        let part = PathBuf::from(part);
        let file = OpenOptions::new().write(true).create_new(true).open(&part)?;
        Ok(Self { file, moved: Some((part, to)) })
    }

    /// All of it has come.
    ///
    /// # Errors
    /// What the system says when the file cannot get its name.
    pub fn end(mut self) -> io::Result<()> {
        self.file.flush()?;
        match self.moved.as_ref() {
            Some((part, to)) => rename(part, to)?,
            None => return Ok(()),
        }
        self.moved = None;
        Ok(())
    }
}

impl Write for Landing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        if let Some((part, _)) = &self.moved {
            let _ = remove_file(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{read, read_dir, symlink_metadata, write};
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_that_was_there_stays_until_the_new_one_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let to = directory.path().join("a.gif");
        write(&to, "old").unwrap();
        let mut given_up = Landing::begin(&to).unwrap();
        given_up.write_all(b"new").unwrap();
        drop(given_up);
        assert_eq!(read(&to).unwrap(), b"old");
        let mut whole = Landing::begin(&to).unwrap();
        whole.write_all(b"new").unwrap();
        whole.end().unwrap();
        assert_eq!(read(&to).unwrap(), b"new");
        assert_eq!(read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_file_is_never_removed() {
        let directory = tempfile::tempdir().unwrap();
        let to = directory.path().join("full");
        symlink("/dev/full", &to).unwrap();
        let mut landing = Landing::begin(&to).unwrap();
        assert!(landing.write_all(b"new").is_err());
        drop(landing);
        assert!(symlink_metadata(&to).unwrap().is_symlink());
        assert!(!metadata("/dev/full").unwrap().is_file());
    }
}
