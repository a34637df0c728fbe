//! The line that is being typed.
//!
//! Invariant: the cursor stands between characters as a person sees them, never within one that is made of several.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Lines that are remembered.
const REMEMBERED: usize = 100;

/// A line and where the cursor is in it.
#[derive(Debug, Clone, Default)]
pub struct Editor {
    text: String,
    /// In bytes, at a boundary.
    cursor: usize,
    before: Vec<String>,
    /// Which of those is shown, counted from the newest; none while a new one is typed.
    at: Option<usize>,
    draft: String,
}

impl Editor {
    /// What is typed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What stands before the cursor.
    #[must_use]
    pub fn before_cursor(&self) -> &str {
        &self.text[..self.cursor]
    }

    /// Adds text at the cursor; what a terminal would obey is left out, but for the ends of lines.
    pub fn insert(&mut self, text: &str) {
        let text = text.replace("\r\n", "\n").replace('\r', "\n").replace('\t', " ");
        let kept: String = text.chars().filter(|c| *c == '\n' || !c.is_control()).collect();
        self.text.insert_str(self.cursor, &kept);
        self.cursor += kept.len();
        self.settle();
    }

    /// Puts other text in the place of the last so many bytes before the cursor.
    pub fn replace_before(&mut self, bytes: usize, text: &str) {
        let from = self.cursor.saturating_sub(bytes);
        self.text.replace_range(from..self.cursor, text);
        self.cursor = from + text.len();
    }

    /// Takes the line away, and remembers it.
    pub fn take(&mut self) -> String {
        let text = std::mem::take(&mut self.text);
        (self.cursor, self.at) = (0, None);
        if !text.trim().is_empty() && self.before.last() != Some(&text) {
            self.before.push(text.clone());
            if self.before.len() > REMEMBERED {
                self.before.remove(0);
            }
        }
        text
    }

    /// Puts a line back that could not be sent, unless another one is being typed.
    pub fn give_back(&mut self, text: &str) {
        if self.text.is_empty() {
            self.set(text.to_owned());
        }
    }

    /// Deletes the character before the cursor.
    pub fn backspace(&mut self) {
        let from = self.left_of(self.cursor);
        self.text.replace_range(from..self.cursor, "");
        self.cursor = from;
    }

    /// Deletes the character behind the cursor.
    pub fn delete(&mut self) {
        let to = self.right_of(self.cursor);
        self.text.replace_range(self.cursor..to, "");
    }

    /// Deletes the word before the cursor.
    pub fn delete_word(&mut self) {
        let kept = self.before_cursor().trim_end();
        let from = kept
            .rfind(char::is_whitespace)
            .map_or(0, |at| at + kept[at..].chars().next().map_or(1, char::len_utf8));
        self.text.replace_range(from..self.cursor, "");
        self.cursor = from;
    }

    /// Deletes all before the cursor.
    pub fn delete_to_start(&mut self) {
        self.text.replace_range(..self.cursor, "");
        self.cursor = 0;
    }

    /// Moves the cursor by one character.
    pub fn left(&mut self) {
        self.cursor = self.left_of(self.cursor);
    }

    /// Moves the cursor by one character.
    pub fn right(&mut self) {
        self.cursor = self.right_of(self.cursor);
    }

    /// Moves the cursor to the start.
    pub fn home(&mut self) {
        self.cursor = 0;
    }

    /// Moves the cursor to the end.
    pub fn end(&mut self) {
        self.cursor = self.text.len();
    }

    /// Shows the line before.
    pub fn older(&mut self) {
        let at = self.at.map_or(0, |at| at + 1);
        if at < self.before.len() {
            if self.at.is_none() {
                self.draft = std::mem::take(&mut self.text);
            }
            self.at = Some(at);
            self.set(self.before[self.before.len() - 1 - at].clone());
        }
    }

    /// Shows the line after.
    pub fn newer(&mut self) {
        match self.at {
            None => {}
            Some(0) => {
                self.at = None;
                let draft = std::mem::take(&mut self.draft);
                self.set(draft);
            }
            Some(at) => {
                self.at = Some(at - 1);
                self.set(self.before[self.before.len() - at].clone());
            }
        }
    }

    /// The part of the line that fits into so many columns with the cursor in it, and the column of the cursor.
    #[must_use]
    pub fn window(&self, columns: usize) -> (String, usize) {
        let shown = |text: &str| text.replace('\n', "↵");
        let before = shown(self.before_cursor());
        let mut start = 0;
        for (at, character) in before.grapheme_indices(true) {
            if before[start..].width() < columns {
                break;
            }
            start = at + character.len();
        }
        let column = before[start..].width();
        let mut text = before[start..].to_owned();
        for character in shown(&self.text[self.cursor..]).graphemes(true) {
            if text.width() + character.width() > columns {
                break;
            }
            text.push_str(character);
        }
        (text, column)
    }

    fn set(&mut self, text: String) {
        (self.cursor, self.text) = (text.len(), text);
    }

    fn left_of(&self, at: usize) -> usize {
        self.text[..at].grapheme_indices(true).next_back().map_or(0, |(start, _)| start)
    }

    fn right_of(&self, at: usize) -> usize {
        self.text[at..].graphemes(true).next().map_or(at, |character| at + character.len())
    }

    /// What was inserted may have joined with what stands behind it.
    fn settle(&mut self) {
        let cursor = self.cursor;
        let mut boundaries = self.text.grapheme_indices(true).map(|(at, _)| at).chain([self.text.len()]);
        self.cursor = boundaries.find(|at| *at >= cursor).unwrap_or(cursor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Editor {
        let mut editor = Editor::default();
        editor.insert(text);
        editor
    }

    #[test]
    fn one_key_deletes_what_a_person_sees_as_one_character() {
        for (text, left) in
            [("ab", "a"), ("黄帝", "黄"), ("a👨\u{200d}👩\u{200d}👧", "a"), ("xe\u{301}", "x"), ("", "")]
        {
            let mut editor = typed(text);
            editor.backspace();
            assert_eq!(editor.text(), left);
        }
        let mut editor = typed("黄e\u{301}帝");
        editor.left();
        editor.left();
        editor.delete();
        assert_eq!((editor.text(), editor.before_cursor()), ("黄帝", "黄"));
        editor.end();
        editor.right();
        editor.insert("!");
        editor.home();
        editor.left();
        editor.insert("¡");
        assert_eq!(editor.text(), "¡黄帝!");
    }

    #[test]
    fn words_and_lines_go_at_once() {
        let mut editor = typed("say 黄 帝  ");
        editor.delete_word();
        assert_eq!(editor.text(), "say 黄 ");
        editor.delete_word();
        assert_eq!(editor.text(), "say ");
        editor.delete_to_start();
        editor.delete_word();
        assert_eq!(editor.text(), "");
    }

    #[test]
    fn a_paste_keeps_its_lines_and_loses_what_a_terminal_would_obey() {
        assert_eq!(typed("a\r\nb\tc\u{1b}[2J\u{7}").text(), "a\nb c[2J");
        assert_eq!(typed("a\nb").window(10), ("a↵b".to_owned(), 3));
    }

    #[test]
    fn lines_before_come_back_and_the_draft_too() {
        let mut editor = Editor::default();
        for line in ["one", "two", "two", " "] {
            editor.insert(line);
            assert_eq!(editor.take(), line);
        }
        editor.insert("draft");
        editor.older();
        assert_eq!(editor.text(), "two");
        editor.older();
        editor.older();
        assert_eq!(editor.text(), "one");
        editor.newer();
        editor.newer();
        editor.newer();
        assert_eq!(editor.text(), "draft");
        editor.give_back("lost");
        assert_eq!(editor.text(), "draft");
    }

    #[test]
    fn the_cursor_is_always_in_the_window() {
        let mut editor = typed("黄帝黄帝黄帝");
        assert_eq!(editor.window(5), ("黄帝".to_owned(), 4));
        editor.home();
        assert_eq!(editor.window(5), ("黄帝".to_owned(), 0));
        for columns in 1..9 {
            for _ in 0..7 {
                editor.right();
                let (text, column) = editor.window(columns);
                assert!(text.width() <= columns && column < columns.max(2), "{columns}: {text} {column}");
            }
            editor.home();
        }
    }
}
