//! How the room is drawn.
//!
//! Invariant: the cursor of the terminal stands where the next character comes, so that an input method shows its own
//! window there; colour only adds.

use chat_client::escape::escape;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use unicode_width::UnicodeWidthStr;

use super::rooms::Item;
use super::state::{State, Wish};
use crate::message;
use crate::output::wrap::{cut, wrapped};
use crate::style::Theme;

const PROMPT: &str = "> ";
/// Columns in front of the lines that a message goes on in.
const INDENT: usize = 6;

/// Draws all of it; gives what is wanted because the top was reached.
pub fn draw(frame: &mut Frame<'_>, state: &mut State, theme: Theme) -> Wish {
    let area = frame.area();
    let (width, height) = (usize::from(area.width), area.height);
    let room = usize::from(height.saturating_sub(2));
    let lines = lines(state, width, theme);
    let wish = state.bound(lines.len().saturating_sub(room));
    let buffer = frame.buffer_mut();
    bar(buffer, area, &head(state), theme.bar());
    let first = lines.len().saturating_sub(room + state.scroll);
    for (y, line) in (1..).zip(lines.iter().skip(first).take(room)) {
        line.draw(buffer, y, width, theme.faint());
    }
    if height > 1 {
        let y = height - 1;
        let mark = if state.scroll > 0 { "↓ " } else { PROMPT };
        let (text, column) = state.editor.window(width.saturating_sub(PROMPT.width() + 1).max(1));
        buffer.set_stringn(0, y, format!("{mark}{}", escape(&text)), width, Style::new());
        let x = u16::try_from(PROMPT.width() + column).unwrap_or(u16::MAX).min(area.width.saturating_sub(1));
        frame.set_cursor_position(Position::new(x, y));
    }
    wish
}

fn head(state: &State) -> String {
    let others = state.rooms.all().filter(|room| room.unread > 0);
    let unread = others.map(|room| format!("{} {}", message::name(&room.target), room.unread));
    let unread = unread.collect::<Vec<_>>().join(", ");
    let unread = if unread.is_empty() { String::new() } else { format!("  unread: {unread}") };
    format!(" {} in {}  {}{unread}  /help ", state.me, message::name(&state.current), state.connection)
}

fn bar(buffer: &mut Buffer, area: Rect, text: &str, style: Style) {
    let width = usize::from(area.width);
    buffer.set_style(Rect { height: area.height.min(1), ..area }, style);
    buffer.set_stringn(0, 0, cut(&escape(text), width), width, style);
}

/// A line of a message: what stands in front of it, and the rest.
struct Line {
    lead: String,
    name: Option<(String, Style)>,
    text: String,
    style: Style,
}

impl Line {
    fn draw(&self, buffer: &mut Buffer, y: u16, width: usize, of_lead: Style) {
        let (mut x, _) = buffer.set_stringn(0, y, &self.lead, width, of_lead);
        if let Some((name, style)) = &self.name {
            (x, _) = buffer.set_stringn(x, y, name, width.saturating_sub(x.into()), *style);
        }
        buffer.set_stringn(x, y, &self.text, width.saturating_sub(x.into()), self.style);
    }
}

fn lines(state: &State, width: usize, theme: Theme) -> Vec<Line> {
    let items = state.rooms.find(&state.current).map(|room| room.items.as_slice()).unwrap_or_default();
    items.iter().flat_map(|item| item_lines(item, state, width, theme)).collect()
}

fn item_lines(item: &Item, state: &State, width: usize, theme: Theme) -> Vec<Line> {
    let minutes = item.time / 60_000 % (24 * 60);
    let time = format!("{:02}:{:02} ", minutes / 60, minutes % 60);
    let name = item.from.as_ref().map(|from| {
        let style = if *from == state.me { theme.bold() } else { theme.name(from.as_str()) };
        (format!("{}: ", escape(from.as_str())), style)
    });
    let style = match (&item.from, &item.packet) {
        (None, _) => theme.note(),
        (_, Some(_)) => theme.packet(),
        (Some(_), None) => Style::new(),
    };
    let mark = if item.packet.is_some() { "  /grab" } else { "" };
    let before = time.width() + name.as_ref().map_or(0, |(name, _)| name.width());
    let mut lines = Vec::new();
    // Each line of the text is escaped by itself: that it has several is no danger.
    for text in format!("{}{mark}", item.text).split('\n') {
        let text = escape(text);
        let is_first = lines.is_empty();
        let room = width.saturating_sub(if is_first { before } else { INDENT }).max(8);
        let pieces = wrapped(&text, room);
        if !is_first {
            lines.extend(pieces.into_iter().map(|text| more(text.to_owned(), style)));
            continue;
        }
        let first = pieces.first().copied().unwrap_or_default();
        let rest = text[first.len()..].trim_start();
        lines.push(Line { lead: time.clone(), name: name.clone(), text: first.to_owned(), style });
        if !rest.is_empty() {
            let rest = wrapped(rest, width.saturating_sub(INDENT).max(8));
            lines.extend(rest.into_iter().map(|text| more(text.to_owned(), style)));
        }
    }
    lines
}

fn more(text: String, style: Style) -> Line {
    Line { lead: " ".repeat(INDENT), name: None, text, style }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::rooms::tests::said;
    use crate::chat::state::tests::{press, state};
    use chat_protocol::Target;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::KeyCode;

    fn shown(state: &mut State, width: u16, height: u16) -> (Vec<String>, (u16, u16)) {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| drop(draw(frame, state, Theme { color: true }))).unwrap();
        let cursor = terminal.get_cursor_position().unwrap();
        let buffer = terminal.backend().buffer().clone();
        let line = |y: u16| {
            let mut line = String::new();
            let mut x = 0;
            while x < width {
                let symbol = buffer[(x, y)].symbol();
                line.push_str(symbol);
                x += u16::try_from(symbol.width()).unwrap().max(1);
            }
            line.trim_end().to_owned()
        };
        ((0..height).map(line).collect(), (cursor.x, cursor.y))
    }

    #[test]
    fn wide_letters_keep_their_columns_and_the_cursor_its_place() {
        let mut state = state();
        state.hear(&said("e", 1, "黄帝", "早上好\u{1b}[2J, 马超: 今天我们在长安喝茶，你来不来"));
        state.note("a note");
        state.paste("好的，我");
        let (lines, cursor) = shown(&mut state, 40, 7);
        assert_eq!(lines[0], " 马超 in (world)  connecting  /help");
        assert_eq!(lines[1], "00:01 黄帝: 早上好\\u{1b}[2J, 马超:");
        assert_eq!(lines[2], "      今天我们在长安喝茶，你来不来");
        assert_eq!(lines[3], "00:00 a note");
        assert_eq!((lines[6].as_str(), cursor), ("> 好的，我", (10, 6)));
        press(&mut state, KeyCode::Left);
        assert_eq!(shown(&mut state, 40, 7).1, (8, 6));
    }

    #[test]
    fn no_window_is_too_small_and_the_newest_stands_last() {
        let mut state = state();
        for offset in 1..50 {
            state.hear(&said("e", offset, "a", &format!("message {offset}")));
        }
        for (width, height) in [(1, 1), (2, 2), (9, 3), (300, 100)] {
            shown(&mut state, width, height);
        }
        assert_eq!(shown(&mut state, 40, 5).0[3], "00:49 a: message 49");
        press(&mut state, KeyCode::PageUp);
        assert_eq!(shown(&mut state, 40, 5).0[3], "00:39 a: message 39");
        assert_eq!(state.rooms.find(&Target::World).unwrap().last(), Some(49));
    }
}
