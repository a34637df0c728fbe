//! The one thread that writes: it takes what waits, runs it in one transaction, commits, publishes, and answers.
//!
//! Invariant: what a refused or failed job did is undone and what the others did is not; nothing is published or
//! answered before the commit, and events leave in commit order.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::Fault;
use super::last_write::LastWrite;
use crate::clock::Clock;

/// Jobs committed together at most. The more there are, the fewer pages are written for each.
const GROUP_COMMIT: usize = 1000;
/// Jobs of one transaction keep those behind them waiting for so long, about.
const TURN: Duration = Duration::from_millis(20);
/// For so long after a job that takes the others along failed, each is undone alone: what failed one fails the next, too.
const CAREFUL: Duration = Duration::from_secs(60);
/// Jobs between two looks at how long it took.
const LOOK_EVERY: usize = 16;

/// What the jobs of one database have besides its tables.
pub(crate) trait Scope: Send + 'static {
    /// What a job tells others once it is committed.
    type Event: Send;
    /// Tells it. Called on the writer's thread, in the order of commits.
    fn publish(&self, event: Self::Event);
    /// What jobs did since the last commit was undone.
    fn undone(&self) {}
}

/// A database whose jobs tell nobody anything.
impl Scope for () {
    type Event = std::convert::Infallible;

    fn publish(&self, event: Self::Event) {
        match event {}
    }
}

/// What a job works with.
pub(crate) struct Step<'a, S: Scope> {
    /// The tables, inside the transaction.
    pub connection: &'a Connection,
    /// The time of the transaction, Unix milliseconds.
    pub now_ms: u64,
    /// What the jobs share.
    pub scope: &'a S,
    events: Vec<S::Event>,
}

impl<S: Scope> Step<'_, S> {
    /// Publishes the event once the transaction is committed, if the job does not fail.
    pub(crate) fn publish(&mut self, event: S::Event) {
        self.events.push(event);
    }
}

/// Something to be done by the writer.
pub(crate) trait Job<S: Scope>: Send {
    /// Does it. False: nothing of it may stay.
    fn run(&mut self, step: &mut Step<'_, S>) -> bool;
    /// Whether it is refused, if at all, before it writes. Then it costs no savepoint, and when the store fails it, the
    /// whole transaction is undone; for a minute after that it is as any other.
    fn refuses_first(&self) -> bool;
    /// Whether the store failed it; a refusal by a rule is none.
    fn failed(&self) -> bool;
    /// Tells the caller, after the commit or with the reason why there was none.
    fn answer(self: Box<Self>, failed: Option<&str>);
}

struct Call<W, T, E> {
    work: Option<W>,
    refuses_first: bool,
    result: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, E>>,
}

/// A job and where its answer will be. For `refuses_first` see [`Job::refuses_first`].
pub(crate) fn job<S, T, E, W>(
    work: W,
    refuses_first: bool,
) -> (Box<dyn Job<S>>, oneshot::Receiver<Result<T, E>>)
where
    S: Scope,
    T: Send + 'static,
    E: Fault,
    W: FnOnce(&mut Step<'_, S>) -> Result<T, E> + Send + 'static,
{
    let (answer, answered) = oneshot::channel();
    (Box::new(Call { work: Some(work), refuses_first, result: None, answer }), answered)
}

impl<S, T, E, W> Job<S> for Call<W, T, E>
where
    S: Scope,
    T: Send,
    E: Fault,
    W: FnOnce(&mut Step<'_, S>) -> Result<T, E> + Send,
{
    fn run(&mut self, step: &mut Step<'_, S>) -> bool {
        let Some(work) = self.work.take() else { return false };
        self.result.insert(work(step)).is_ok()
    }

    fn refuses_first(&self) -> bool {
        self.refuses_first
    }

    fn failed(&self) -> bool {
        self.result.as_ref().is_some_and(|result| result.as_ref().is_err_and(Fault::is_unreachable))
    }

    fn answer(self: Box<Self>, failed: Option<&str>) {
        let result = match (self.result, failed) {
            (Some(Ok(_)) | None, Some(reason)) => Err(E::unreachable(&reason)),
            (Some(result), _) => result,
            (None, None) => return,
        };
        // Nobody listens when the caller gave up; what was done stays done.
        let _ = self.answer.send(result);
    }
}

/// Does nothing; its commit wakes a writer that is to end.
pub(crate) struct Last;

impl<S: Scope> Job<S> for Last {
    fn run(&mut self, _: &mut Step<'_, S>) -> bool {
        true
    }

    fn refuses_first(&self) -> bool {
        true
    }

    fn failed(&self) -> bool {
        false
    }

    fn answer(self: Box<Self>, _: Option<&str>) {}
}

/// Runs until nobody can send jobs any more, or what came before `closing` is done. Then everything is moved into the
/// one file and that is closed.
pub(crate) fn run<S: Scope>(
    mut connection: Connection,
    mut jobs: mpsc::Receiver<Box<dyn Job<S>>>,
    closing: &AtomicBool,
    scope: &S,
    clock: &dyn Clock,
    last_write: &LastWrite,
) {
    let (mut batch, mut careful_until) = (Vec::with_capacity(GROUP_COMMIT), None);
    while !batch.is_empty() || jobs.blocking_recv_many(&mut batch, GROUP_COMMIT) > 0 {
        let careful = careful_until.is_some_and(|until| Instant::now() < until);
        match commit(&mut connection, &mut batch, scope, clock.now_ms(), TURN, careful) {
            Ok(events) => {
                let done = batch.drain(..events.len());
                last_write.met(done.as_slice().iter().any(|job| job.failed()));
                for (job, events) in done.zip(events) {
                    events.into_iter().for_each(|event| scope.publish(event));
                    job.answer(None);
                }
            }
            Err(reason) => {
                tracing::error!(reason, "a transaction could not be committed");
                scope.undone();
                careful_until = Some(Instant::now() + CAREFUL);
                last_write.met(true);
                batch.drain(..).for_each(|job| job.answer(Some(&reason)));
            }
        }
        if closing.load(Ordering::Acquire) {
            jobs.close();
        }
    }
    let moved = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0));
    match moved {
        Ok(false) => {}
        Ok(true) => tracing::warn!("a database is in use by others; it stays with its -wal file"),
        Err(error) => tracing::warn!(%error, "a database could not be moved into its one file"),
    }
    if let Err((_, error)) = connection.close() {
        tracing::warn!(%error, "a database could not be closed");
    }
}

/// Runs jobs for about one `turn` and commits what they did; the events of each that was run. An error undoes all; when
/// `careful`, what the store fails is undone alone.
pub(crate) fn commit<S: Scope>(
    connection: &mut Connection,
    batch: &mut [Box<dyn Job<S>>],
    scope: &S,
    now_ms: u64,
    turn: Duration,
    careful: bool,
) -> Result<Vec<Vec<S::Event>>, String> {
    let begun = Instant::now();
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(text)?;
    let mut events = Vec::with_capacity(batch.len());
    for (number, job) in batch.iter_mut().enumerate() {
        if number > 0 && number.is_multiple_of(LOOK_EVERY) && begun.elapsed() > turn {
            break;
        }
        let mut step = Step { connection: &transaction, now_ms, scope, events: Vec::new() };
        if careful || !job.refuses_first() {
            guarded(&mut **job, &mut step).map_err(text)?;
            if job.refuses_first() && job.failed() {
                scope.undone();
            }
        } else if !job.run(&mut step) && job.failed() {
            return Err("a job of the transaction failed".to_owned());
        }
        events.push(step.events);
    }
    transaction.commit().map_err(text)?;
    Ok(events)
}

/// Runs a job whose refusal undoes what it wrote.
fn guarded<S: Scope>(job: &mut dyn Job<S>, step: &mut Step<'_, S>) -> rusqlite::Result<()> {
    step.connection.prepare_cached("SAVEPOINT job")?.execute([])?;
    if !job.run(step) {
        step.events.clear();
        // Errors such as a full disk end the whole transaction, and then this fails as it should.
        step.connection.prepare_cached("ROLLBACK TO job")?.execute([])?;
    }
    step.connection.prepare_cached("RELEASE job")?.execute([])?;
    Ok(())
}

fn text(error: rusqlite::Error) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests;
