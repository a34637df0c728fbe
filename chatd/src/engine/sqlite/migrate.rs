//! The way of a file's tables from one version of chatd to the next.
//!
//! Invariant: `PRAGMA user_version` names the tables a file has, and both change in one transaction.

use rusqlite::{Connection, TransactionBehavior};

/// SQL texts; each leads from the version that is its index to the next one.
pub(crate) type Steps = [&'static str];

/// Brings the tables to the newest version.
pub(crate) fn prepare(connection: &mut Connection, steps: &Steps) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version = transaction.pragma_query_value(None, "user_version", |row| row.get::<_, usize>(0))?;
    let Some(missing) = steps.get(version..) else {
        let known = steps.len();
        let text = format!("the file has schema version {version}, this chatd knows {known}");
        return Err(rusqlite::Error::InvalidParameterName(text));
    };
    for step in missing {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", steps.len())?;
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_later_version_is_refused_and_left_as_it_was() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        let refused = prepare(&mut connection, &["CREATE TABLE a(b)"]).unwrap_err().to_string();
        assert!(refused.contains("99"), "{refused}");
        let version = connection.pragma_query_value(None, "user_version", |row| row.get::<_, usize>(0));
        assert_eq!(version.unwrap(), 99);
    }
}
