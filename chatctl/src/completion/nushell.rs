//! Words as Nushell writes them: it passes to a completer what stands on the line, quotes and all, and writes back
//! what it is given.
//!
//! Invariant: a word that was quoted here is one word for Nushell, and the same word again when it comes back.

use std::borrow::Cow;

/// The word that is meant, also when its last quote is still to be written.
#[must_use]
pub fn unquoted(written: &str) -> String {
    let mut word = String::with_capacity(written.len());
    let mut letters = written.chars();
    let mut quote = None;
    while let Some(c) = letters.next() {
        match (quote, c) {
            (None, '\'' | '"' | '`') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            // Behind a backslash letters have a meaning of their own, which no name here needs.
            (Some('"'), '\\') => word.extend(letters.next()),
            (_, c) => word.push(c),
        }
    }
    word
}

/// The word as it is written on a line.
#[must_use]
pub fn quoted(word: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_alphanumeric() || "_-./:@%+=,".contains(c);
    match word {
        word if !word.is_empty() && word.chars().all(is_plain) => Cow::Borrowed(word),
        word if !word.contains('\'') => Cow::Owned(format!("'{word}'")),
        word => Cow::Owned(format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_read_whichever_way_it_is_quoted() {
        for (written, word) in [
            ("user:马超", "user:马超"),
            ("'李 白'", "李 白"),
            ("\"李 白\"", "李 白"),
            ("`李 白`", "李 白"),
            ("\"李", "李"),
            ("'it", "it"),
            ("--as='李 白", "--as=李 白"),
            (r#""a\"b\\c""#, r#"a"b\c"#),
            (r"'a\b'", r"a\b"),
            ("", ""),
        ] {
            assert_eq!(unquoted(written), word, "{written}");
        }
    }

    #[test]
    fn a_quoted_word_comes_back_as_it_was() {
        assert_eq!(quoted("group:长安/茶"), "group:长安/茶");
        assert_eq!(quoted("--as=李 白"), "'--as=李 白'");
        assert_eq!(quoted("👩🏽‍⚕️"), "'👩🏽‍⚕️'");
        assert_eq!(quoted(r#"it's "so" \"#), r#""it's \"so\" \\""#);
        for word in ["", "a b", "it's", r#"say "hi""#, r#"it's "so" \ $HOME (1)"#, "*", "~", "#1", "$x", "`"]
        {
            assert_eq!(unquoted(&quoted(word)), word);
        }
    }
}
