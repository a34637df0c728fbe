//! The SQLite tables of the ledger, and the way to them from earlier versions of chatd.
//!
//! Invariant: a step that was ever released stays as it is; a change of the tables is a new step.
//!
//! | table | a row is |
//! |---|---|
//! | `account` | who holds money: `bank`, `wallet:USER` or `escrow:PACKET` of an app, and how many cents |
//! | `transfer` | cents that went from one account to another; never changed, never removed |
//! | `escrow` | a packet: its terms as JSON, whose it is, to whom it was offered, how far it got, and when to look at it, Unix ms, until it is paid out and settled |
//! | `secret` | what the names of packets are made with, and since when; one row |
//! | `discard` | a settlement that an operator gave up for good: why, what had been wrong, the begin of its text; its place among those of its app, and a digest of all that |
//! | `discarded` | how many rows an app has in `discard`, and how many of the first have no digest |

use crate::engine::sqlite::migrate::Steps;

/// Each leads from the version that is its index to the next one.
pub const STEPS: &Steps = &[
    "CREATE TABLE account(
        app INTEGER NOT NULL, name TEXT NOT NULL,
        balance INTEGER NOT NULL CHECK(balance >= 0 OR name = 'bank'),
        PRIMARY KEY(app, name)) STRICT, WITHOUT ROWID;
    CREATE TABLE transfer(
        number INTEGER PRIMARY KEY AUTOINCREMENT, app INTEGER NOT NULL, id TEXT NOT NULL,
        debit TEXT NOT NULL, credit TEXT NOT NULL CHECK(credit <> debit),
        amount INTEGER NOT NULL CHECK(amount > 0),
        kind TEXT NOT NULL CHECK(kind IN ('deposit', 'packet', 'grab', 'refund')),
        packet TEXT, time INTEGER NOT NULL, UNIQUE(app, id)) STRICT;
    CREATE INDEX transfer_from ON transfer(app, debit);
    CREATE INDEX transfer_to ON transfer(app, credit);
    CREATE TRIGGER transfer_stays_as_it_is BEFORE UPDATE ON transfer
        BEGIN SELECT RAISE(ABORT, 'a transfer never changes'); END;
    CREATE TRIGGER transfer_stays BEFORE DELETE ON transfer
        BEGIN SELECT RAISE(ABORT, 'a transfer is never removed'); END;
    CREATE TABLE escrow(
        app INTEGER NOT NULL, packet TEXT NOT NULL, terms TEXT NOT NULL,
        created INTEGER NOT NULL, expires INTEGER NOT NULL,
        announced INTEGER NOT NULL DEFAULT 0, closed INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY(app, packet)) STRICT, WITHOUT ROWID;
    CREATE INDEX escrow_open ON escrow(expires) WHERE closed = 0;
    CREATE INDEX escrow_silent ON escrow(expires) WHERE closed = 0 AND announced = 0;",
    "DROP INDEX escrow_open;
    DROP INDEX escrow_silent;
    ALTER TABLE escrow DROP COLUMN closed;
    ALTER TABLE escrow ADD COLUMN look INTEGER DEFAULT 0;
    UPDATE escrow SET look = iif(a.balance > 0, expires, NULL) FROM account AS a
        WHERE a.app = escrow.app AND a.name = 'escrow:' || escrow.packet AND (announced OR a.balance = 0);
    CREATE INDEX escrow_look ON escrow(look) WHERE look IS NOT NULL;",
    "ALTER TABLE escrow ADD COLUMN target TEXT;
    CREATE TABLE secret(secret TEXT NOT NULL, made INTEGER NOT NULL) STRICT;
    INSERT INTO secret VALUES (lower(hex(randomblob(32))), unixepoch() * 1000);
    CREATE TABLE discard(
        number INTEGER PRIMARY KEY AUTOINCREMENT, app INTEGER NOT NULL, letter TEXT NOT NULL,
        reason TEXT NOT NULL, cause TEXT NOT NULL, body BLOB NOT NULL, time INTEGER NOT NULL) STRICT;",
    // SQLite changes no constraint of a table that is there.
    "CREATE TABLE transfer_of_five_kinds(
        number INTEGER PRIMARY KEY AUTOINCREMENT, app INTEGER NOT NULL, id TEXT NOT NULL,
        debit TEXT NOT NULL, credit TEXT NOT NULL CHECK(credit <> debit),
        amount INTEGER NOT NULL CHECK(amount > 0),
        kind TEXT NOT NULL CHECK(kind IN ('deposit', 'withdrawal', 'packet', 'grab', 'refund')),
        packet TEXT, time INTEGER NOT NULL, UNIQUE(app, id)) STRICT;
    INSERT INTO transfer_of_five_kinds SELECT number, app, id, debit, credit, amount, kind, packet, time FROM transfer;
    DROP TABLE transfer;
    ALTER TABLE transfer_of_five_kinds RENAME TO transfer;
    CREATE INDEX transfer_from ON transfer(app, debit);
    CREATE INDEX transfer_to ON transfer(app, credit);
    CREATE TRIGGER transfer_stays_as_it_is BEFORE UPDATE ON transfer
        BEGIN SELECT RAISE(ABORT, 'a transfer never changes'); END;
    CREATE TRIGGER transfer_stays BEFORE DELETE ON transfer
        BEGIN SELECT RAISE(ABORT, 'a transfer is never removed'); END;
    CREATE INDEX escrow_created ON escrow(app, created, packet);",
    "ALTER TABLE discard ADD COLUMN place INTEGER;
    ALTER TABLE discard ADD COLUMN digest TEXT;
    UPDATE discard SET place = n.place FROM (SELECT number AS of,
        row_number() OVER (PARTITION BY app ORDER BY number) AS place FROM discard) AS n WHERE n.of = number;
    CREATE INDEX discard_place ON discard(app, place);
    CREATE TABLE discarded(app INTEGER PRIMARY KEY, count INTEGER NOT NULL, unsealed INTEGER NOT NULL) STRICT;
    INSERT INTO discarded SELECT app, count(*), count(*) FROM discard GROUP BY app;",
    // Whose packets hold money is counted without a look at all of them. Those from before are not counted: most end
    // within a day.
    "ALTER TABLE escrow ADD COLUMN sender TEXT;
    CREATE INDEX escrow_of ON escrow(app, sender) WHERE look IS NOT NULL;",
];
