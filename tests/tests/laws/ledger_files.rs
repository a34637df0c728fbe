//! Files the embedded ledger is told to use, good and bad.

use std::path::Path;
use std::sync::Arc;

use chat_tests::broker::HandClock;
use chat_tests::ledger::{balance, endow, holds};
use chatd::engine::sqlite::Place;
use chatd::engine::sqlite::ledger::EmbeddedLedger;

fn open(file: &Path) -> Result<Arc<EmbeddedLedger>, String> {
    EmbeddedLedger::open_file(file, Arc::<HandClock>::default())
}

#[tokio::test]
async fn names_that_sqlite_gives_a_meaning_are_files() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for name in [":memory:", "file:a?mode=memory", "'; --", "帝 \u{1f9e7}", "%00"] {
        let file = directory.path().join(name);
        endow(&*open(&file).expect("a ledger"), "a", 5).await;
        assert!(file.is_file(), "{name}");
        let again = open(&file).expect("a ledger");
        assert_eq!(balance(&*again, "a").await, 5, "{name}");
        holds(&*again).await;
    }
}

#[tokio::test]
async fn what_is_no_ledger_is_refused_and_stays_as_it_is() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let text = directory.path().join("text");
    std::fs::write(&text, "this is not a database, however long one looks at it").expect("written");
    let foreign = directory.path().join("foreign");
    let connection = rusqlite::Connection::open(&foreign).expect("a file");
    connection.execute_batch("CREATE TABLE account(a); PRAGMA user_version = 9").expect("a table");
    drop(connection);
    let before = std::fs::read(&text).expect("read");
    let missing = directory.path().join("missing/ledger");
    for file in
        [&text, &foreign, &missing, directory.path(), Path::new(""), Path::new("/"), Path::new("a\0b")]
    {
        let refused = open(file).err().unwrap_or_else(|| panic!("{} is accepted", file.display()));
        assert!(refused.starts_with("cannot "), "{refused}");
    }
    assert_eq!(std::fs::read(&text).expect("read"), before);
    let version = rusqlite::Connection::open(&foreign).expect("a file");
    let version = version.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0));
    assert_eq!(version, Ok(9));
}

#[tokio::test]
async fn a_data_directory_has_its_own_and_memory_forgets() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (place, kept) in [(Place::Directory(directory.path().to_owned()), 5), (Place::Memory, 0)] {
        let open = || EmbeddedLedger::open(&place, Arc::<HandClock>::default()).expect("a ledger");
        let ledger = open();
        endow(&*ledger, "a", 5).await;
        assert_eq!(balance(&*ledger, "a").await, 5);
        holds(&*ledger).await;
        assert_eq!(balance(&*open(), "a").await, kept);
    }
    assert!(directory.path().join("ledger.sqlite3").is_file());
}
