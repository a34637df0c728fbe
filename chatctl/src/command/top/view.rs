//! How `top` is drawn.
//!
//! Invariant: colour only adds to what letters, bold and reversed say, so that it reads the same on light, on dark and
//! without colour; nothing is drawn outside of the window, however small that is.

use chat_client::escape::escape;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use unicode_width::UnicodeWidthStr;

use super::columns::Column;
use super::details;
use super::rows::{Row, Totals};
use super::state::{Ask, State};
use super::words::{bytes, count, duration};
use crate::calendar::moment;
use crate::plural::counted;
use crate::style::Theme;

/// Lines above the list.
const HEAD: u16 = 6;

const HELP: &str = "\
up down j k      choose a line          pgup pgdn home end   further
left right < >   sort by another column  r                   the other way round
enter            look into the line      esc                 back
u                look at a user          c                   at a conversation
p or space       hold the picture        q                   end

OPEN connections   MSG/S messages logged   OUT/S deliveries   REQ/S requests
P99    99 of 100 deliveries took at most this, from the log to the queue
WAIT   bytes that readers have not taken   SLOW readers given up for that
REDIS  99 of 100 commands took at most this   LIM/S refused by a limit
CPU    of one core; rates are of the time between two looks; - is not known

any key goes back";

/// Draws all of it.
pub fn draw(frame: &mut Frame<'_>, state: &mut State, theme: Theme, every: &str, now_ms: u64) {
    let area = frame.area();
    let mut page = Page { buffer: frame.buffer_mut(), area };
    page.bar(0, &head(state, every, now_ms, area.width.into()), theme.bar());
    for (y, (text, is_bad)) in (1..).zip(summary(&state.totals)) {
        page.line(y, &text, if is_bad { theme.bad() } else { Style::new() });
    }
    if let Some(trouble) = &state.trouble {
        page.line(4, &format!("nobody says which nodes there are: {trouble}"), theme.bad());
    }
    if state.is_help {
        page.lines(HEAD, HELP.lines());
    } else if state.path.is_empty() {
        nodes_list(&mut page, state, theme, now_ms);
    } else {
        detail_list(&mut page, state, theme, now_ms);
    }
    let cursor = foot(&mut page, state, theme);
    if let Some(at) = cursor {
        frame.set_cursor_position(at);
    }
}

/// The first line, where there is no room for it without the day.
fn head(state: &State, every: &str, now_ms: u64, width: usize) -> String {
    let held = if state.is_paused { "held" } else { every };
    let (nodes, silent) = state.totals.nodes;
    let nodes = counted(nodes as u64, "node");
    let silent = if silent > 0 { format!(", {silent} silent") } else { String::new() };
    let before = format!(" chatctl top  {}  {nodes}{silent}  {held}", escape(&state.server));
    let now = moment(now_ms);
    let whole = format!("{before}  {now} ");
    match now.split_once(' ') {
        Some((_, time)) if whole.width() > width => format!("{before}  {time} "),
        _ => whole,
    }
}

/// The three lines about all nodes, and whether a person should look there.
fn summary(totals: &Totals) -> [(String, bool); 3] {
    let lag = totals.lag.map_or("-".to_owned(), duration);
    let traffic = format!(
        "open {} of {}  users {}  msg/s {}  out/s {}  req/s {}  p99 {lag}",
        count(totals.open.0),
        count(totals.open.1),
        count(totals.users),
        count(totals.messages),
        count(totals.deliveries),
        count(totals.requests),
    );
    let settling = match totals.settlements {
        None => "no ledger".to_owned(),
        Some(waiting) => format!(
            "settling {}, oldest {}, dead letters {}",
            count(waiting),
            duration(totals.oldest),
            count(totals.dead_letters)
        ),
    };
    let queues =
        format!("waiting for readers {}, given up {}  {settling}", bytes(totals.waiting), count(totals.slow));
    let redis = match totals.has_redis {
        false => "no redis".to_owned(),
        true => {
            let time = totals.redis.map_or("-".to_owned(), duration);
            format!(
                "redis p99 {time}, failed {}, down {}",
                count(totals.redis_failures),
                count(totals.redis_down)
            )
        }
    };
    let limits = totals.limits.iter().map(|(limit, rate)| format!("{} {}/s", escape(limit), count(*rate)));
    let limits = limits.collect::<Vec<_>>().join(", ");
    let limits = if limits.is_empty() { "no limit hit".to_owned() } else { format!("limits hit: {limits}") };
    let is_stuck = totals.dead_letters > 0.0 || totals.oldest > 60.0;
    [(traffic, false), (queues, is_stuck), (format!("{redis}  {limits}"), totals.redis_down > 0.0)]
}

fn nodes_list(page: &mut Page<'_>, state: &State, theme: Theme, now_ms: u64) {
    let columns = Column::fitting(page.area.width.into());
    let titles = columns.iter().map(|column| {
        let mark = match (*column == state.sort, state.is_reversed) {
            (false, _) => "",
            (true, false) => "▼",
            (true, true) => "▲",
        };
        padded(&format!("{}{mark}", column.title()), *column)
    });
    page.line(HEAD - 1, &titles.collect::<Vec<_>>().join(" "), theme.bold());
    let room = page.room();
    let chosen = state.chosen();
    let first = first_line(chosen, state.rows.len(), room);
    for (at, row) in state.rows.iter().enumerate().skip(first).take(room) {
        let y = HEAD + u16::try_from(at - first).unwrap_or(u16::MAX);
        let style = match (at == chosen, &row.silent, row.node.draining) {
            (true, ..) => theme.bar(),
            (false, Some(_), _) => theme.bad(),
            (false, None, true) => theme.bold(),
            (false, None, false) => Style::new(),
        };
        page.bar(y, &node_line(&columns, row, now_ms), style);
    }
}

fn node_line(columns: &[Column], row: &Row, now_ms: u64) -> String {
    let cells = |wanted: &dyn Fn(&Column) -> bool| {
        let cells = columns.iter().filter(|column| wanted(column));
        cells.map(|column| padded(&column.text(row, now_ms), *column)).collect::<Vec<_>>().join(" ")
    };
    match &row.silent {
        Some(why) => format!("{} tells nothing: {}", cells(&|column| column.is_text()), escape(why)),
        None if row.node.draining => cells(&|_| true) + "  leaves",
        None => cells(&|_| true),
    }
}

fn detail_list(page: &mut Page<'_>, state: &mut State, theme: Theme, now_ms: u64) {
    let (lines, titles, can_choose) = details::lines(state.detail.as_ref(), page.area.width.into(), now_ms);
    page.line(HEAD - 1, &escape(&details::title(state)), theme.bold());
    let (head, body) = lines.split_at(titles.min(lines.len()));
    let room = page.room().saturating_sub(head.len());
    let last = if can_choose { body.len().saturating_sub(1) } else { body.len().saturating_sub(room) };
    state.line = state.line.min(last);
    let first = if can_choose { first_line(state.line, body.len(), room) } else { state.line };
    for (y, line) in (HEAD..).zip(head) {
        page.line(y, line, theme.bold());
    }
    let top = HEAD + u16::try_from(head.len()).unwrap_or(0);
    for (at, line) in body.iter().enumerate().skip(first).take(room) {
        let y = top + u16::try_from(at - first).unwrap_or(u16::MAX);
        page.bar(y, line, if can_choose && at == state.line { theme.bar() } else { Style::new() });
    }
}

/// The last line: keys, a question, or what was wrong; gives where the cursor belongs.
fn foot(page: &mut Page<'_>, state: &State, theme: Theme) -> Option<Position> {
    let y = page.area.height.saturating_sub(1);
    if let Some((what, typed)) = &state.asking {
        let question = match what {
            Ask::User => "user: ",
            Ask::Conversation => "conversation (group:ID, user:NAME, nothing for the world): ",
        };
        let text = format!("{question}{}", escape(typed));
        page.line(y, &text, theme.bold());
        let x = u16::try_from(text.width()).unwrap_or(u16::MAX).min(page.area.width.saturating_sub(1));
        return Some(Position::new(x, y));
    }
    let keys = match (&state.note, state.path.is_empty()) {
        (Some(note), _) => {
            page.line(y, &escape(note), theme.bad());
            return None;
        }
        (None, true) => format!(
            "enter open  ←→ sort: {}  r reverse  u user  c conversation  ? help  q end",
            state.sort.title()
        ),
        (None, false) => "enter user  esc back  u user  c conversation  p hold  ? help  q end".to_owned(),
    };
    page.line(y, &keys, theme.bold());
    None
}

fn padded(text: &str, column: Column) -> String {
    let width = column.width();
    let text = cut(text, width);
    let gap = " ".repeat(width.saturating_sub(text.width()));
    if column.is_text() { format!("{text}{gap}") } else { format!("{gap}{text}") }
}

/// As much of it as fits, with a mark where something is missing.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    for c in text.chars() {
        if format!("{kept}{c}").width() >= width {
            break;
        }
        kept.push(c);
    }
    kept + "…"
}

/// The first line that is drawn so that the chosen one is among them.
fn first_line(chosen: usize, count: usize, room: usize) -> usize {
    chosen.saturating_sub(room / 2).min(count.saturating_sub(room))
}

/// A window, by lines.
struct Page<'a> {
    buffer: &'a mut Buffer,
    area: Rect,
}

impl Page<'_> {
    /// Lines between head and foot.
    fn room(&self) -> usize {
        self.area.height.saturating_sub(HEAD + 1).into()
    }

    fn line(&mut self, y: u16, text: &str, style: Style) {
        if y < self.area.height {
            let text = cut(text, self.area.width.into());
            self.buffer.set_stringn(0, y, text, self.area.width.into(), style);
        }
    }

    /// A line that is styled to the right edge.
    fn bar(&mut self, y: u16, text: &str, style: Style) {
        if y < self.area.height {
            self.buffer.set_style(Rect { x: 0, y, width: self.area.width, height: 1 }, style);
            self.line(y, text, style);
        }
    }

    /// As many of them as there is room for above the foot.
    fn lines<'t>(&mut self, first: u16, lines: impl Iterator<Item = &'t str>) {
        let room = self.room();
        for (y, line) in (first..).zip(lines.take(room)) {
            self.line(y, line, Style::new());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::top::state::tests::{press, three};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::KeyCode;

    fn shown(state: &mut State, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let theme = Theme { color: true };
        terminal.draw(|frame| draw(frame, state, theme, "every 2s", 3_600_000)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let line = |y: u16| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..height).map(|y| line(y).trim_end().to_owned()).collect()
    }

    #[test]
    fn eighty_columns_hold_what_matters() {
        let lines = shown(&mut three(None), 80, 12);
        assert_eq!(lines[0], " chatctl top  http://chat.example  3 nodes, 1 silent  every 2s  01:00:00Z");
        assert_eq!(lines[1], "open 10 of 2.0k  users 6  msg/s 300  out/s 0  req/s 0  p99 -");
        assert_eq!(
            lines[5],
            "NODE    ADDRESS                OPEN▼  USERS  MSG/S  OUT/S    P99   WAIT    CPU"
        );
        assert_eq!(lines[6], "cccccc  127.0.0.1:8080        tells nothing: Connection refused");
        assert_eq!(
            lines[7],
            "bbbbbb  127.0.0.1:8080             2      0    200      0      -      0     0%"
        );
        assert!(lines[11].contains("q end"), "{lines:?}");
    }

    #[test]
    fn two_hundred_columns_hold_all_there_is() {
        let lines = shown(&mut three(None), 200, 12);
        assert!(lines[0].ends_with("  every 2s  1970-01-01 01:00:00Z"), "{lines:?}");
        let titles: Vec<_> = lines[5].split_whitespace().collect();
        assert_eq!(titles.len(), 16, "{titles:?}");
        assert_eq!((titles[1], titles[15]), ("HOST", "UP"));
        let address = |line: &str| line.find("127.0.0.1:8080");
        assert_eq!(address(&lines[7]), lines[5].find("ADDRESS"), "{lines:?}");
        assert_eq!(lines[7].len(), lines[8].len(), "{lines:?}");
    }

    #[test]
    fn help_stays_above_the_keys() {
        let mut state = three(None);
        press(&mut state, KeyCode::Char('?'));
        for height in [12, 24] {
            let lines = shown(&mut state, 80, height);
            assert!(lines.iter().all(|line| !line.ends_with('…')), "{lines:?}");
            assert!(lines.last().is_some_and(|foot| foot.ends_with("q end")), "{lines:?}");
        }
    }

    #[test]
    fn no_window_is_too_small() {
        for (width, height) in [(1, 1), (10, 3), (20, 7), (300, 60)] {
            let mut state = three(Some(1));
            shown(&mut state, width, height);
            press(&mut state, KeyCode::Char('u'));
            shown(&mut state, width, height);
            press(&mut state, KeyCode::Esc);
            press(&mut state, KeyCode::Enter);
            shown(&mut state, width, height);
            press(&mut state, KeyCode::Char('?'));
            shown(&mut state, width, height);
        }
    }
}
