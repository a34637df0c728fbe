//! Questions to a person before something is done.
//!
//! Invariant: nothing that asks is done before somebody said yes, on the line or at the terminal; one run asks once.

use std::ffi::OsString;
use std::io::Read;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::Operator;
use crate::failure::Failure;
use crate::text::Source;

impl Operator {
    /// Asks whether to do what cannot be undone, unless `-y` said so already.
    ///
    /// # Errors
    /// [`Failure::Usage`] where nobody can be asked, [`Failure::Undone`] when the answer is not yes.
    pub async fn confirm(&self, question: &str) -> Result<(), Failure> {
        self.check_once()?;
        if self.settings.yes || self.is_approved.load(Ordering::Relaxed) {
            return Ok(());
        }
        if !self.terminals.stdin {
            return Err(Failure::usage(question, "nobody is there to answer: say yes with -y"));
        }
        self.console.ask(&format!("{question} [y/N]"));
        let mut stdin = self.take_stdin();
        let read = tokio::task::spawn_blocking(move || first_line(&mut *stdin)).await;
        match read.unwrap_or_default().trim() {
            "y" | "Y" | "yes" => {
                self.is_approved.store(true, Ordering::Relaxed);
                Ok(())
            }
            _ => Err(Failure::Undone("not done".to_owned())),
        }
    }

    /// Whom a question concerns, counted for whoever is asked, and for whoever is refused because nobody is there to be
    /// asked; to these nothing is said of it when it cannot be counted.
    ///
    /// # Errors
    /// As the counting, where a person waits for it.
    pub async fn concerned<T>(
        &self,
        count: impl Future<Output = Result<T, Failure>>,
    ) -> Result<Option<T>, Failure> {
        match count.await {
            Ok(counted) => Ok(Some(counted)),
            Err(failure) if self.terminals.stdin => Err(failure),
            Err(_) => Ok(None),
        }
    }

    /// What changes something is done once, by whoever asked for it.
    pub(super) fn check_once(&self) -> Result<(), Failure> {
        match self.settings.watch {
            Some(_) => Err(Failure::usage(
                "this changes something, and --watch would do it again and again",
                "leave --watch away",
            )),
            None => Ok(()),
        }
    }

    /// Whether somebody is to be asked: nobody said yes on the line, and nothing is only rehearsed.
    #[must_use]
    pub fn asks(&self) -> bool {
        !self.settings.yes && !self.settings.dry_run && !self.is_approved.load(Ordering::Relaxed)
    }

    /// Whether somebody is at the terminal to be asked.
    #[must_use]
    pub fn asks_a_person(&self) -> bool {
        self.asks() && self.terminals.stdin
    }

    /// Asks before the first change in a context that is protected.
    ///
    /// # Errors
    /// As [`Operator::confirm`].
    pub async fn approve(&self, what: &str) -> Result<(), Failure> {
        match &self.settings.context {
            Some(context) if context.protected => {
                let (name, server) = (&context.name, &self.settings.server);
                self.confirm(&format!("{name} is protected: {what} at {server}?")).await
            }
            _ => Ok(()),
        }
    }

    /// Reads the text of a message from where the argument says, without holding up Ctrl-C.
    ///
    /// # Errors
    /// [`Failure::Usage`] naming the source and what is wrong with it.
    pub async fn read_text(&self, argument: &OsString) -> Result<String, Failure> {
        let source = Source::of(argument);
        if source == Source::Stdin && self.terminals.stdin {
            self.console.note("reading the text from the terminal; end it with Ctrl-D");
        }
        let mut stdin = if source == Source::Stdin { self.take_stdin() } else { Box::new(std::io::empty()) };
        let read = tokio::task::spawn_blocking(move || source.read(&mut *stdin)).await;
        read.unwrap_or_else(|error| Err(Failure::Undone(format!("cannot read the text: {error}"))))
    }

    /// Standard input, for the one who asks first.
    pub fn take_stdin(&self) -> Box<dyn Read + Send> {
        let stdin = self.stdin.lock().unwrap_or_else(PoisonError::into_inner).take();
        stdin.unwrap_or_else(|| Box::new(std::io::empty()))
    }
}

/// What a person typed: a terminal gives one line at a time. Unreadable input is no answer.
fn first_line(stdin: &mut dyn Read) -> String {
    let mut line = [0; 64];
    let length = stdin.read(&mut line).unwrap_or(0);
    String::from_utf8_lossy(&line[..length]).into_owned()
}
