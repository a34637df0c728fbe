//! Where a message's text comes from: the argument itself, standard input, or a file.
//!
//! Invariant: a text is valid UTF-8, not empty, at most [`MAX_CONTENT_BYTES`] long, or it is refused by the name of
//! its source; a source is never read much further than that.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use chat_protocol::content::MAX_CONTENT_BYTES;
use chat_protocol::secret;

use crate::failure::Failure;

/// Where the text is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// In the argument.
    Argument(Vec<u8>),
    /// On standard input.
    Stdin,
    /// In a file.
    File(PathBuf),
}

impl Source {
    /// What the argument names.
    #[must_use]
    pub fn of(argument: &OsStr) -> Self {
        match argument.as_bytes() {
            b"-" => Self::Stdin,
            [b'@', b'@', rest @ ..] => Self::Argument([b"@", rest].concat()),
            [b'@', path @ ..] => Self::File(OsStr::from_bytes(path).into()),
            text => Self::Argument(text.to_vec()),
        }
    }

    /// Reads and checks the text. Blocks while the source does.
    ///
    /// # Errors
    /// [`Failure::Usage`] naming the source and what is wrong with it.
    pub fn read(self, stdin: &mut dyn Read) -> Result<String, Failure> {
        let (bytes, name) = match self {
            Self::Argument(bytes) => (Ok(bytes), "the text".to_owned()),
            Self::Stdin => (read_bounded(stdin), "the text on standard input".to_owned()),
            Self::File(path) => {
                let bytes = std::fs::File::open(&path).and_then(|mut file| read_bounded(&mut file));
                (bytes, format!("the text in {}", secret::file(&path.to_string_lossy())))
            }
        };
        let bytes = bytes.map_err(|error| {
            let cause = format!("cannot read {name}: {}", crate::failure::plain(&error.to_string()));
            Failure::usage(cause, "write @@ for a text that begins with @")
        })?;
        check(bytes, &name)
    }
}

fn read_bounded(source: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // Two bytes for the newline that is taken off, one to notice that there is more.
    source.take(MAX_CONTENT_BYTES as u64 + 3).read_to_end(&mut bytes)?;
    if bytes.ends_with(b"\n") {
        bytes.pop();
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
    }
    Ok(bytes)
}

fn check(bytes: Vec<u8>, name: &str) -> Result<String, Failure> {
    if bytes.is_empty() {
        return Err(Failure::usage(format!("{name} is empty"), "a message needs at least one character"));
    }
    if bytes.len() > MAX_CONTENT_BYTES {
        let cause =
            format!("{name} is too large: a message holds at most {MAX_CONTENT_BYTES} bytes (16 KiB)");
        return Err(Failure::usage(cause, "send it in parts"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to() + 1;
        Failure::usage(
            format!("{name} is not valid UTF-8: byte {at} is wrong"),
            "convert it with `iconv -t UTF-8`",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(argument: &[u8], stdin: &[u8]) -> Result<String, String> {
        Source::of(OsStr::from_bytes(argument)).read(&mut &*stdin).map_err(|failure| failure.to_string())
    }

    #[test]
    fn the_argument_itself_or_standard_input() {
        assert_eq!(read("你好 👋".as_bytes(), b""), Ok("你好 👋".to_owned()));
        assert_eq!(read(b"@@all", b""), Ok("@all".to_owned()));
        assert_eq!(read(b"-", b"two\nlines\r\n"), Ok("two\nlines".to_owned()));
        assert_eq!(read(b"-", b"a\n\n"), Ok("a\n".to_owned()));
    }

    #[test]
    fn what_is_no_text_is_named() {
        assert_eq!(read(b"", b""), Err("the text is empty".to_owned()));
        assert_eq!(read(b"-", b"\n"), Err("the text on standard input is empty".to_owned()));
        assert_eq!(
            read(b"-", b"ab\xff"),
            Err("the text on standard input is not valid UTF-8: byte 3 is wrong".to_owned())
        );
        assert_eq!(
            read(b"@/nowhere/x", b""),
            Err("cannot read the text in /nowhere/x: No such file or directory".to_owned())
        );
    }

    #[test]
    fn sixteen_kibibytes_pass_and_one_more_does_not() {
        let full = vec![b'x'; MAX_CONTENT_BYTES];
        assert_eq!(read(&full, b"").unwrap().len(), MAX_CONTENT_BYTES);
        assert_eq!(read(b"-", &[&full[..], b"\r\n"].concat()).unwrap().len(), MAX_CONTENT_BYTES);
        for stdin in
            [[&full[..], b"x"].concat(), [&full[..], b"x\n"].concat(), [&full[..], &full[..]].concat()]
        {
            assert!(read(b"-", &stdin).unwrap_err().contains("too large"));
        }
    }
}
