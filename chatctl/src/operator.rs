//! Calls operations on behalf of a command: retries, rehearsal, answers.
//!
//! Invariant: a request is only sent again when the server has not carried it out (it was unreachable, or said to
//! come back), and a message carries an id besides; a lost answer is reported, not repeated.

use std::ffi::OsString;
use std::io::Read;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chat_client::{Error, Http};
use chat_protocol::backoff::Backoff;
use chat_protocol::operation::Effect;
use chat_protocol::{Code, Operation};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Notify;

use crate::console::Console;
use crate::doubt::{Doubt, has_no_ledger, may_be_done};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::json::compact;
use crate::output::{Format, render};
use crate::report::Report;
use crate::settings::Settings;
use crate::surroundings::{Clock, Environment, Terminals};
use crate::text::Source;

/// First pause before trying again, and the longest that no server asked for.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const MAX_PAUSE: Duration = Duration::from_millis(12_800);
/// Longest pause a server can ask for; beyond it a person should decide.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What every command works with.
pub struct Operator {
    /// What was asked for.
    pub settings: Settings,
    /// Where to write.
    pub console: Console,
    /// What time it is.
    pub clock: Clock,
    /// What may have been done without being told.
    pub doubt: Doubt,
    /// Told when a command that goes on and on is to end.
    pub stop: Notify,
    stdin: Mutex<Option<Box<dyn Read + Send>>>,
    /// Which streams are terminals.
    pub terminals: Terminals,
    /// Variables.
    pub environment: Box<Environment>,
}

/// A request that `--dry-run` shows.
#[derive(Debug)]
pub struct Rehearsed {
    /// GET or POST.
    pub method: &'static str,
    /// Where to.
    pub url: String,
    /// The parameters in the body, if it has one.
    pub body: Value,
}

impl Operator {
    /// An operator with these settings.
    pub fn new(
        settings: Settings,
        console: Console,
        clock: Clock,
        stdin: Box<dyn Read + Send>,
        terminals: Terminals,
        environment: Box<Environment>,
    ) -> Self {
        let (stop, stdin) = (Notify::new(), Mutex::new(Some(stdin)));
        Self { settings, console, clock, doubt: Doubt::default(), stop, stdin, terminals, environment }
    }

    /// A client for the server asked for.
    ///
    /// # Errors
    /// When the system's HTTP settings are unusable.
    pub fn http(&self) -> Result<Http, Failure> {
        Ok(Http::new(self.settings.server.clone(), self.settings.timeout.get())?)
    }

    /// Calls one operation.
    ///
    /// # Errors
    /// [`Failure::Call`] after the last try.
    pub async fn call<O: Operation>(
        &self,
        http: &Http,
        request: &O::Request,
    ) -> Result<O::Response, Failure> {
        self.insist(O::PATH, O::EFFECT, || http.call::<O>(request)).await
    }

    /// Calls one operation and prints its answer; with `--dry-run` shows the call.
    ///
    /// # Errors
    /// As [`Operator::call`] and [`Operator::print`].
    pub async fn carry_out<O: Operation>(
        &self,
        request: &O::Request,
        report: impl FnOnce(O::Response) -> Report,
    ) -> Result<Exit, Failure> {
        if self.settings.dry_run {
            return self.rehearse(&[self.rehearsed::<O>(request)]);
        }
        let report = report(self.call::<O>(&self.http()?, request).await?);
        self.print(&report)?;
        if report.rows.is_empty() {
            self.footer("none");
        }
        Ok(Exit::Done)
    }

    /// Tries until it succeeds, fails for good, or was tried often enough.
    ///
    /// # Errors
    /// [`Failure::Call`] with the last error.
    pub async fn insist<T, F>(
        &self,
        what: &str,
        effect: Effect,
        attempt: impl Fn() -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let changes = effect.changes();
        if changes {
            self.check_once()?;
        }
        let mut in_doubt = false;
        let url = self.settings.server.url(what);
        self.console.detail(&format!("asking {url}"));
        let (mut tried, mut backoff) = (0, Backoff::half(FIRST_PAUSE, MAX_PAUSE));
        loop {
            tried += 1;
            self.doubt.set(changes);
            let outcome = attempt().await;
            in_doubt |= changes && outcome.as_ref().is_err_and(may_be_done);
            self.doubt.set(in_doubt && outcome.is_err());
            let error = match outcome {
                Ok(answer) => return Ok(answer),
                Err(error) => plain_error(error),
            };
            // One person's request needs no dice: it says beforehand how long it waits.
            let pause = pause_before_retry(&error, backoff.pause(1.0));
            let Some(pause) = pause.filter(|_| tried <= self.settings.retries) else {
                return Err(Failure::Call { error, in_doubt, repeat_with: self.doubt.repeat_with() });
            };
            let (ms, retries) = (pause.as_millis(), self.settings.retries);
            self.console.detail(&format!("{error}; trying again in {ms} ms ({tried} of {retries})"));
            tokio::time::sleep(pause).await;
        }
    }

    /// Says that the run was broken off, and what that means for what it asked for.
    pub fn interrupted(&self) {
        if self.doubt.is_open() {
            self.console.error("interrupted; the request may have been carried out");
            self.console.step(&Doubt::next_step(self.doubt.repeat_with().as_deref()));
        } else {
            self.console.error("interrupted");
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
        let stdin = self.stdin.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut stdin = stdin.unwrap_or_else(|| Box::new(std::io::empty()));
        let read = tokio::task::spawn_blocking(move || source.read(&mut *stdin)).await;
        read.unwrap_or_else(|error| Err(Failure::Undone(format!("cannot read the text: {error}"))))
    }

    /// Asks whether to do what cannot be undone, unless `-y` said so already.
    ///
    /// # Errors
    /// [`Failure::Usage`] where nobody can be asked, [`Failure::Undone`] when the answer is not yes.
    pub async fn confirm(&self, question: &str) -> Result<(), Failure> {
        self.check_once()?;
        if self.settings.yes {
            return Ok(());
        }
        if !self.terminals.stdin {
            return Err(Failure::usage(question, "nobody is there to answer: say yes with -y"));
        }
        self.console.ask(&format!("{question} [y/N]"));
        let stdin = self.stdin.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut stdin = stdin.unwrap_or_else(|| Box::new(std::io::empty()));
        let read = tokio::task::spawn_blocking(move || first_line(&mut *stdin)).await;
        match read.unwrap_or_default().trim() {
            "y" | "Y" | "yes" => Ok(()),
            _ => Err(Failure::Undone("not done".to_owned())),
        }
    }

    /// What changes something is done once, by whoever asked for it.
    fn check_once(&self) -> Result<(), Failure> {
        match self.settings.watch {
            Some(_) => Err(Failure::usage(
                "this changes something, and --watch would do it again and again",
                "leave --watch away",
            )),
            None => Ok(()),
        }
    }

    /// Prints data in the format asked for.
    ///
    /// # Errors
    /// [`Failure::Output`].
    pub fn print(&self, report: &Report) -> Result<(), Failure> {
        self.console.data(&render(report, self.settings.format, self.console.look()))
    }

    /// A line that belongs to a table, and to no other format.
    pub fn footer(&self, text: &str) {
        if self.settings.format == Format::Table {
            self.console.note(text);
        }
    }

    /// What a call would send.
    pub fn rehearsed<O: Operation>(&self, request: &O::Request) -> Rehearsed {
        self.rehearsed_raw(O::PATH, request)
    }

    /// What a call of the operation at `path` would send.
    pub fn rehearsed_raw(&self, path: &str, request: &impl Serialize) -> Rehearsed {
        let body = serde_json::to_value(request).unwrap_or_default();
        Rehearsed { method: "POST", url: self.settings.server.url(path).into(), body }
    }

    /// Shows requests instead of sending them.
    ///
    /// # Errors
    /// [`Failure::Output`].
    pub fn rehearse(&self, requests: &[Rehearsed]) -> Result<Exit, Failure> {
        let lines = requests.iter().flat_map(|request| {
            let body = (!request.body.is_null()).then(|| compact(&request.body));
            std::iter::once(format!("{} {}", request.method, request.url)).chain(body)
        });
        let row = |r: &Rehearsed| vec![r.method.into(), r.url.clone().into(), r.body.clone().into()];
        let columns = [("method", "METHOD"), ("url", "URL"), ("body", "BODY")];
        let report = Report::list(&columns, requests.iter().map(row).collect());
        self.print(&report.in_words(lines.collect()))?;
        self.console.detail("--dry-run: nothing was sent");
        Ok(Exit::Done)
    }
}

/// What a person typed: a terminal gives one line at a time. Unreadable input is no answer.
fn first_line(stdin: &mut dyn Read) -> String {
    let mut line = [0; 64];
    let length = stdin.read(&mut line).unwrap_or(0);
    String::from_utf8_lossy(&line[..length]).into_owned()
}

/// How long to wait before the same request may go out again, `own` unless the server says; `None` when it must not, or
/// not so soon.
fn pause_before_retry(error: &Error, own: Duration) -> Option<Duration> {
    let pause = match error {
        Error::Unreachable { .. } => own,
        Error::Refused { .. } if has_no_ledger(error) => return None,
        Error::Refused { retry_after_ms, .. } => match error.code() {
            Some(Code::TooManyRequests | Code::StoreUnreachable) => {
                retry_after_ms.map_or(own, Duration::from_millis)
            }
            _ => return None,
        },
        _ => return None,
    };
    (pause <= LONGEST_PAUSE).then_some(pause)
}

/// The system's words without its number for them, which says nothing to a person.
#[must_use]
pub fn plain(cause: &str) -> &str {
    match cause.rfind(" (os error ") {
        Some(at) if cause.ends_with(')') => &cause[..at],
        _ => cause,
    }
}

/// The same error without the system's numbers.
#[must_use]
pub fn plain_error(error: Error) -> Error {
    match error {
        Error::Unreachable { server, cause } => {
            Error::Unreachable { server, cause: plain(&cause).to_owned() }
        }
        Error::Interrupted { server, cause } => {
            Error::Interrupted { server, cause: plain(&cause).to_owned() }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16, retry_after_ms: Option<u64>) -> Error {
        Error::Refused { code, reason: String::new(), retry_after_ms }
    }

    #[test]
    fn only_what_was_not_done_is_tried_again() {
        let (server, cause) = ("s".to_owned(), "c".to_owned());
        let pause = |error| pause_before_retry(&error, FIRST_PAUSE);
        assert!(pause(Error::Unreachable { server: server.clone(), cause: cause.clone() }).is_some());
        assert!(pause(refused(1011, None)).is_some() && pause(refused(1013, None)).is_some());
        assert!(pause(Error::Timeout { server: server.clone(), timeout_ms: 1 }).is_none());
        assert!(pause(Error::Interrupted { server, cause }).is_none());
        assert!(pause(refused(1004, None)).is_none() && pause(refused(1009, Some(1))).is_none());
    }

    #[test]
    fn the_server_chooses_the_pause_within_reason() {
        assert_eq!(
            pause_before_retry(&refused(1011, Some(1500)), MAX_PAUSE),
            Some(Duration::from_millis(1500))
        );
        assert_eq!(pause_before_retry(&refused(1011, Some(600_000)), FIRST_PAUSE), None);
        assert_eq!(pause_before_retry(&refused(1013, None), MAX_PAUSE), Some(MAX_PAUSE));
    }

    #[test]
    fn numbers_of_the_system_are_left_out() {
        assert_eq!(plain("Connection refused (os error 111)"), "Connection refused");
        assert_eq!(plain("no (os error) here"), "no (os error) here");
    }
}
