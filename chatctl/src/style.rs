//! How things stand out: the one place where colours are named.
//!
//! Invariant: what is coloured can be read on a light and on a dark ground. Letters have the terminal's own colour, or
//! its red, magenta, green or cyan; the last two are never bold, because many terminals show that brighter. Other
//! colours are a ground, under letters that are chosen for it.

use std::borrow::Cow;

use clap::builder::Styles;
use clap::builder::styling::AnsiColor;
use ratatui::style::{Color, Modifier, Style};

/// Of what the parser of the command line says; a wrong word would be yellow without it.
pub const PARSER: Styles = Styles::styled().invalid(AnsiColor::Red.on_default());

const BOLD: &str = "\u{1b}[1m";
const FAINT: &str = "\u{1b}[2m";
const PLAIN: &str = "\u{1b}[0m";

/// Colours of the names of others.
const NAMES: [Color; 4] = [Color::Cyan, Color::Green, Color::Magenta, Color::Red];

/// The title of a value or of columns.
#[must_use]
pub fn title(text: &str, has_color: bool) -> Cow<'_, str> {
    if has_color { Cow::Owned(format!("{BOLD}{text}{PLAIN}")) } else { Cow::Borrowed(text) }
}

/// What matters less than all around it.
#[must_use]
pub fn faint(text: &str) -> String {
    format!("{FAINT}{text}{PLAIN}")
}

/// What stands before the cause of a failure.
#[must_use]
pub const fn error(has_color: bool) -> &'static str {
    if has_color { "\u{1b}[1;31merror:\u{1b}[0m" } else { "error:" }
}

/// A name on a ground of its colour, 31 (red) to 36 (cyan) as an escape sequence of a terminal counts them.
#[must_use]
pub fn badge(name: &str, color: u8) -> String {
    // Black on green, yellow and cyan, white on the others.
    let letters = if matches!(color, 32 | 33 | 36) { 30 } else { 97 };
    format!("\u{1b}[{letters};{}m[{name}]{PLAIN}", u16::from(color) + 10)
}

/// How views look.
#[derive(Debug, Clone, Copy)]
pub struct Theme {
    /// Whether there are colours.
    pub color: bool,
}

impl Theme {
    /// A line across the window, or the one that is chosen.
    #[must_use]
    pub fn bar(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// Titles, keys, questions.
    #[must_use]
    pub fn bold(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What a person should look at.
    #[must_use]
    pub fn bad(self) -> Style {
        if self.color { self.bold().fg(Color::Red) } else { self.bold() }
    }

    /// What matters less.
    #[must_use]
    pub fn faint(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// What nobody said.
    #[must_use]
    pub fn note(self) -> Style {
        self.faint().add_modifier(Modifier::ITALIC)
    }

    /// Money to be had.
    #[must_use]
    pub fn packet(self) -> Style {
        self.bad()
    }

    /// A user's name: the same colour for the same name, each time.
    #[must_use]
    pub fn name(self, name: &str) -> Style {
        if !self.color {
            return self.bold();
        }
        let sum = name.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        Style::new().fg(NAMES[sum % NAMES.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_style_can_be_read_on_light_and_on_dark() {
        for color in [false, true] {
            let theme = Theme { color };
            let names = ["a", "b", "c", "d", "黄帝", "马超", "李白", ""].map(|name| theme.name(name));
            let others =
                [theme.bar(), theme.bold(), theme.bad(), theme.faint(), theme.note(), theme.packet()];
            for style in names.into_iter().chain(others) {
                let is_bold = style.add_modifier.contains(Modifier::BOLD);
                let is_read = match style.fg {
                    None => true,
                    Some(Color::Red | Color::Magenta) => color,
                    Some(Color::Green | Color::Cyan) => color && !is_bold,
                    Some(_) => false,
                };
                assert!(is_read && style.bg.is_none(), "{style:?}");
            }
        }
    }

    #[test]
    fn a_badge_has_letters_and_a_ground() {
        assert_eq!(badge("prod", 31), "\u{1b}[97;41m[prod]\u{1b}[0m");
        assert_eq!(badge("prod", 33), "\u{1b}[30;43m[prod]\u{1b}[0m");
        let yellow = AnsiColor::Yellow.on_default();
        let all = [PARSER.get_error(), PARSER.get_valid(), PARSER.get_invalid(), PARSER.get_literal()];
        assert!(all.iter().all(|style| style.get_fg_color() != yellow.get_fg_color()));
    }
}
