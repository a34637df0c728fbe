//! What the last write of a database met.
//!
//! Invariant: after a failure it says so until a write succeeds; [`probe`] is one that whoever asks may make.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::Fault;
use super::writer::{Scope, Step};

/// Bytes that a probe writes: as much as the largest message.
const PROBE_BYTES: usize = 16 * 1024;

/// What became of the last write.
#[derive(Debug, Default)]
pub(crate) struct LastWrite {
    failed: AtomicBool,
}

impl LastWrite {
    /// A write ended.
    pub(super) fn met(&self, failure: bool) {
        self.failed.store(failure, Relaxed);
    }

    /// Whether the last write failed.
    pub(super) fn failed(&self) -> bool {
        self.failed.load(Relaxed)
    }
}

/// Writes as much as a message needs, for nothing but to see whether that is possible.
pub(super) fn probe<S: Scope, E: Fault>(step: &mut Step<'_, S>) -> Result<(), E> {
    step.connection
        .execute_batch("CREATE TABLE IF NOT EXISTS probe(id INTEGER PRIMARY KEY, filler BLOB) STRICT")?;
    step.connection.execute("INSERT OR REPLACE INTO probe VALUES (1, randomblob(?1))", [PROBE_BYTES])?;
    Ok(())
}

/// Takes away what a probe wrote.
pub(super) fn forget<S: Scope, E: Fault>(step: &mut Step<'_, S>) -> Result<(), E> {
    Ok(step.connection.execute_batch("DROP TABLE IF EXISTS probe")?)
}

#[cfg(test)]
mod tests {
    use std::fmt::Display;
    use std::sync::Arc;

    use crate::clock::SystemClock;
    use crate::engine::sqlite::writer::Step;
    use crate::engine::sqlite::{Database, Fault, Place, Sync};

    #[derive(Debug)]
    struct Failed;

    impl From<rusqlite::Error> for Failed {
        fn from(_: rusqlite::Error) -> Self {
            Failed
        }
    }

    impl Fault for Failed {
        fn unreachable(_: &dyn Display) -> Self {
            Failed
        }

        fn is_unreachable(&self) -> bool {
            true
        }
    }

    #[tokio::test]
    async fn a_database_that_cannot_be_written_is_not_ready_until_it_can() {
        let tables = &["CREATE TABLE kept(filler BLOB)"];
        let open =
            Database::open(&Place::Memory, "test.sqlite3", Sync::Normal, tables, (), Arc::new(SystemClock));
        let database = open.unwrap();
        let change = async |sql: &'static str| {
            let work = move |step: &mut Step<'_, ()>| Ok::<_, Failed>(step.connection.execute_batch(sql)?);
            database.change(work).await
        };
        let ready = async || database.ready::<Failed>().await;
        assert!(ready().await.is_ok());
        change("PRAGMA max_page_count = 4").await.unwrap();
        change("INSERT INTO kept VALUES (randomblob(100000))").await.unwrap_err();
        assert!(ready().await.is_err());
        assert!(ready().await.is_err(), "asking alone changes nothing");
        change("PRAGMA max_page_count = 12").await.unwrap();
        change("INSERT INTO kept VALUES (randomblob(100000))").await.unwrap_err();
        assert!(ready().await.is_ok(), "there is room for a message");
        let left = "SELECT count(*) FROM sqlite_schema WHERE name = 'probe'";
        let left = move |tables: &rusqlite::Connection| {
            Ok::<_, Failed>(tables.query_row(left, [], |row| row.get(0))?)
        };
        assert_eq!(database.query::<i64, _, _>(left).await.unwrap(), 0);
    }
}
