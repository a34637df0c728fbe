//! Makes text from outside harmless for a terminal and for programs that read lines.
//!
//! Invariant: what comes out holds no control character, none that reorders the line it stands in, and none that a
//! reader could not see; only within an emoji an invisible joiner stays.

use std::borrow::Cow;
use std::fmt::Write;

const JOINER: char = '\u{200d}';
/// Asks for the coloured picture of the character before it.
const AS_PICTURE: char = '\u{fe0f}';

/// The text with every dangerous character written out: `\n`, `\u{1b}`.
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(is_dangerous) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    let mut before = None;
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        match c {
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            JOINER | AS_PICTURE if is_within_emoji(before, c, letters.peek().copied()) => safe.push(c),
            c if is_dangerous(c) => {
                // Writing to a String does not fail.
                let _ = write!(safe, "\\u{{{:x}}}", u32::from(c));
            }
            c => safe.push(c),
        }
        before = Some(c);
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

/// Whether a terminal may obey the character or hide it instead of showing it: controls, line and paragraph
/// separators, the marks that change the direction of text, and all that Unicode calls ignorable by default
/// (`Default_Ignorable_Code_Point`), with which one name can look like another.
#[must_use]
pub fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

fn is_within_emoji(before: Option<char>, c: char, after: Option<char>) -> bool {
    let is_joined = before.is_some_and(|before| before == AS_PICTURE || is_picture(before));
    match c {
        JOINER => is_joined && after.is_some_and(is_picture),
        _ => before.is_some_and(is_picture),
    }
}

/// The blocks of Unicode that emoji are made of.
fn is_picture(c: char) -> bool {
    matches!(c, '\u{a9}' | '\u{ae}' | '\u{203c}' | '\u{2049}' | '\u{2122}' | '\u{2139}' | '\u{2190}'..='\u{2bff}'
        | '\u{3030}' | '\u{303d}' | '\u{3297}' | '\u{3299}' | '\u{1f000}'..='\u{1faff}')
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
    fn what_nobody_can_see_is_shown() {
        for hidden in [
            '\u{200b}',
            '\u{200c}',
            '\u{200d}',
            '\u{2060}',
            '\u{feff}',
            '\u{ad}',
            '\u{34f}',
            '\u{3164}',
            '\u{fe0f}',
            '\u{e0061}',
            '\u{115f}',
            '\u{180e}',
        ] {
            let shown = format!("ad\\u{{{:x}}}min", u32::from(hidden));
            assert_eq!(escape(&format!("ad{hidden}min")), shown);
        }
        assert_eq!(escape("👩\u{200d}a 👩\u{fe0f}\u{fe0f}"), "👩\\u{200d}a 👩\u{fe0f}\\u{fe0f}");
    }

    #[test]
    fn lines_keep_their_layout() {
        assert_eq!(escape_lines("a\tb\u{1b}\n\nc\r\n"), "a\tb\\u{1b}\n\nc\\r\n");
    }

    #[test]
    fn names_stay_as_they_are() {
        for name in ["黄帝", "👨‍👩‍👧", "❤️", "👩🏽‍⚕️", "Zoë", "Zoe\u{308}", "a\\b"]
        {
            assert_eq!(escape(name), name);
        }
    }
}
