//! Text from outside inside XML, HTML and Markdown.
//!
//! Invariant: whatever the text is, it neither ends the element, attribute or cell it stands in nor makes the file unreadable.

/// Text without a meaning in XML and HTML, inside elements and quoted attributes alike. Characters that no XML file may
/// hold become U+FFFD.
#[must_use]
pub fn markup(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // A parser would make a space of it in an attribute.
            '\n' => safe.push_str("&#10;"),
            '\t' => safe.push_str("&#9;"),
            '\r' => safe.push_str("&#13;"),
            '\0'..' ' | '\u{7f}'..'\u{a0}' | '\u{fffe}' | '\u{ffff}' => safe.push('\u{fffd}'),
            // These turn the direction of what follows, outside of the text as well.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => safe.push('\u{fffd}'),
            other => safe.push(other),
        }
    }
    safe
}

/// Text without a meaning in Markdown, HTML or a terminal, in one line.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\n' | '\r' | '\t' => plain.push(' '),
            '&' => plain.push_str("&amp;"),
            '<' => plain.push_str("&lt;"),
            '>' => plain.push_str("&gt;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '#' | '~' => plain.extend(['\\', letter]),
            '@' => plain.push_str("&#64;"),
            hidden if is_hidden(hidden) => plain += &format!("\\\\u{{{:x}}}", u32::from(hidden)),
            other => plain.push(other),
        }
    }
    plain
}

/// Whether a reader does not see the character, or sees another order because of it: controls, marks of the direction,
/// and what takes no place but the joiners and choices of emoji.
fn is_hidden(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0e}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// At most this many characters, with a sign that there were more.
#[must_use]
pub fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_stays_text() {
        assert_eq!(markup("<script>\"&'\0\u{202e}\n"), "&lt;script&gt;&quot;&amp;&#39;\u{fffd}\u{fffd}&#10;");
        assert_eq!(markup("]]>马超"), "]]&gt;马超");
        assert_eq!((shortened("马超马超", 2).as_str(), shortened("ab", 2).as_str()), ("马超…", "ab"));
    }

    #[test]
    fn hostile_text_stays_text_in_markdown() {
        assert_eq!(
            plain("a|b\n<script>`x`[y](z) @all **"),
            "a\\|b &lt;script&gt;\\`x\\`\\[y\\](z) &#64;all \\*\\*"
        );
        assert_eq!(plain("\u{1b}[2J\u{202e}gnp\0"), "\\\\u{1b}\\[2J\\\\u{202e}gnp\\\\u{0}");
    }
}
