//! What jobs of one transaction do to each other.

use std::fmt::Display;

use super::*;
use crate::clock::SystemClock;

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

/// A refusal that is no failure of the store.
#[derive(Debug)]
struct Rule;

impl From<rusqlite::Error> for Rule {
    fn from(error: rusqlite::Error) -> Self {
        panic!("{error}")
    }
}

impl Fault for Rule {
    fn unreachable(reason: &dyn Display) -> Self {
        panic!("{reason}")
    }

    fn is_unreachable(&self) -> bool {
        false
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
    job(work, false).0
}

fn tables() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch("CREATE TABLE kept(id INTEGER UNIQUE)").unwrap();
    connection
}

fn rows_count(connection: &Connection) -> usize {
    connection.query_row("SELECT count(*) FROM kept", [], |row| row.get(0)).unwrap()
}

fn rows(connection: &Connection) -> Vec<i64> {
    let mut rows = connection.prepare("SELECT id FROM kept ORDER BY 1").unwrap();
    rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn what_fails_leaves_nothing_and_the_others_stay() {
    let mut connection = tables();
    let repeated_key = "INSERT INTO kept VALUES (1)";
    let mut batch = [writes(1, None), writes(2, Some("")), writes(3, Some(repeated_key)), writes(4, None)];
    let events = commit(&mut connection, &mut batch, &Numbers, 0, TURN, false).unwrap();
    assert_eq!(events, [vec![1], vec![], vec![], vec![4]]);
    assert_eq!(rows(&connection), [1, 4]);
}

#[test]
fn a_job_that_is_refused_before_it_writes_takes_the_others_along_only_when_the_store_fails() {
    let refused = || job(|_: &mut Step<'_, Numbers>| Err::<(), _>(Rule), true).0;
    let mut connection = tables();
    let mut batch = [writes(1, None), refused(), writes(2, None)];
    let events = commit(&mut connection, &mut batch, &Numbers, 0, TURN, false).unwrap();
    assert_eq!((events, rows(&connection)), (vec![vec![1], vec![], vec![2]], vec![1, 2]));

    let half = |step: &mut Step<'_, Numbers>| {
        step.connection.execute("INSERT INTO kept VALUES (4)", [])?;
        step.publish(4);
        step.connection.execute("INSERT INTO kept VALUES (1)", [])?;
        Ok::<_, Refused>(())
    };
    let mut batch = [writes(3, None), job(half, true).0, writes(5, None)];
    assert!(commit(&mut connection, &mut batch, &Numbers, 0, TURN, false).is_err());
    assert_eq!(rows(&connection), [1, 2]);
    let mut batch = [writes(3, None), job(half, true).0, writes(5, None)];
    let events = commit(&mut connection, &mut batch, &Numbers, 0, TURN, true).unwrap();
    assert_eq!((events, rows(&connection)), (vec![vec![3], vec![], vec![5]], vec![1, 2, 3, 5]));
}

#[test]
fn what_the_store_fails_takes_the_others_along_once() {
    let (jobs, waiting) = mpsc::channel(9);
    let round = |jobs: &mpsc::Sender<Box<dyn Job<Numbers>>>| {
        let send = |id: i64| {
            let work = move |step: &mut Step<'_, Numbers>| {
                step.connection.execute("INSERT INTO kept VALUES (?1)", [id])?;
                Ok::<_, Refused>(())
            };
            let (job, outcome) = job(work, true);
            jobs.try_send(job).ok().unwrap();
            outcome
        };
        [1, 2, 1].map(send)
    };
    // Waiting before the writer begins, so that they are of one transaction.
    let first = round(&jobs);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let last_write = LastWrite::default();
            run(tables(), waiting, &AtomicBool::new(false), &Numbers, &SystemClock, &last_write);
        });
        assert!(first.into_iter().all(|outcome| outcome.blocking_recv().unwrap().is_err()));
        let second = round(&jobs).map(|outcome| outcome.blocking_recv().unwrap().is_ok());
        assert_eq!(second, [true, true, false]);
        drop(jobs);
    });
}

#[test]
fn jobs_that_take_long_leave_the_others_for_the_next_turn() {
    let one = || {
        let work = |step: &mut Step<'_, Numbers>| {
            step.connection.execute("INSERT INTO kept VALUES (NULL)", [])?;
            Ok::<_, Refused>(())
        };
        job(work, false).0
    };
    let mut connection = tables();
    let mut batch: Vec<_> = std::iter::repeat_with(one).take(3 * LOOK_EVERY).collect();
    let events = commit(&mut connection, &mut batch, &Numbers, 0, Duration::ZERO, false).unwrap();
    assert_eq!(events.len(), LOOK_EVERY);
    assert_eq!(rows_count(&connection), LOOK_EVERY);
}

#[test]
fn a_transaction_that_was_ended_commits_nothing() {
    let mut connection = tables();
    let mut batch = [writes(1, None), writes(2, Some("ROLLBACK; no statement")), writes(3, None)];
    assert!(commit(&mut connection, &mut batch, &Numbers, 0, TURN, false).is_err());
    assert_eq!(rows(&connection), [0_i64; 0]);
}
