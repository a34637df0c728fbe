//! What is longer than the screen, given to the program that its reader likes to turn pages with.
//!
//! Invariant: nothing is lost when there is no such program, or when it ends before the text does.

use std::io::{self, ErrorKind, Write};
use std::process::{Child, Command, Stdio};

/// More than a pipe holds: of a pager that is not there it is known before so much is written.
const MOST_UNREAD: usize = 128 * 1024;
/// What a shell ends with when there is no such program.
const NO_PROGRAM: i32 = 127;

/// Where paged text goes.
#[derive(Debug)]
pub struct Pager {
    command: String,
    /// How `less` behaves, where its reader has not said.
    less: Option<&'static str>,
    lines: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    /// So far it fits the screen.
    Held(String),
    /// With what it may not have read.
    Runs(Child, String),
    /// There is none, or what fitted was shown.
    Over,
    /// The reader has seen enough.
    Left,
}

impl Pager {
    /// A pager that begins when more than a screen of `lines` lines is to be shown.
    #[must_use]
    pub fn new(command: String, less: Option<&'static str>, lines: usize) -> Self {
        Self { command, less, lines, state: State::Held(String::new()) }
    }

    /// Takes text; false when the reader has gone.
    ///
    /// # Errors
    /// What the system says of `direct`, which gets the text where no pager runs.
    pub fn show(&mut self, text: &str, direct: &mut dyn Write) -> io::Result<bool> {
        if let State::Held(held) = &mut self.state {
            held.push_str(text);
            // One line is the shell's.
            if held.lines().take(self.lines).count() < self.lines {
                return Ok(true);
            }
            let held = std::mem::take(held);
            self.state = self.start();
            return self.write(&held, direct);
        }
        self.write(text, direct)
    }

    /// Shows what was held back, and waits until the reader has seen enough.
    ///
    /// # Errors
    /// As [`Pager::show`].
    pub fn finish(&mut self, direct: &mut dyn Write) -> io::Result<()> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Held(held) => write(direct, &held),
            State::Runs(mut child, unread) => {
                drop(child.stdin.take());
                if child.wait()?.code() == Some(NO_PROGRAM) { write(direct, &unread) } else { Ok(()) }
            }
            State::Over | State::Left => Ok(()),
        }
    }

    fn start(&self) -> State {
        let mut command = Command::new("sh");
        command.args(["-c", &self.command]).stdin(Stdio::piped()).stderr(Stdio::null());
        if let Some(less) = self.less {
            command.env("LESS", less);
        }
        command.spawn().map_or(State::Over, |child| State::Runs(child, String::new()))
    }

    fn write(&mut self, text: &str, direct: &mut dyn Write) -> io::Result<bool> {
        let (child, unread) = match &mut self.state {
            State::Runs(child, unread) => (child, unread),
            State::Left => return Ok(false),
            State::Held(_) | State::Over => return write(direct, text).map(|()| true),
        };
        if unread.len() <= MOST_UNREAD {
            unread.push_str(text);
        }
        let Some(stdin) = child.stdin.as_mut() else { return Ok(false) };
        match stdin.write_all(text.as_bytes()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                let is_missing = child.wait()?.code() == Some(NO_PROGRAM);
                let unread = std::mem::take(unread);
                self.state = if is_missing { State::Over } else { State::Left };
                if is_missing { write(direct, &unread).map(|()| true) } else { Ok(false) }
            }
            written => written.map(|()| true),
        }
    }
}

fn write(to: &mut dyn Write, text: &str) -> io::Result<()> {
    to.write_all(text.as_bytes())?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(command: &str, texts: &[&str]) -> (String, Vec<bool>) {
        let (mut pager, mut direct) = (Pager::new(command.to_owned(), None, 3), Vec::new());
        let goes_on = texts.iter().map(|text| pager.show(text, &mut direct).unwrap()).collect();
        pager.finish(&mut direct).unwrap();
        (String::from_utf8(direct).unwrap(), goes_on)
    }

    #[test]
    fn what_fits_is_shown_without_a_pager() {
        assert_eq!(shown("false", &["a\n", "b\n"]), ("a\nb\n".to_owned(), vec![true, true]));
    }

    #[test]
    fn what_does_not_fit_goes_to_the_pager_whole() {
        let folder = std::env::temp_dir().join(format!("chatctl-pager-{}", std::process::id()));
        let command = format!("cat > '{}'", folder.display());
        assert_eq!(shown(&command, &["a\n", "b\nc\n", "d\n"]), (String::new(), vec![true, true, true]));
        let kept = std::fs::read_to_string(&folder).unwrap();
        std::fs::remove_file(&folder).unwrap();
        assert_eq!(kept, "a\nb\nc\nd\n");
    }

    #[test]
    fn without_the_program_nothing_is_lost() {
        let long = "x\n".repeat(200_000);
        for text in ["a\nb\nc\n", &long] {
            assert_eq!(shown("/no/such/pager", &[text]).0, text);
        }
    }

    #[test]
    fn a_reader_who_has_seen_enough_ends_it() {
        let long = "x\n".repeat(200_000);
        assert_eq!(shown("true", &[&long, "more\n"]), (String::new(), vec![false, false]));
    }
}
