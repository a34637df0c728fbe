//! The two output streams: data on stdout, words on stderr, with colour, quiet and verbose.
//!
//! Invariant: a line of words is escaped before it is written, because parts of it may come from a server.

use std::io::{self, ErrorKind, Write};
use std::sync::{Mutex, PoisonError};

use crate::calendar::Times;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::flags::Color;
use crate::output::Look;
use crate::output::json::compact;
use crate::pager::Pager;
use crate::settings::Settings;
use crate::style;
use crate::surroundings::{Environment, Terminals};
use chat_client::escape::escape;
use chat_protocol::secret;

/// Characters in a line of a terminal that does not say.
const USUAL_COLUMNS: usize = 80;

type Stream = Mutex<Box<dyn Write + Send>>;

/// Writes data and words.
pub struct Console {
    stdout: Stream,
    stderr: Stream,
    quiet: bool,
    verbose: bool,
    /// What stands on the screen next, while a picture of it is made.
    picture: Mutex<Option<String>>,
    look: Look,
    pager: Mutex<Option<Pager>>,
    /// Errors are told in JSON.
    json: bool,
    colored_words: bool,
    /// Name of the context, and the number of its colour.
    context: Option<(String, u8)>,
}

impl Console {
    /// A console that knows no settings yet: colour for terminals, words of every kind but details.
    pub fn new(
        stdout: Box<dyn Write + Send>,
        stderr: Box<dyn Write + Send>,
        terminals: &Terminals,
        environment: &Environment,
    ) -> Self {
        let plain = environment("NO_COLOR").is_some_and(|value| !value.is_empty())
            || environment("TERM").is_some_and(|value| value == "dumb");
        let columns = environment("COLUMNS").and_then(|value| value.to_str()?.parse().ok());
        let columns = columns.filter(|columns| *columns > 0);
        let look = Look {
            color: terminals.stdout && !plain,
            columns: terminals.stdout.then(|| columns.or(terminals.columns).unwrap_or(USUAL_COLUMNS)),
            ..Look::default()
        };
        Self {
            stdout: Mutex::new(stdout),
            stderr: Mutex::new(stderr),
            quiet: false,
            verbose: false,
            picture: Mutex::default(),
            look,
            pager: Mutex::new(pager(terminals, environment)),
            json: false,
            colored_words: terminals.stderr && !plain,
            context: None,
        }
    }

    /// Takes over what the caller chose.
    pub fn configure(&mut self, settings: &Settings, times: Times) {
        self.quiet = settings.quiet;
        self.verbose = settings.verbose;
        self.json = settings.format.is_json();
        (self.look.wide, self.look.untitled, self.look.times) = (settings.wide, settings.no_headers, times);
        // Words beside the data would stand in the middle of the pager's screen.
        if settings.no_pager || settings.verbose || settings.watch.is_some() {
            self.pager = Mutex::new(None);
        }
        match settings.color {
            Color::Auto => {}
            Color::Always => (self.look.color, self.colored_words) = (true, true),
            Color::Never => (self.look.color, self.colored_words) = (false, false),
        }
        self.context = settings.context.as_ref().map(|context| (context.name.clone(), context.color));
    }

    /// From now on errors are told in JSON.
    pub fn tell_in_json(&mut self) {
        self.json = true;
    }

    /// How data is to look where it goes.
    #[must_use]
    pub fn look(&self) -> &Look {
        &self.look
    }

    /// How moments are told.
    #[must_use]
    pub fn times(&self) -> &Times {
        &self.look.times
    }

    /// Writes a part of data that may be longer than the screen; false when the reader wants no more. What is written in
    /// other ways may come before it, until [`Console::end_pages`].
    ///
    /// # Errors
    /// [`Failure::Output`] when the stream is broken in another way than by a reader that has gone.
    pub fn page(&self, text: &str) -> Result<bool, Failure> {
        let mut pager = self.pager.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(pager) = &mut *pager else { return self.flows(text) };
        let mut stdout = self.stdout.lock().unwrap_or_else(PoisonError::into_inner);
        flowed(pager.show(text, &mut **stdout))
    }

    /// Shows what a screen held so far, and waits for a reader who turns pages.
    ///
    /// # Errors
    /// As [`Console::page`].
    pub fn end_pages(&self) -> Result<(), Failure> {
        let mut pager = self.pager.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut pager) = pager.take() else { return Ok(()) };
        let mut stdout = self.stdout.lock().unwrap_or_else(PoisonError::into_inner);
        flowed(pager.finish(&mut **stdout).map(|()| true)).map(drop)
    }

    /// Writes data. A reader that has gone (`chatctl list | head`) has what it wanted: no failure.
    ///
    /// # Errors
    /// [`Failure::Output`] when the stream is broken in another way.
    pub fn data(&self, text: &str) -> Result<(), Failure> {
        self.flows(text).map(drop)
    }

    /// Writes a part of data that goes on; false when the reader has gone and wants no more.
    ///
    /// # Errors
    /// [`Failure::Output`] when the stream is broken in another way.
    pub fn flows(&self, text: &str) -> Result<bool, Failure> {
        if self.is_drawn(text) {
            return Ok(true);
        }
        flowed(write(&self.stdout, text).map(|()| true))
    }

    /// Writes what a view draws.
    ///
    /// # Errors
    /// What the terminal says.
    pub(crate) fn raw(&self, bytes: &[u8]) -> io::Result<()> {
        let mut stdout = self.stdout.lock().unwrap_or_else(PoisonError::into_inner);
        stdout.write_all(bytes)?;
        stdout.flush()
    }

    /// Writes bytes that are no text; false when the reader has gone and wants no more.
    ///
    /// # Errors
    /// [`Failure::Output`] when the stream is broken in another way.
    pub fn bytes(&self, bytes: &[u8]) -> Result<bool, Failure> {
        match write_bytes(&self.stdout, bytes) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(Failure::Output(error)),
        }
    }

    /// Whether data goes to a terminal.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.look.columns.is_some()
    }

    /// Something worth knowing beside the data; not with `-q`.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.words(&escape(text));
        }
    }

    /// A question to a person, even with `-q`, behind the name of the context.
    pub fn ask(&self, question: &str) {
        let place = match &self.context {
            Some((name, color)) if self.colored_words => style::badge(&escape(name), *color) + " ",
            Some((name, _)) => format!("[{}] ", escape(name)),
            None => String::new(),
        };
        self.words(&format!("{place}{}", escape(question)));
    }

    /// How far it is, over what was there before; `None` wipes it away. Only for a person.
    pub fn progress(&self, text: Option<&str>) {
        if self.colored_words && !self.quiet && !self.json {
            let _ = write(&self.stderr, &format!("\r\u{1b}[K{}", escape(text.unwrap_or_default())));
        }
    }

    /// How it is done; only with `-v`.
    pub fn detail(&self, text: &str) {
        if self.verbose {
            self.words(&escape(text));
        }
    }

    /// Why it was not done.
    pub fn error(&self, text: &str) {
        self.words(&format!("{} {}", style::error(self.colored_words), escape(text)));
    }

    /// The cause and the next step.
    pub fn failure(&self, failure: &Failure) -> Exit {
        // What was shown before it went wrong is shown.
        let _ = self.end_pages();
        if self.json {
            self.words(&compact(&failure.in_json()));
            return failure.exit();
        }
        self.error(&failure.to_string());
        if let Some(step) = failure.next_step() {
            self.step(&step);
        }
        failure.exit()
    }

    /// What to do next, below what went wrong.
    pub fn step(&self, text: &str) {
        for line in text.lines() {
            self.words(&format!("  {}", escape(line)));
        }
    }

    /// What the parser of the command line says: help and version are data, all else is words.
    pub fn usage(&self, refused: &clap::Error) -> Exit {
        let is_help = refused.exit_code() == 0;
        let colored = if is_help { self.look.color } else { self.colored_words };
        let text = refused.render();
        let text = if colored { text.ansi().to_string() } else { text.to_string() };
        if is_help {
            return self.data(&text).map_or_else(|failure| self.failure(&failure), |()| Exit::Done);
        }
        // It repeats what was written, and a password may stand where no one expects it.
        let (plain, hidden) = (refused.render().to_string(), secret::hide(&refused.render().to_string()));
        if self.json {
            let cause = hidden.lines().next().unwrap_or_default().trim_start_matches("error: ");
            let next = "`chatctl COMMAND --help` says what it takes";
            return self.failure(&Failure::usage(cause, next));
        }
        // Nowhere is left to report a failure of this to.
        let _ = write(&self.stderr, if hidden == plain { &text } else { &hidden });
        Exit::Usage
    }

    /// From now on all that is written goes into a picture.
    pub(crate) fn begin_picture(&self) {
        *self.picture.lock().unwrap_or_else(PoisonError::into_inner) = Some(String::new());
    }

    /// What was written since.
    pub(crate) fn end_picture(&self) -> String {
        self.picture.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }

    fn is_drawn(&self, text: &str) -> bool {
        match &mut *self.picture.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(picture) => {
                picture.push_str(text);
                true
            }
            None => false,
        }
    }

    fn words(&self, line: &str) {
        if self.is_drawn(&format!("{line}\n")) {
            return;
        }
        // A closed stderr is no reason to leave the work undone.
        let _ = write(&self.stderr, &format!("{line}\n"));
    }
}

/// The program that a reader at a terminal turns pages with, unless they want none.
fn pager(terminals: &Terminals, environment: &Environment) -> Option<Pager> {
    let rows = terminals.rows.filter(|_| terminals.stdout && terminals.stderr && terminals.stdin)?;
    let is_dumb = environment("TERM").is_none_or(|value| value == "dumb");
    let named = environment("CHATCTL_PAGER").or_else(|| environment("PAGER"));
    let command = named.map_or(Some("less".to_owned()), |name| name.into_string().ok())?;
    let less = environment("LESS").is_none().then_some("FRX");
    let wanted = !is_dumb && !command.trim().is_empty() && command.trim() != "cat";
    wanted.then(|| Pager::new(command, less, rows))
}

/// Whether the reader is still there.
fn flowed(written: io::Result<bool>) -> Result<bool, Failure> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        written => written.map_err(Failure::Output),
    }
}

fn write(stream: &Stream, text: &str) -> io::Result<()> {
    write_bytes(stream, text.as_bytes())
}

fn write_bytes(stream: &Stream, bytes: &[u8]) -> io::Result<()> {
    let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
    stream.write_all(bytes)?;
    stream.flush()
}
