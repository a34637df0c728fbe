//! `--watch`: one command again and again, on a terminal each time in the place of the time before.
//!
//! Invariant: what could not be asked is told and asked again; only a wrong line ends it. Nothing that a terminal shows
//! scrolls away, and nothing flickers: a picture is written as a whole.

use std::ffi::OsString;

use chat_protocol::Span;
use clap::Parser;
use unicode_width::UnicodeWidthStr;

use crate::arguments::Cli;
use crate::calendar::moment;
use crate::command::{self, Command};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::output::Format;
use crate::plural::counted;
use crate::style;
use crate::surroundings::window;

/// Shortest pause, in milliseconds.
const SHORTEST_MS: u64 = 100;

/// Columns and lines of a terminal that does not say.
const USUAL_WINDOW: (usize, usize) = (80, 24);

/// Runs the command of this line until told to stop.
pub async fn run(first: Command, line: &[OsString], every: Span, operator: &Operator) -> Exit {
    if first.is_endless() {
        let failure = Failure::usage("this command goes on by itself", "leave --watch away");
        return operator.console.failure(&failure);
    }
    if every.millis() < SHORTEST_MS {
        let failure =
            Failure::usage("nothing is asked more than ten times a second", "give for example --watch 2s");
        return operator.console.failure(&failure);
    }
    let is_picture = operator.terminals.stdout && !operator.terminals.is_dumb;
    let mut command = Some(first);
    while let Some(this) = command {
        if is_picture {
            operator.console.begin_picture();
        }
        let done = tokio::select! {
            exit = command::run(this, operator) => Some(exit),
            () = operator.stop.notified() => None,
        };
        let shown =
            if is_picture { show(&operator.console.end_picture(), every, operator) } else { apart(operator) };
        match (done, shown) {
            (None, _) => return Exit::Done,
            (Some(Exit::Usage), _) => return Exit::Usage,
            (_, Err(failure)) => return operator.console.failure(&failure),
            (Some(_), Ok(())) => {}
        }
        tokio::select! {
            () = tokio::time::sleep(every.get()) => {}
            () = operator.stop.notified() => return Exit::Done,
        }
        // It was understood before.
        command = Cli::try_parse_from(line).ok().map(|cli| cli.command);
    }
    Exit::Done
}

/// Tables one below the other stand apart; programs need nothing between what they read.
fn apart(operator: &Operator) -> Result<(), Failure> {
    match operator.settings.format {
        Format::Table => operator.console.data("\n"),
        _ => Ok(()),
    }
}

fn show(picture: &str, every: Span, operator: &Operator) -> Result<(), Failure> {
    let head = format!("every {every}, {}", moment((operator.clock)()));
    operator.console.data(&drawn(&head, picture, window().unwrap_or(USUAL_WINDOW)))
}

/// The picture over the one before, as much of it as there is room for.
fn drawn(head: &str, picture: &str, (columns, lines): (usize, usize)) -> String {
    let mut text = format!("\u{1b}[H{}\u{1b}[K", style::faint(head));
    let room = lines.saturating_sub(1 + height(width(head), columns));
    let all: Vec<(&str, usize)> = picture.lines().map(|line| (line, width(line))).collect();
    let is_whole = all.iter().map(|(_, width)| height(*width, columns)).sum::<usize>() <= room;
    let (mut left, mut shown) = (if is_whole { room } else { room.saturating_sub(1) }, 0);
    for (line, width) in &all {
        let Some(rest) = left.checked_sub(height(*width, columns)) else { break };
        // Behind the last column the cursor still stands on it: what is erased there would be its letter.
        let end = if *width > 0 && width.is_multiple_of(columns.max(1)) { "" } else { "\u{1b}[K" };
        text.push_str(&format!("\r\n{line}{end}"));
        (left, shown) = (rest, shown + 1);
    }
    if shown < all.len() {
        let more = counted((all.len() - shown) as u64, "more line");
        text.push_str(&format!("\r\n… {more}\u{1b}[K"));
    }
    // From the next line on, for the same reason; there is one, below all that is shown.
    text + "\r\n\u{1b}[J"
}

/// Columns that a line takes, without the sequences that make it stand out.
fn width(line: &str) -> usize {
    let mut parts = line.split('\u{1b}');
    let first = parts.next().map_or(0, UnicodeWidthStr::width);
    first + parts.map(|part| part.split_once('m').map_or(0, |(_, text)| text.width())).sum::<usize>()
}

/// Lines of the terminal that a line of this width takes.
fn height(width: usize, columns: usize) -> usize {
    width.div_ceil(columns.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::drawn;

    #[test]
    fn a_picture_lies_over_the_one_before_and_fits() {
        assert_eq!(
            drawn("h", "a\nb\n", (80, 4)),
            "\u{1b}[H\u{1b}[2mh\u{1b}[0m\u{1b}[K\r\na\u{1b}[K\r\nb\u{1b}[K\r\n\u{1b}[J"
        );
        let cut = drawn("h", "a\nb\nc\n", (80, 4));
        assert!(cut.contains("\r\na\u{1b}[K\r\n… 2 more lines") && !cut.contains('b'), "{cut:?}");
    }

    #[test]
    fn a_line_that_the_terminal_breaks_takes_the_room_of_several() {
        let title = crate::style::title("黄帝黄帝黄", true);
        let all = drawn("h", &format!("{title}\nb\n"), (8, 5));
        assert!(all.ends_with("\r\nb\u{1b}[K\r\n\u{1b}[J"), "{all:?}");
        let cut = drawn("h", &format!("{title}\nb\n"), (8, 4));
        assert!(cut.ends_with("\r\n… 2 more lines\u{1b}[K\r\n\u{1b}[J"), "{cut:?}");
        let full = drawn("h", "12345678\nb\n", (8, 5));
        assert!(full.contains("\r\n12345678\r\nb\u{1b}[K"), "{full:?}");
        let last = drawn("h", "b\n12345678\n", (8, 5));
        assert!(last.ends_with("\r\n12345678\r\n\u{1b}[J"), "{last:?}");
    }
}
