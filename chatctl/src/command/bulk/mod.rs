//! `chatctl send` to many: a message for each line of a file or pipe, or one text for everybody named there.
//!
//! Invariants: every message has an id that follows from the batch and the line, so that a repeat of the batch delivers
//! nothing twice; lines are told in their order, and reach each user in it; one that fails keeps none of the others from
//! going on. Ctrl-C begins no more of them, and waits for those on their way.
//!
//! | module | holds |
//! |---|---|
//! | `count` | what became of the messages so far |
//! | `journal` | which were sent, in a file |
//! | `lines` | the messages, read one by one |
//! | `source` | where they are read from |
//! | `told` | what is shown of a line |

use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chat_client::Http;
use chat_protocol::user::{SendMessage, SendMessageRequest};
use chat_protocol::{AppId, MsgId, UserId};
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::plural::counted;
use count::{Count, Outcome};
use journal::Journal;
use lines::{BadLine, Kind, Line};
use source::{reading, source};
use told::{Told, report};

mod count;
mod journal;
mod lines;
mod source;
mod told;

/// Messages on their way at a time, unless it is said.
const AT_ONCE: u16 = 16;
/// Pause between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(200);
/// Places in which messages wait for those before them; many more than are on their way, so that few meet by chance.
const TURNS: usize = 4096;
/// Results that wait for the next look at most.
const MOST_ROWS: usize = 1000;

/// Taken in the order in which it is asked for.
type Turn = tokio::sync::Mutex<()>;

/// How a batch is sent.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "To many")]
#[group(id = "many")]
pub struct Args {
    /// Send the text to everybody named there: a line each, as `list -o name` writes them; - is standard input
    #[arg(long, value_name = "-|@FILE", conflicts_with = "from_file")]
    to: Option<std::ffi::OsString>,
    /// Send the messages there: JSONL with userId, message and perhaps msgId and from, or CSV under these titles
    #[arg(long, value_name = "FILE|-")]
    from_file: Option<PathBuf>,
    /// Messages on their way at a time [default: 16]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: Option<u16>,
    /// Messages per second at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// File that keeps what was sent: the same line again goes on where it was
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// The id of a batch that was begun before: what it did send is not delivered again
    #[arg(long, value_name = "ID")]
    batch: Option<Uuid>,
}

/// What is sent to many, and from where it is read.
struct Batch<'a> {
    operator: &'a Operator,
    http: Http,
    app_id: AppId,
    journal: Journal,
    /// A line counts as another message than one of the same words elsewhere.
    by_number: bool,
    /// Whoever gets several messages gets them in the order of the lines: those of one place go one after the other.
    turns: Vec<Turn>,
    /// Why nothing more is begun.
    stopped: Mutex<Option<Failure>>,
    /// Nothing more is begun because somebody broke it off.
    is_broken_off: AtomicBool,
}

impl Args {
    /// Whether it is for many.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.to.is_some() || self.from_file.is_some()
    }

    fn path(&self) -> Option<PathBuf> {
        let path = match (&self.to, &self.from_file) {
            (Some(to), _) => match to.as_bytes() {
                [b'@', path @ ..] => PathBuf::from(OsStr::from_bytes(path)),
                _ => PathBuf::from(to),
            },
            (None, file) => file.clone().unwrap_or_default(),
        };
        (path.as_os_str() != "-").then_some(path)
    }
}

/// Sends a batch; `text` goes to everybody where names are given.
///
/// # Errors
/// [`Failure::Usage`] when the source or the journal cannot be used; the failure that stopped a batch of which nothing
/// was sent.
pub async fn run(args: Args, text: Option<String>, operator: &Operator) -> Result<Exit, Failure> {
    let app_id = operator.settings.app()?;
    let by_number = text.is_none();
    let kind = text.map_or(Kind::Messages, Kind::Names);
    let path = args.path();
    let (source, of) = source(path.as_ref(), operator)?;
    let lines = reading(source, kind);
    if operator.settings.dry_run {
        return rehearse(lines, app_id, &Journal::none(args.batch), by_number, operator).await;
    }
    // What cannot be shown is refused before anything is sent.
    operator.flow().page(report(vec![Told::nothing().row()]))?;
    if let Some(many) = of.filter(|_| operator.asks_a_person()) {
        operator.confirm(&format!("send up to {} in app {app_id}?", counted(many, "message"))).await?;
    }
    operator.approve("messages to many").await?;
    let journal = match &args.journal {
        Some(path) => Journal::open(path, args.batch)?,
        None => Journal::none(args.batch),
    };
    operator.doubt.hold(format!("--batch {}", journal.batch));
    let batch = Batch {
        operator,
        http: operator.http()?,
        app_id,
        journal,
        by_number,
        turns: std::iter::repeat_with(Turn::default).take(TURNS).collect(),
        stopped: Mutex::default(),
        is_broken_off: AtomicBool::new(false),
    };
    operator.ends_in_order.store(true, Relaxed);
    let begun = Instant::now();
    let at_once = usize::from(args.concurrency.unwrap_or(AT_ONCE));
    let told = batch.begun(lines, args.rate).map(|line| batch.one(line)).buffered(at_once);
    let count = batch.tell(told, of, begun).await?;
    batch.end(&count, begun.elapsed())
}

async fn rehearse(
    mut lines: mpsc::Receiver<Result<Line, BadLine>>,
    app_id: AppId,
    journal: &Journal,
    by_number: bool,
    operator: &Operator,
) -> Result<Exit, Failure> {
    let (mut requests, mut is_bad) = (Vec::new(), false);
    while let Some(line) = lines.recv().await {
        match line.and_then(|line| request(line, app_id, journal, by_number, operator)) {
            Ok(request) => requests.push(operator.rehearsed::<SendMessage>(&request)),
            Err(BadLine { number, cause }) => {
                is_bad = true;
                operator.console.error(&format!("line {number}: {cause}"));
            }
        }
    }
    operator.rehearse(&requests)?;
    Ok(if is_bad { Exit::Partly } else { Exit::Done })
}

/// What is asked for a line. Its id, unless it has one, follows from the batch, the words and, where two lines of the same
/// words are two messages, the number.
fn request(
    line: Line,
    app_id: AppId,
    journal: &Journal,
    by_number: bool,
    operator: &Operator,
) -> Result<SendMessageRequest, BadLine> {
    let Line { number, user, message, msg_id, from } = line;
    let from = from.or_else(|| operator.settings.acting.clone());
    let msg_id = match msg_id {
        Some(id) => id,
        None => {
            let number = if by_number { number } else { 0 };
            let sender = from.as_ref().map(ToString::to_string).unwrap_or_default();
            let words = format!("{number}\0{sender}\0{user}\0{message}");
            let id = Uuid::new_v5(&journal.batch, words.as_bytes()).to_string();
            MsgId::new(&id).map_err(|error| BadLine { number, cause: error.to_string() })?
        }
    };
    Ok(SendMessageRequest { app_id, user_id: user, message, msg_id: Some(msg_id), from, kind: None })
}

impl Batch<'_> {
    /// The lines, each not before its time, and none once the batch has stopped.
    fn begun(
        &self,
        lines: mpsc::Receiver<Result<Line, BadLine>>,
        rate: Option<u32>,
    ) -> impl Stream<Item = Result<Line, BadLine>> {
        let pause = rate.map(|rate| Duration::from_secs(1) / rate);
        stream::unfold((lines, Instant::now()), move |(mut lines, due)| async move {
            if self.stopped.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
                return None;
            }
            let next = async {
                let line = lines.recv().await;
                if line.is_some() && pause.is_some() {
                    sleep_until(due).await;
                }
                line
            };
            let line = tokio::select! {
                line = next => line?,
                () = self.operator.stop.notified() => {
                    self.is_broken_off.store(true, Relaxed);
                    return None;
                }
            };
            let Some(pause) = pause else { return Some((line, (lines, due))) };
            // A reader that waited for its source does not make up for it.
            let next = (due + pause).max(Instant::now() - pause);
            Some((line, (lines, next)))
        })
    }

    async fn one(&self, line: Result<Line, BadLine>) -> Told {
        let asked = match line {
            Ok(line) => {
                let number = line.number;
                request(line, self.app_id, &self.journal, self.by_number, self.operator).map(|r| (number, r))
            }
            Err(bad) => Err(bad),
        };
        let (number, request) = match asked {
            Ok(asked) => asked,
            Err(BadLine { number, cause }) => {
                let (error, outcome) = (Some(cause), Outcome::Failed);
                return Told { number, user: None, msg_id: None, outcome, error, code: None };
            }
        };
        let id = request.msg_id.as_ref().map(ToString::to_string).unwrap_or_default();
        let mut told = Told {
            number,
            user: Some(request.user_id.to_string()),
            msg_id: Some(id.clone()),
            outcome: Outcome::Skipped,
            error: None,
            code: None,
        };
        if self.journal.has(&id) {
            return told;
        }
        let _turn = self.turn(&request.user_id).lock().await;
        match self.operator.call::<SendMessage>(&self.http, &request).await {
            Ok(sent) => {
                told.outcome = match (sent.duplicate, sent.send_results, sent.stored) {
                    (true, ..) => Outcome::Repeated,
                    (false, true, _) => Outcome::Delivered,
                    (false, false, true) => Outcome::Stored,
                    (false, false, false) => Outcome::Failed,
                };
                if told.outcome != Outcome::Failed
                    && let Err(error) = self.journal.add(&id)
                {
                    self.stop(Failure::Undone(format!("the journal cannot be written: {error}")));
                }
            }
            Err(failure) => self.failed(failure, &mut told),
        }
        told
    }

    fn turn(&self, user: &UserId) -> &Turn {
        let mut hasher = DefaultHasher::new();
        user.hash(&mut hasher);
        // The remainder is less than their number.
        let at = usize::try_from(hasher.finish() % TURNS as u64).unwrap_or_default();
        &self.turns[at]
    }

    fn failed(&self, failure: Failure, told: &mut Told) {
        let exit = failure.exit();
        told.outcome = if exit == Exit::Unknown { Outcome::Unknown } else { Outcome::Failed };
        told.error = Some(failure.to_string());
        if let Failure::Call { error: chat_client::Error::Refused { code, .. }, .. } = &failure {
            told.code = Some(*code);
        }
        // What is so of one line is so of all.
        if [Exit::Unreachable, Exit::NotAuthenticated, Exit::Usage].contains(&exit)
            || matches!(failure, Failure::Undone(_))
        {
            self.stop(failure);
        }
    }

    fn stop(&self, failure: Failure) {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
    }

    /// Shows what becomes of the lines, and how far it is. A reader who has gone keeps no message from going.
    async fn tell(
        &self,
        told: impl Stream<Item = Told>,
        of: Option<u64>,
        begun: Instant,
    ) -> Result<Count, Failure> {
        let console = &self.operator.console;
        let (mut flow, mut count) = (self.operator.flow(), Count::default());
        let mut told = std::pin::pin!(told);
        let (mut rows, mut look, mut is_read) = (Vec::new(), begun + LOOK, true);
        loop {
            let next = tokio::select! {
                next = told.next() => Some(next),
                () = sleep_until(look) => None,
            };
            match next {
                Some(Some(told)) => {
                    count.add(told.outcome);
                    rows.push(told.row());
                }
                Some(None) => break,
                None => {}
            }
            if rows.len() >= MOST_ROWS || look <= Instant::now() {
                console.progress(None);
                let page = flow.page(report(std::mem::take(&mut rows)))?;
                is_read = is_read && console.flows(&page)?;
                console.progress(Some(&count.progress(of, begun.elapsed())));
                look = Instant::now() + LOOK;
            }
        }
        console.progress(None);
        if is_read && console.flows(&flow.page(report(rows))?)? {
            console.flows(&flow.end(&report(Vec::new()))?)?;
        }
        Ok(count)
    }

    fn end(self, count: &Count, took: Duration) -> Result<Exit, Failure> {
        let console = &self.operator.console;
        console.note(&count.summary(took));
        let stopped = self.stopped.into_inner().unwrap_or_else(PoisonError::into_inner);
        let is_broken_off = self.is_broken_off.into_inner();
        if is_broken_off {
            console.error("interrupted; all that was on its way has been answered");
        }
        if count.missing() > 0 || stopped.is_some() || is_broken_off {
            let batch = self.journal.batch;
            console.note(&format!(
                "batch {batch}: what is missing is sent by the same line with --batch {batch}"
            ));
        }
        match stopped {
            // Nothing was sent, and the reason for it is the reason for all.
            Some(failure) if count.all() == count.missing() => Err(failure),
            Some(failure) => {
                console.error(&format!("the batch was stopped: {failure}"));
                Ok(Exit::Partly)
            }
            None if count.missing() > 0 => Ok(Exit::Partly),
            None => Ok(Exit::Done),
        }
    }
}
