//! Calls operations on behalf of a command: retries, rehearsal, answers.
//!
//! Invariant: a request is only sent again when the server has not carried it out (it was unreachable, or said to
//! come back), and a message carries an id besides; a lost answer is reported, not repeated.
//!
//! | module | holds |
//! |---|---|
//! | `consent` | questions to a person, and standard input |
//! | `rehearsal` | what would be sent, for `--dry-run` and `--curl` |

use std::io::Read;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chat_client::http::Exchange;
use chat_client::{Error, Http};
use chat_protocol::backoff::Backoff;
use chat_protocol::operation::Effect;
use chat_protocol::{Code, Operation};
use tokio::sync::Notify;

use crate::console::Console;
use crate::doubt::{Doubt, has_no_ledger, may_be_done};
use crate::exit::Exit;
use crate::failure::{Failure, plain_error};
use crate::output::flow::Flow;
use crate::output::table::Columns;
use crate::output::{Format, render};
use crate::report::Report;
use crate::settings::Settings;
use crate::surroundings::{Clock, Environment, Terminals};
pub use rehearsal::Rehearsed;

mod consent;
mod rehearsal;

/// First pause before trying again, and the longest that no server asked for.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const MAX_PAUSE: Duration = Duration::from_millis(12_800);
/// Longest pause a server can ask for; beyond it a person should decide.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Told where there were rows.
const NONE_LEFT: &str = "no row is as --filter wants it";

/// What every command works with.
pub struct Operator {
    /// What was asked for.
    pub settings: Settings,
    /// Where to write.
    pub console: Arc<Console>,
    /// What time it is.
    pub clock: Clock,
    /// What may have been done without being told.
    pub doubt: Doubt,
    /// Variables of the environment.
    pub environment: Box<Environment>,
    /// Told when a command that goes on and on, or ends in order, is to end.
    pub stop: Notify,
    /// Whether a command that is broken off does the rest of what it has begun.
    pub ends_in_order: AtomicBool,
    stdin: Mutex<Option<Box<dyn Read + Send>>>,
    /// Which streams are terminals.
    pub terminals: Terminals,
    /// Somebody said yes.
    is_approved: AtomicBool,
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
        Self {
            settings,
            console: Arc::new(console),
            clock,
            doubt: Doubt::default(),
            environment,
            stop,
            ends_in_order: AtomicBool::new(false),
            stdin,
            terminals,
            is_approved: AtomicBool::new(false),
        }
    }

    /// A client for the server asked for.
    ///
    /// # Errors
    /// When the system's HTTP settings are unusable.
    pub fn http(&self) -> Result<Http, Failure> {
        let http = Http::new(self.settings.server.clone(), self.settings.timeout.get())?;
        if !self.settings.verbose {
            return Ok(http);
        }
        let console = self.console.clone();
        Ok(http.observed(move |exchange| console.detail(&told(&exchange))))
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
            self.approve(what).await?;
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

    /// Prints data in the format asked for.
    ///
    /// # Errors
    /// [`Failure::Output`], or [`Failure::Usage`] when a column is asked for that there is not.
    pub fn print(&self, report: &Report) -> Result<(), Failure> {
        let shown = self.settings.view.of(report.clone())?;
        self.print_beside(&shown)?;
        if shown.rows.is_empty() && !report.rows.is_empty() {
            self.footer(NONE_LEFT);
        }
        Ok(())
    }

    /// Prints what stands beside the data, of which no row and no column is chosen.
    ///
    /// # Errors
    /// As [`Operator::print`].
    pub fn print_beside(&self, report: &Report) -> Result<(), Failure> {
        let (text, notes) = self.rendered(report)?;
        self.console.page(&text)?;
        self.console.end_pages()?;
        notes.iter().for_each(|note| self.console.note(note));
        Ok(())
    }

    /// Data in the format asked for, and what a reader should know of what is not shown.
    fn rendered(&self, report: &Report) -> Result<(String, Vec<String>), Failure> {
        let (format, look) = (&self.settings.format, self.console.look());
        if *format != Format::Table || report.is_record || report.words.is_some() || report.rows.is_empty() {
            return Ok((render(report, format, look)?, Vec::new()));
        }
        let mut columns = Columns::default();
        let text = columns.rows(report, look);
        Ok((text, columns.notes()))
    }

    /// Data that comes in pages, in the format asked for.
    pub fn flow(&self) -> Flow {
        let Settings { format, view, .. } = &self.settings;
        Flow::new(format.clone(), self.console.look().clone(), view.clone())
    }

    /// The next page of such data; false when the reader wants no more.
    ///
    /// # Errors
    /// As [`Operator::print`].
    pub fn flows(&self, flow: &mut Flow, page: Report) -> Result<bool, Failure> {
        self.console.page(&flow.page(page)?)
    }

    /// The end of such data; `empty` is a page without rows.
    ///
    /// # Errors
    /// As [`Operator::print`].
    pub fn end(&self, mut flow: Flow, empty: &Report) -> Result<(), Failure> {
        self.console.page(&flow.end(empty)?)?;
        self.console.end_pages()?;
        flow.notes().iter().for_each(|note| self.console.note(note));
        if flow.is_emptied() {
            self.footer(NONE_LEFT);
        }
        Ok(())
    }

    /// A line that belongs to a table, and to no other format.
    pub fn footer(&self, text: &str) {
        if self.settings.format == Format::Table {
            self.console.note(text);
        }
    }
}

/// `POST /user/list: status 200 in 1.2 ms, 13 bytes sent, 345 received`.
fn told(exchange: &Exchange) -> String {
    let Exchange { method, path, status, took, sent, received } = exchange;
    let status = status.map_or("no answer".to_owned(), |status| format!("status {status}"));
    let ms = took.as_secs_f64() * 1000.0;
    format!("{method} {path}: {status} in {ms:.1} ms, {sent} bytes sent, {received} received")
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
}
