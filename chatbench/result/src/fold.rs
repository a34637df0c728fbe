//! Sentences in lines that a terminal shows as they are.
//!
//! Invariant: no line is wider than [`WIDTH`], whatever the words are: a word that is wider by itself is broken.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns of a terminal that everybody has, without the last one, behind which some go to the next line by themselves.
pub const WIDTH: usize = 79;

/// A sentence in as many lines as its words need: the first begins with `begin`, the others with `indent` spaces.
#[must_use]
pub fn folded(begin: &str, indent: usize, text: &str) -> String {
    let room = WIDTH.saturating_sub(indent).max(2);
    let mut out = begin.to_owned();
    let (mut at, mut is_first) = (begin.width(), true);
    for piece in text.split(' ').flat_map(|word| pieces(word, room)) {
        let width = piece.width();
        let gap = usize::from(!is_first);
        if at + gap + width > WIDTH && !(is_first && at <= indent) {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            at = indent + width;
        } else {
            out.push_str(&" "[..gap]);
            at += gap + width;
        }
        out.push_str(piece);
        is_first = false;
    }
    out.push('\n');
    out
}

/// A word in pieces of at most this many columns; one piece if it is empty.
fn pieces(word: &str, room: usize) -> Vec<&str> {
    let (mut found, mut from, mut at) = (Vec::new(), 0, 0);
    for (place, letter) in word.char_indices() {
        let width = letter.width().unwrap_or(0);
        if at + width > room {
            found.push(&word[from..place]);
            (from, at) = (place, 0);
        }
        at += width;
    }
    found.push(&word[from..]);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_stay_whole_where_they_can() {
        assert_eq!(folded("name  ", 6, "a b  c"), "name  a b  c\n");
        assert_eq!(folded("", 2, ""), "\n");
        let text = folded("  ", 4, &["twelve chars"; 12].join(" "));
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(
            text.lines().skip(1).all(|line| line.starts_with("    t") || line.starts_with("    c")),
            "{text}"
        );
    }

    #[test]
    fn a_word_wider_than_a_line_is_broken() {
        let path = "/very".repeat(40);
        for (text, letters) in [(path.as_str(), 200), (&"马超".repeat(50), 100)] {
            let found = folded("at ", 3, &format!("{text} end"));
            assert!(found.lines().all(|line| line.width() <= WIDTH), "{found}");
            assert_eq!(
                found.replace("\n   ", "").trim_end().chars().count(),
                "at  end".len() + letters,
                "{found}"
            );
        }
    }

    proptest! {
        #[test]
        fn nothing_is_wider_and_nothing_is_lost(text in "[ a-z马é😀]{0,300}", indent in 0_usize..20) {
            let found = folded("", indent, &text);
            prop_assert!(found.lines().all(|line| line.width() <= WIDTH), "{}", found);
            let letters = |text: &str| text.chars().filter(|letter| !letter.is_whitespace()).collect::<String>();
            prop_assert_eq!(letters(&found), letters(&text));
        }
    }
}
