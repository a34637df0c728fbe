//! The one thread that writes: it takes what waits, runs it in one transaction, commits, publishes, and answers.
//!
//! Invariant: what a refused or failed job did is undone and what the others did is not; nothing is published or
//! answered before the commit, and events leave in commit order.

use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::Fault;
use super::last_write::LastWrite;
use crate::clock::Clock;

/// Jobs committed together at most.
const GROUP_COMMIT: usize = 200;

/// What the jobs of one database have besides its tables.
pub(crate) trait Scope: Send + 'static {
    /// What a job tells others once it is committed.
    type Event: Send;
    /// Tells it. Called on the writer's thread, in the order of commits.
    fn publish(&self, event: Self::Event);
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
    /// Whether the store failed it; a refusal by a rule is none.
    fn failed(&self) -> bool;
    /// Tells the caller, after the commit or with the reason why there was none.
    fn answer(self: Box<Self>, failed: Option<&str>);
}

struct Call<W, T, E> {
    work: Option<W>,
    result: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, E>>,
}

/// A job and where its answer will be.
pub(crate) fn job<S, T, E, W>(work: W) -> (Box<dyn Job<S>>, oneshot::Receiver<Result<T, E>>)
where
    S: Scope,
    T: Send + 'static,
    E: Fault,
    W: FnOnce(&mut Step<'_, S>) -> Result<T, E> + Send + 'static,
{
    let (answer, answered) = oneshot::channel();
    (Box::new(Call { work: Some(work), result: None, answer }), answered)
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
    let mut batch = Vec::with_capacity(GROUP_COMMIT);
    while jobs.blocking_recv_many(&mut batch, GROUP_COMMIT) > 0 {
        match commit(&mut connection, &mut batch, scope, clock.now_ms()) {
            Ok(events) => {
                last_write.met(batch.iter().any(|job| job.failed()));
                for (job, events) in batch.drain(..).zip(events) {
                    events.into_iter().for_each(|event| scope.publish(event));
                    job.answer(None);
                }
            }
            Err(error) => {
                tracing::error!(%error, "a transaction could not be committed");
                let reason = error.to_string();
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

/// The events of each job.
pub(crate) fn commit<S: Scope>(
    connection: &mut Connection,
    batch: &mut [Box<dyn Job<S>>],
    scope: &S,
    now_ms: u64,
) -> rusqlite::Result<Vec<Vec<S::Event>>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut events = Vec::with_capacity(batch.len());
    for job in batch {
        transaction.prepare_cached("SAVEPOINT job")?.execute([])?;
        let mut step = Step { connection: &transaction, now_ms, scope, events: Vec::new() };
        if !job.run(&mut step) {
            step.events.clear();
            // Errors such as a full disk end the whole transaction, and then this fails as it should.
            transaction.prepare_cached("ROLLBACK TO job")?.execute([])?;
        }
        let published = step.events;
        transaction.prepare_cached("RELEASE job")?.execute([])?;
        events.push(published);
    }
    transaction.commit()?;
    Ok(events)
}

#[cfg(test)]
mod tests {
    use std::fmt::Display;

    use super::*;

    #[derive(Debug)]
    struct Refused;

    impl From<rusqlite::Error> for Refused {
        fn from(_: rusqlite::Error) -> Self {
            Refused
        }
    }

    impl Fault for Refused {
        fn unreachable(_: &dyn Display) -> Self {
            Refused
        }

        fn is_unreachable(&self) -> bool {
            true
        }
    }

    /// Publishes numbers, to nobody.
    struct Numbers;

    impl Scope for Numbers {
        type Event = i64;
        fn publish(&self, _: i64) {}
    }

    /// Writes a row, publishes it, and then succeeds, is refused, or fails in SQL.
    fn writes(id: i64, end: Option<&'static str>) -> Box<dyn Job<Numbers>> {
        let work = move |step: &mut Step<'_, Numbers>| {
            step.connection.execute("INSERT INTO kept VALUES (?1)", [id])?;
            step.publish(id);
            match end {
                None => Ok(()),
                Some("") => Err(Refused),
                Some(sql) => Ok(step.connection.execute_batch(sql)?),
            }
        };
        job(work).0
    }

    fn tables() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE kept(id INTEGER UNIQUE)").unwrap();
        connection
    }

    fn rows(connection: &Connection) -> Vec<i64> {
        let mut rows = connection.prepare("SELECT id FROM kept ORDER BY 1").unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn what_fails_leaves_nothing_and_the_others_stay() {
        let mut connection = tables();
        let repeated_key = "INSERT INTO kept VALUES (1)";
        let mut batch =
            [writes(1, None), writes(2, Some("")), writes(3, Some(repeated_key)), writes(4, None)];
        let events = commit(&mut connection, &mut batch, &Numbers, 0).unwrap();
        assert_eq!(events, [vec![1], vec![], vec![], vec![4]]);
        assert_eq!(rows(&connection), [1, 4]);
    }

    #[test]
    fn a_transaction_that_was_ended_commits_nothing() {
        let mut connection = tables();
        let mut batch = [writes(1, None), writes(2, Some("ROLLBACK; no statement")), writes(3, None)];
        assert!(commit(&mut connection, &mut batch, &Numbers, 0).is_err());
        assert_eq!(rows(&connection), [0_i64; 0]);
    }
}
