//! Files that hold what people said and own are for the owner of the process only.
//!
//! Invariant: a file is made with no right for others, never given one, and one that has more loses it. A directory
//! loses it only when it holds nothing but chatd's, so that a mistyped path takes no rights from anybody.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Rights of the group and of others.
const OTHERS: u32 = 0o077;
/// Everybody may put files here: no directory of one program.
const STICKY: u32 = 0o1000;
/// What SQLite keeps beside a file.
const BESIDE: [&str; 2] = ["-wal", "-shm"];
/// The file by which a data directory is known.
pub(crate) const LOCK: &str = "lock";

/// Makes the directory where it is missing, and closes it to others.
///
/// # Errors
/// What the system says when it cannot be made.
pub(crate) fn directory(path: &Path) -> io::Result<()> {
    let Ok(found) = path.metadata() else {
        return DirBuilder::new().recursive(true).mode(0o700).create(path);
    };
    let mode = found.permissions().mode();
    if !found.is_dir() || mode & OTHERS == 0 {
        return Ok(());
    }
    let own = mode & STICKY == 0 && (path.join(LOCK).exists() || is_empty(path));
    if own && std::fs::set_permissions(path, Permissions::from_mode(mode & !OTHERS)).is_ok() {
        tracing::warn!(directory = %path.display(), "could be read by others; now only by its owner");
    } else {
        tracing::warn!(directory = %path.display(), "can be read by others; chatd's files in it cannot");
    }
    Ok(())
}

fn is_empty(directory: &Path) -> bool {
    std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none())
}

/// Opens the file for writing, makes it where it is missing, and closes it to others, with what SQLite keeps beside it.
///
/// # Errors
/// What the system says when it cannot be opened.
pub(crate) fn file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    tighten(path);
    for suffix in BESIDE {
        let mut beside = path.as_os_str().to_owned();
        beside.push(suffix);
        tighten(Path::new(&beside));
    }
    Ok(file)
}

fn tighten(path: &Path) {
    let Ok(found) = path.metadata() else { return };
    let mode = found.permissions().mode();
    if mode & OTHERS == 0 {
        return;
    }
    match std::fs::set_permissions(path, Permissions::from_mode(mode & !OTHERS)) {
        Ok(()) => tracing::warn!(file = %path.display(), "could be read by others; now only by its owner"),
        Err(error) => tracing::warn!(file = %path.display(), %error, "can be read by others"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o7777
    }

    fn with_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_is_made_is_private_and_what_was_there_becomes_so() {
        let place = tempfile::tempdir().unwrap();
        let data = place.path().join("deep/data");
        directory(&data).unwrap();
        file(&data.join("a.sqlite3")).unwrap();
        assert_eq!((mode(&data), mode(&data.join("a.sqlite3"))), (0o700, 0o600));
        std::fs::write(data.join("a.sqlite3-wal"), "").unwrap();
        std::fs::write(data.join(LOCK), "").unwrap();
        for name in ["a.sqlite3", "a.sqlite3-wal"] {
            with_mode(&data.join(name), 0o644);
        }
        with_mode(&data, 0o755);
        directory(&data).unwrap();
        file(&data.join("a.sqlite3")).unwrap();
        assert_eq!(mode(&data), 0o700);
        assert_eq!((mode(&data.join("a.sqlite3")), mode(&data.join("a.sqlite3-wal"))), (0o600, 0o600));
    }

    #[test]
    fn a_directory_that_is_not_chatds_keeps_its_rights() {
        let place = tempfile::tempdir().unwrap();
        let (shared, used) = (place.path().join("shared"), place.path().join("used"));
        for (path, before) in [(&shared, 0o1777), (&used, 0o755)] {
            std::fs::create_dir(path).unwrap();
            with_mode(path, before);
        }
        std::fs::write(used.join("letter.txt"), "").unwrap();
        for (path, before) in [(&shared, 0o1777), (&used, 0o755)] {
            directory(path).unwrap();
            assert_eq!(mode(path), before);
        }
    }
}
