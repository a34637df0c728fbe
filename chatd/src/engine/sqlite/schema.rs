//! The SQLite tables of the log and what lies beside it, and the way to them from earlier versions of chatd.
//!
//! Invariant: a step that was ever released stays as it is; a change of the tables is a new step.
//!
//! | table | a row is |
//! |---|---|
//! | `conversation` | a log: its epoch, the life of the store in which that began, the epoch the history began with where that is another one, and number and time of the newest entry |
//! | `entry` | a message in a log, who gets no copy, and who joined the group or is gone by it |
//! | `sent` | a message id that may be repeated, and the fingerprint of its message |
//! | `pair` | a user has a one-to-one conversation in which something was said, and a time up to which it stands in their list: that of its newest entry or some later |
//! | `read_state` | how far a user has read a log |
//! | `chat_group` | a group, by the log it owns, and which of those that had its id |
//! | `member` | a user belongs to a group since an entry of its log; to none if that has ended |
//! | `ended` | a log that is no more, under which something still lies; its name is no conversation's |
//! | `app` | an app that was admitted while their number was bounded |
//! | `file` | a file that a message carries or will: of which conversation, whose, until when |
//! | `file_usage` | the bytes of the files of a user, and of an app |
//! | `file_over` | a group that was dismissed and whose files end |
//! | `file_secret` | what addresses of files are signed with; one row |
//! | `relation` | how one user stands to another; the other's view is a row of its own |

use super::migrate::Steps;

/// Each leads from the version that is its index to the next one.
pub const STEPS: &Steps = &[
    "CREATE TABLE conversation(
        id INTEGER PRIMARY KEY, app INTEGER NOT NULL, name TEXT NOT NULL, epoch TEXT NOT NULL,
        head INTEGER NOT NULL, time INTEGER NOT NULL, UNIQUE(app, name)) STRICT;
    CREATE TABLE entry(
        conversation INTEGER NOT NULL, offset INTEGER NOT NULL, time INTEGER NOT NULL, msg_id TEXT NOT NULL,
        members BLOB NOT NULL, PRIMARY KEY(conversation, offset)) STRICT, WITHOUT ROWID;
    CREATE TABLE sent(
        app INTEGER NOT NULL, sender TEXT NOT NULL, msg_id TEXT NOT NULL, offset INTEGER NOT NULL,
        epoch TEXT NOT NULL, time INTEGER NOT NULL, PRIMARY KEY(app, sender, msg_id)) STRICT, WITHOUT ROWID;
    CREATE INDEX sent_by_time ON sent(time);",
    "CREATE TABLE pair(
        app INTEGER NOT NULL, user TEXT NOT NULL, conversation INTEGER NOT NULL,
        PRIMARY KEY(app, user, conversation)) STRICT, WITHOUT ROWID;
    WITH names AS (SELECT id, app, substr(name, 6) AS rest FROM conversation WHERE substr(name, 1, 5) = 'pair' || char(10))
        INSERT INTO pair(app, user, conversation)
        SELECT app, substr(rest, 1, instr(rest, char(10)) - 1), id FROM names
        UNION SELECT app, substr(rest, instr(rest, char(10)) + 1), id FROM names;
    CREATE TABLE read_state(
        conversation INTEGER NOT NULL, user TEXT NOT NULL, offset INTEGER NOT NULL,
        PRIMARY KEY(conversation, user)) STRICT, WITHOUT ROWID;
    CREATE TABLE chat_group(
        conversation INTEGER PRIMARY KEY, app INTEGER NOT NULL, group_id TEXT NOT NULL, name TEXT NOT NULL,
        owner TEXT NOT NULL, member_count INTEGER NOT NULL, UNIQUE(app, group_id)) STRICT;
    CREATE TABLE member(
        conversation INTEGER NOT NULL, user TEXT NOT NULL, app INTEGER NOT NULL, since INTEGER NOT NULL,
        PRIMARY KEY(conversation, user)) STRICT, WITHOUT ROWID;
    CREATE INDEX member_by_user ON member(app, user);
    CREATE TABLE relation(
        app INTEGER NOT NULL, user TEXT NOT NULL, other TEXT NOT NULL, standing INTEGER NOT NULL,
        blocked INTEGER NOT NULL, greeting TEXT, time INTEGER NOT NULL,
        PRIMARY KEY(app, user, other)) STRICT, WITHOUT ROWID;",
    "ALTER TABLE entry ADD COLUMN skip TEXT;
    ALTER TABLE entry ADD COLUMN joined TEXT;
    ALTER TABLE entry ADD COLUMN gone TEXT;",
    "ALTER TABLE conversation ADD COLUMN life TEXT;
    ALTER TABLE conversation ADD COLUMN born TEXT;",
    // An epoch may change with a history; the group it belongs to stays the same.
    "ALTER TABLE chat_group ADD COLUMN incarnation TEXT NOT NULL DEFAULT '';
    UPDATE chat_group SET incarnation = (SELECT epoch FROM conversation AS c WHERE c.id = chat_group.conversation);",
    "ALTER TABLE sent ADD COLUMN fingerprint TEXT;",
    // A page of a user's conversations is found without a look at all of them.
    "ALTER TABLE pair ADD COLUMN time INTEGER NOT NULL DEFAULT 0;
    UPDATE pair SET time = coalesce((SELECT time FROM conversation AS c WHERE c.id = pair.conversation), 0);
    CREATE INDEX pair_by_time ON pair(app, user, time);",
    "CREATE TABLE ended(log INTEGER PRIMARY KEY) STRICT;",
    // Ids are swept in their own order, and a message does not change an index of their times.
    "DROP INDEX sent_by_time;",
    "CREATE TABLE ban(
        app INTEGER NOT NULL, user TEXT NOT NULL, until INTEGER NOT NULL, since INTEGER NOT NULL, reason TEXT NOT NULL,
        PRIMARY KEY(app, user)) STRICT, WITHOUT ROWID;
    CREATE INDEX ban_by_end ON ban(app, until);",
    "CREATE TABLE app(app INTEGER PRIMARY KEY) STRICT;",
    "CREATE TABLE file(
        app INTEGER NOT NULL, id TEXT NOT NULL, place TEXT NOT NULL, incarnation TEXT NOT NULL, owner TEXT NOT NULL,
        bytes INTEGER NOT NULL, ends INTEGER, record TEXT NOT NULL, PRIMARY KEY(app, id)) STRICT, WITHOUT ROWID;
    CREATE INDEX file_by_place ON file(app, place, incarnation);
    CREATE INDEX file_by_end ON file(ends);
    CREATE TABLE file_usage(
        app INTEGER NOT NULL, owner TEXT NOT NULL, bytes INTEGER NOT NULL,
        PRIMARY KEY(app, owner)) STRICT, WITHOUT ROWID;
    CREATE TABLE file_over(
        app INTEGER NOT NULL, place TEXT NOT NULL, incarnation TEXT NOT NULL,
        PRIMARY KEY(app, place, incarnation)) STRICT, WITHOUT ROWID;
    CREATE TABLE file_secret(secret TEXT NOT NULL) STRICT;
    INSERT INTO file_secret VALUES (lower(hex(randomblob(32))));",
];

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::engine::sqlite::migrate::prepare;

    fn version(connection: &Connection) -> usize {
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_file_of_the_first_version_keeps_its_messages_and_learns_its_pairs() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(STEPS[0]).unwrap();
        connection
            .execute_batch(
                "INSERT INTO conversation VALUES
                     (1, 7, 'world', 'e1', 1, 5), (2, 7, 'pair' || char(10) || 'a' || char(10) || '帝:b', 'e2', 3, 6),
                     (3, 7, 'pair' || char(10) || 'c' || char(10) || 'c', 'e3', 1, 7);
                 INSERT INTO entry VALUES (1, 1, 5, 'm', x'31');
                 PRAGMA user_version = 1;",
            )
            .unwrap();
        prepare(&mut connection, STEPS).unwrap();
        prepare(&mut connection, STEPS).unwrap();
        assert_eq!(version(&connection), STEPS.len());
        let mut pairs =
            connection.prepare("SELECT user, conversation, time FROM pair ORDER BY user").unwrap();
        let pairs = pairs.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        let pairs: Vec<(String, i64, i64)> = pairs.map(Result::unwrap).collect();
        assert_eq!(pairs, [("a".to_owned(), 2, 6), ("c".to_owned(), 3, 7), ("帝:b".to_owned(), 2, 6)]);
        let kept: i64 = connection.query_row("SELECT count(*) FROM entry", [], |row| row.get(0)).unwrap();
        assert_eq!(kept, 1);
    }
}
