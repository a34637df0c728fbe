//! Files of `--out`: checked before a run and written after it.
//!
//! Invariant: a name that cannot be written is known before the run starts, and a file that was there stays as it is
//! until there is something to write.

use std::fs::OpenOptions;
use std::path::Path;

use super::findings::Findings;
use super::format::Format;
use crate::failure::Failure;

/// Refuses names of files whose format is not known.
///
/// # Errors
/// [`Failure::Usage`] with the known endings.
pub fn check_names(paths: &[impl AsRef<Path>]) -> Result<(), Failure> {
    let unknown = paths.iter().find_map(|path| Format::of(path.as_ref()).err());
    unknown.map_or(Ok(()), |unknown| Err(Failure::Usage(format!("--out: {unknown}"))))
}

/// Refuses files that could not be written.
///
/// # Errors
/// [`Failure::CouldNotRun`] with the file's name.
pub fn check_writable(paths: &[impl AsRef<Path>]) -> Result<(), Failure> {
    for path in paths {
        let path = path.as_ref();
        let is_new = !path.exists();
        OpenOptions::new().append(true).create(true).open(path).map_err(|error| {
            Failure::could_not_run(
                format!("--out: {} cannot be written: {error}", path.display()),
                "name a file in a directory that exists and may be written to",
            )
        })?;
        if is_new {
            // What is left of an empty file that cannot be removed does no harm.
            let _ = std::fs::remove_file(path);
        }
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
    std::fs::write(path, text).map_err(|error| error.to_string())
}
