//! The one thread that writes: it takes what waits, runs it in one transaction, commits, publishes, and answers.
//!
//! Invariant: what a refused or failed job did is undone and what the others did is not; nothing is published or
//! answered before the commit, and events leave in commit order.

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::Fault;
use crate::broker::{Event, Retention, Topic};
use crate::clock::Clock;

/// Jobs committed together at most.
const GROUP_COMMIT: usize = 200;

/// An event and the topics it goes to.
pub type Published = (Vec<Topic>, Event);

/// What a job works with.
pub struct Step<'a> {
    /// The tables, inside the transaction.
    pub connection: &'a Connection,
    /// The time of the transaction, Unix milliseconds.
    pub now_ms: u64,
    /// How much of each log is kept.
    pub retention: Retention,
    events: Vec<Published>,
}

impl Step<'_> {
    /// Delivers the event once the transaction is committed, if the job does not fail.
    pub fn publish(&mut self, topics: Vec<Topic>, event: Event) {
        self.events.push((topics, event));
    }
}

/// Something to be done by the writer.
pub trait Job: Send {
    /// Does it. False: nothing of it may stay.
    fn run(&mut self, step: &mut Step<'_>) -> bool;
    /// Tells the caller, after the commit or with the reason why there was none.
    fn answer(self: Box<Self>, failed: Option<&str>);
}

struct Call<W, T, E> {
    work: Option<W>,
    result: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, E>>,
}

/// A job and where its answer will be.
pub fn job<T, E, W>(work: W) -> (Box<dyn Job>, oneshot::Receiver<Result<T, E>>)
where
    T: Send + 'static,
    E: Fault,
    W: FnOnce(&mut Step<'_>) -> Result<T, E> + Send + 'static,
{
    let (answer, answered) = oneshot::channel();
    (Box::new(Call { work: Some(work), result: None, answer }), answered)
}

impl<T, E, W> Job for Call<W, T, E>
where
    T: Send,
    E: Fault,
    W: FnOnce(&mut Step<'_>) -> Result<T, E> + Send,
{
    fn run(&mut self, step: &mut Step<'_>) -> bool {
        let Some(work) = self.work.take() else { return false };
        self.result.insert(work(step)).is_ok()
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

/// Runs until nobody can send jobs any more.
pub fn run(
    connection: &mut Connection,
    mut jobs: mpsc::Receiver<Box<dyn Job>>,
    dispatch: &mpsc::Sender<Published>,
    retention: Retention,
    clock: &dyn Clock,
) {
    let mut batch = Vec::with_capacity(GROUP_COMMIT);
    while jobs.blocking_recv_many(&mut batch, GROUP_COMMIT) > 0 {
        match commit(connection, &mut batch, retention, clock.now_ms()) {
            Ok(events) => {
                for (job, events) in batch.drain(..).zip(events) {
                    for event in events {
                        // Fails only when the dispatcher is gone, that is at shutdown.
                        let _ = dispatch.blocking_send(event);
                    }
                    job.answer(None);
                }
            }
            Err(error) => {
                tracing::error!(%error, "the log could not be written");
                let reason = error.to_string();
                batch.drain(..).for_each(|job| job.answer(Some(&reason)));
            }
        }
    }
}

/// The events of each job.
fn commit(
    connection: &mut Connection,
    batch: &mut [Box<dyn Job>],
    retention: Retention,
    now_ms: u64,
) -> rusqlite::Result<Vec<Vec<Published>>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut events = Vec::with_capacity(batch.len());
    for job in batch {
        transaction.prepare_cached("SAVEPOINT job")?.execute([])?;
        let mut step = Step { connection: &transaction, now_ms, retention, events: Vec::new() };
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
    use super::*;
    use bytes::Bytes;
    use chat_protocol::{MsgId, UserId};

    use crate::broker::{BrokerError, Conversation, Notice, Outgoing, REPEAT_WINDOW_MS, Receipt, Skip};

    /// Writes a row, publishes, and then succeeds, is refused, or fails in SQL.
    fn writes(id: i64, end: Option<&'static str>) -> Box<dyn Job> {
        let work = move |step: &mut Step<'_>| {
            step.connection.execute("INSERT INTO entry VALUES (?1, 1, 1, 'm', x'31')", [id])?;
            let notice = Notice { cmd: id.to_string().into(), data: "".into(), skip: Skip::Nobody };
            step.publish(Vec::new(), Event::Notice(notice));
            match end {
                None => Ok(()),
                Some("") => Err(BrokerError::NotMember),
                Some(sql) => Ok(step.connection.execute_batch(sql)?),
            }
        };
        job(work).0
    }

    fn rows(connection: &Connection) -> Vec<i64> {
        let mut rows = connection.prepare("SELECT conversation FROM entry ORDER BY 1").unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    const KEPT: Retention = Retention { max_messages: 1, max_age_ms: 0 };

    #[test]
    fn what_fails_leaves_nothing_and_the_others_stay() {
        let mut connection = super::super::store::memory().unwrap();
        let repeated_key = "INSERT INTO entry VALUES (1, 1, 1, 'm', x'31')";
        let mut batch =
            [writes(1, None), writes(2, Some("")), writes(3, Some(repeated_key)), writes(4, None)];
        let events = commit(&mut connection, &mut batch, KEPT, 0).unwrap();
        assert_eq!(events.iter().map(Vec::len).collect::<Vec<_>>(), [1, 0, 0, 1]);
        assert_eq!(rows(&connection), [1, 4]);
    }

    #[test]
    fn a_transaction_that_was_ended_commits_nothing() {
        let mut connection = super::super::store::memory().unwrap();
        let mut batch = [writes(1, None), writes(2, Some("ROLLBACK; no statement")), writes(3, None)];
        assert!(commit(&mut connection, &mut batch, KEPT, 0).is_err());
        assert_eq!(rows(&connection), [0_i64; 0]);
    }

    #[test]
    fn message_ids_of_short_conversations_are_forgotten_too() {
        let mut connection = super::super::store::memory().unwrap();
        for day in 1..=2 {
            let now_ms = day * 2 * REPEAT_WINDOW_MS;
            for number in 0..100 {
                let sender = UserId::new("a").unwrap();
                let message = Outgoing {
                    conversation: Conversation::Pair(
                        1,
                        sender.clone(),
                        UserId::new(&format!("b{number}")).unwrap(),
                    ),
                    sender,
                    msg_id: MsgId::new(&format!("{day}-{number}")).unwrap(),
                    repeatable: true,
                    members: Bytes::new(),
                    skip: Skip::Nobody,
                };
                let receipt = Receipt { offset: 1, epoch: "e".into(), time: now_ms, duplicate: false };
                let work = move |step: &mut Step<'_>| {
                    super::super::sent::remember(step, &message, &receipt).map_err(BrokerError::from)
                };
                commit(&mut connection, &mut [job(work).0], KEPT, now_ms).unwrap();
            }
        }
        let count = |row: &rusqlite::Row<'_>| row.get::<_, u64>(0);
        let kept = connection.query_row("SELECT count(*) FROM sent", [], count).unwrap();
        assert_eq!(kept, 100, "of the last day only");
    }
}
