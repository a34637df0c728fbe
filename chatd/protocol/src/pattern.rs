//! Patterns (ECMA-262) of texts that surely are what a parameter asks for.
//!
//! Invariant: what a pattern takes is never refused. The server counts bytes of UTF-8 and a pattern counts characters,
//! so that a text may be good that its pattern does not take.

use crate::id::MAX_NAME_BYTES;

/// A character of at most four bytes that is no control character, as a class of a pattern.
const ANY: &str = r"[^\u0000-\u001f\u007f-\u009f]";
/// One of one byte.
const ASCII: &str = "[ -~]";
/// Bytes of a character at most.
const WIDEST: usize = 4;

/// A text of 1 to so many bytes without control characters.
#[must_use]
pub fn line(max: usize) -> String {
    format!("^{}$", some(max))
}

/// A text of at most so many bytes.
#[must_use]
pub fn up_to(max: usize) -> String {
    format!(r"^(?:[\u0000-\u007f]{{0,{max}}}|[\s\S]{{0,{}}})$", max / WIDEST)
}

/// A target.
#[must_use]
pub fn target() -> String {
    format!("^{}$", target_within())
}

/// A target within a greater pattern.
pub(crate) fn target_within() -> String {
    format!("(?:|(?:group|user):{})", some(MAX_NAME_BYTES))
}

fn some(max: usize) -> String {
    format!("(?:{ASCII}{{1,{max}}}|{ANY}{{1,{}}})", max / WIDEST)
}
