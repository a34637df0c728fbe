//! `--watch`: one command again and again, on a terminal each time in the place of the time before.
//!
//! Invariant: what could not be asked is told and asked again; only a wrong line ends it. Nothing that a terminal shows
//! scrolls away, and nothing flickers: a picture is written as a whole.

use std::ffi::OsString;

use chat_protocol::Span;
use clap::Parser;

use crate::arguments::Cli;
use crate::calendar::moment;
use crate::command::{self, Command};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::output::Format;
use crate::surroundings::window;

/// Shortest pause, in milliseconds.
const SHORTEST_MS: u64 = 100;

/// Lines of a terminal that does not say.
const USUAL_LINES: usize = 24;

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
    let lines = window().map_or(USUAL_LINES, |(_, lines)| lines);
    let head = format!("every {every}, {}", moment((operator.clock)()));
    operator.console.data(&drawn(&head, picture, lines))
}

/// The picture over the one before, as much of it as there is room for.
fn drawn(head: &str, picture: &str, lines: usize) -> String {
    let mut text = format!("\u{1b}[H\u{1b}[2m{head}\u{1b}[0m\u{1b}[K");
    let room = lines.saturating_sub(2);
    let all: Vec<&str> = picture.lines().collect();
    let fitting = if all.len() > room { &all[..room.saturating_sub(1)] } else { &all[..] };
    for line in fitting {
        text.push_str(&format!("\r\n{line}\u{1b}[K"));
    }
    if all.len() > fitting.len() {
        text.push_str(&format!("\r\n… {} more lines\u{1b}[K", all.len() - fitting.len()));
    }
    text + "\u{1b}[J\r\n"
}

#[cfg(test)]
mod tests {
    use super::drawn;

    #[test]
    fn a_picture_lies_over_the_one_before_and_fits() {
        assert_eq!(
            drawn("h", "a\nb\n", 4),
            "\u{1b}[H\u{1b}[2mh\u{1b}[0m\u{1b}[K\r\na\u{1b}[K\r\nb\u{1b}[K\u{1b}[J\r\n"
        );
        let cut = drawn("h", "a\nb\nc\n", 4);
        assert!(cut.contains("\r\na\u{1b}[K\r\n… 2 more lines") && !cut.contains('b'), "{cut:?}");
    }
}
