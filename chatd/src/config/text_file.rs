//! Reading a file that a setting names.
//!
//! Invariant: what is no ordinary file is not opened, since it might never end, or never begin.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The text of a file of at most `most` bytes.
///
/// # Errors
/// Why it cannot be read, without its name.
pub fn read(file: &Path, most: u64) -> Result<String, String> {
    let about = std::fs::metadata(file).map_err(|error| error.to_string())?;
    if !about.is_file() {
        return Err("is no ordinary file".to_owned());
    }
    let mut text = String::new();
    let opened = File::open(file).map_err(|error| error.to_string())?;
    opened.take(most + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > most {
        return Err(format!("has more than {most} bytes"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ordinary_files_of_a_bounded_size_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "four").unwrap();
        assert_eq!(read(&file, 4).unwrap(), "four");
        assert_eq!(read(&file, 3).unwrap_err(), "has more than 3 bytes");
        assert_eq!(read(Path::new("/dev/zero"), 3).unwrap_err(), "is no ordinary file");
        let pipe = directory.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for other in [pipe.as_path(), directory.path()] {
            assert_eq!(read(other, 3).unwrap_err(), "is no ordinary file");
        }
        assert!(read(&directory.path().join("none"), 3).unwrap_err().contains("No such file"));
    }
}
