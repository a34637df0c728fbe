//! Files, read whole.
//!
//! Invariant: what is in them is for `chatbench-result` to say; here they are only bytes.

use std::io::Read;
use std::path::Path;

use crate::failure::Failure;

/// Most bytes of a file that is read: a day's run with a point a second is a twentieth of it.
const MOST_BYTES: u64 = 1 << 30;

/// What is in a file.
///
/// # Errors
/// [`Failure`] with the file's name: could not run when it cannot be read, usage when it is too large.
pub fn whole(path: &Path) -> Result<Vec<u8>, Failure> {
    let name = path.display();
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(path);
    opened.and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes)).map_err(|error| {
        Failure::could_not_run(format!("{name} cannot be read: {error}"), "check the path")
    })?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(Failure::Usage(format!("{name} has more than {} MiB", MOST_BYTES >> 20)));
    }
    Ok(bytes)
}
