//! Files of `--out`: checked before a run and written after it.
//!
//! Invariant: a name that cannot be written is known before the run starts, and a file that was there stays as it is
//! until all that takes its place is written beside it.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use chatbench_result::output::findings::Findings;
use chatbench_result::output::format::Format;

use crate::failure::Failure;

/// Refuses files of an option that could not be written.
///
/// # Errors
/// [`Failure::CouldNotRun`] with the file's name.
pub fn check_writable(option: &str, paths: &[impl AsRef<Path>]) -> Result<(), Failure> {
    for path in paths {
        let path = path.as_ref();
        try_to_write(&behind_links(path)).map_err(|error| {
            Failure::could_not_run(
                format!("{option}: {} cannot be written: {error}", path.display()),
                "name a file in a directory that exists and may be written to",
            )
        })?;
    }
    Ok(())
}

/// Writes the findings to every file; one that fails does not keep the others from being written.
///
/// # Errors
/// What stood in the way of the first that failed.
pub fn save(paths: &[impl AsRef<Path>], findings: &Findings) -> Result<(), Failure> {
    let mut failed = Ok(());
    for path in paths {
        let path = path.as_ref();
        let written = write(path, findings).map_err(|error| {
            let cause = format!("{} cannot be written: {error}", path.display());
            Failure::could_not_run(cause, "check --out; chatbench report makes it anew of a .json result")
        });
        failed = failed.and(written);
    }
    failed
}

fn write(path: &Path, findings: &Findings) -> Result<(), String> {
    let text = Format::of(path)?.render(path, findings)?;
    replace(path, text.as_ref()).map_err(|error| error.to_string())
}

/// Writes a whole file beside its place and then puts it there, so that one that was there is replaced whole or not at
/// all. A link stays, and what it leads to is replaced. What is no ordinary file, such as a pipe, is written into.
///
/// # Errors
/// What the system says; the file that was there is as it was.
pub fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let place = behind_links(path);
    if fs::metadata(&place).is_ok_and(|found| !found.is_file()) {
        return fs::write(&place, text);
    }
    let new = beside(&place);
    let written = write_new(&new, &place, text);
    if written.is_err() {
        // It may never have been there.
        let _ = fs::remove_file(&new);
    }
    written
}

fn write_new(new: &Path, place: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(new)?;
    if let Ok(old) = fs::metadata(place) {
        file.set_permissions(old.permissions())?;
    }
    file.write_all(text)?;
    // A file system may be full without saying so before.
    file.sync_all()?;
    fs::rename(new, place)
}

/// Finds out without changing anything that is there.
fn try_to_write(place: &Path) -> io::Result<()> {
    match fs::metadata(place) {
        Ok(found) if found.is_file() => drop(OpenOptions::new().append(true).open(place)?),
        Ok(found) if found.is_dir() => return Err(ErrorKind::IsADirectory.into()),
        // Whoever is at the other end of a pipe may come later.
        Ok(_) => return Ok(()),
        Err(_) if place.file_name().is_none() => return Err(ErrorKind::NotFound.into()),
        Err(_) => {}
    }
    let new = beside(place);
    OpenOptions::new().write(true).create(true).truncate(true).open(&new)?;
    fs::remove_file(&new)
}

/// Where a file is written before it takes its place.
fn beside(place: &Path) -> PathBuf {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    place.with_file_name(format!(".{name}.{}.new", std::process::id()))
}

/// Where a link leads to, whether something is there or not.
fn behind_links(path: &Path) -> PathBuf {
    let mut place = path.to_owned();
    // As many as the system follows (path_resolution(7)).
    for _ in 0..40 {
        let Ok(target) = fs::read_link(&place) else { break };
        place = place.parent().unwrap_or(Path::new("")).join(target);
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_link_stays_whether_it_leads_to_something_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let [real, link, later, first] =
            ["real.json", "link.json", "later.json", "first.json"].map(|name| folder.path().join(name));
        fs::write(&real, "old").unwrap();
        symlink("link.json", &first).unwrap();
        symlink("real.json", &link).unwrap();
        symlink("not-yet.json", &later).unwrap();
        check_writable("--out", &[&first, &later]).unwrap();
        assert_eq!(fs::read_to_string(&real).unwrap(), "old");
        assert!(!folder.path().join("not-yet.json").exists(), "nothing is left of the check");
        for path in [&first, &later] {
            replace(path, b"new").unwrap();
            assert!(fs::symlink_metadata(path).unwrap().is_symlink());
            assert_eq!(fs::read_to_string(path).unwrap(), "new");
        }
        assert_eq!(fs::read_to_string(&real).unwrap(), "new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 5, "no other file is left");
    }

    #[test]
    fn what_cannot_be_written_leaves_the_old_file_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result.json");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        // Its place beside is taken by something that cannot be written, as a full disk could not.
        fs::create_dir(beside(&path)).unwrap();
        assert!(replace(&path, b"new").is_err());
        assert!(check_writable("--out", &[&path]).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        fs::remove_dir(beside(&path)).unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(check_writable("--out", &[folder.path()]).is_err(), "a directory");
    }
}
