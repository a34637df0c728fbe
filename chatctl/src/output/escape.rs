//! Makes text from outside harmless for a terminal and for programs that read lines.
//!
//! Invariant: what comes out holds no control character and none that reorders the line it stands in.

use std::borrow::Cow;
use std::fmt::Write;

/// The text with every dangerous character written out: `\n`, `\u{1b}`.
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(is_dangerous) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            c if is_dangerous(c) => {
                // Writing to a String does not fail.
                let _ = write!(safe, "\\u{{{:x}}}", u32::from(c));
            }
            c => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

/// Lines of columns, harmless: like [`escape`], but line ends and tabs stay.
#[must_use]
pub fn escape_lines(text: &str) -> String {
    let is_layout = |c| matches!(c, '\n' | '\t');
    text.split_inclusive(is_layout)
        .map(|piece| {
            let content = piece.strip_suffix(is_layout).unwrap_or(piece);
            format!("{}{}", escape(content), &piece[content.len()..])
        })
        .collect()
}

/// Whether a terminal may obey the character instead of showing it: controls, line and paragraph separators, and
/// the marks that change the direction of text. Joiners stay, because emoji and several scripts need them.
#[must_use]
pub fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || c == '\u{feff}'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_written_out() {
        assert_eq!(escape("a\u{1b}[31mb\n\u{9b}\u{7f}\t"), "a\\u{1b}[31mb\\n\\u{9b}\\u{7f}\\t");
        assert_eq!(escape("user\u{202e}nimda"), "user\\u{202e}nimda");
    }

    #[test]
    fn lines_keep_their_layout() {
        assert_eq!(escape_lines("a\tb\u{1b}\n\nc\r\n"), "a\tb\\u{1b}\n\nc\\r\n");
    }

    #[test]
    fn names_stay_as_they_are() {
        for name in ["黄帝", "👨‍👩‍👧", "Zoë", "a\\b"] {
            assert!(matches!(escape(name), Cow::Borrowed(same) if same == name));
        }
    }
}
