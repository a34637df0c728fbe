//! Text from outside inside XML and HTML.
//!
//! Invariant: whatever the text is, it neither ends the element or attribute it stands in nor makes the file unreadable.

/// Text without a meaning in XML and HTML, inside elements and quoted attributes alike. Characters that no XML file may
/// hold become U+FFFD.
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

/// At most this many characters, with a sign that there were more.
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
}
