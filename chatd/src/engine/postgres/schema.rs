//! The PostgreSQL tables of the ledger, and the way to them from earlier versions of chatd.
//!
//! Invariant: a step that was ever released stays as it is; a change of the tables is a new step. Any number of chatd
//! may start at once, and one of them takes the steps.
//!
//! | table | a row is |
//! |---|---|
//! | `chat_ledger` | how many steps were taken; one row |
//! | `chat_account` | who holds money: `bank`, `wallet:USER` or `escrow:PACKET` of an app, and how many cents |
//! | `chat_transfer` | cents that went from one account to another; never changed, never removed |
//! | `chat_escrow` | a packet: its terms, whose it is, to whom it was offered, how far it got, and when to look at it, Unix ms, until it is paid out and settled |
//! | `chat_secret` | what the names of packets are made with, and since when; one row |
//! | `chat_discard` | a settlement that an operator gave up for good: why, what had been wrong, the begin of its text; its place among those of its app, and a digest of all that |
//! | `chat_discarded` | how many rows an app has in `chat_discard`, and how many of the first have no digest |

use tokio_postgres::Error;

use super::connection::{Connection, described};
use super::settings::Begin;

/// Each leads from the version that is its index to the next one.
const STEPS: &[&str] = &[
    r#"CREATE TABLE chat_account(
        app BIGINT NOT NULL, name TEXT COLLATE "C" NOT NULL,
        balance BIGINT NOT NULL CHECK(balance >= 0 OR name = 'bank'),
        PRIMARY KEY(app, name)) WITH (fillfactor = 80);
    CREATE TABLE chat_transfer(
        number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, app BIGINT NOT NULL, id TEXT COLLATE "C" NOT NULL,
        debit TEXT COLLATE "C" NOT NULL, credit TEXT COLLATE "C" NOT NULL CHECK(credit <> debit),
        amount BIGINT NOT NULL CHECK(amount > 0),
        kind TEXT NOT NULL CHECK(kind IN ('deposit', 'packet', 'grab', 'refund')),
        packet TEXT, time BIGINT NOT NULL, UNIQUE(app, id));
    CREATE INDEX chat_transfer_from ON chat_transfer(app, debit, number);
    CREATE INDEX chat_transfer_to ON chat_transfer(app, credit, number);
    CREATE FUNCTION chat_transfer_stays() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'a transfer never changes and is never removed'; END $$;
    CREATE TRIGGER chat_transfer_stays BEFORE UPDATE OR DELETE ON chat_transfer
        FOR EACH ROW EXECUTE FUNCTION chat_transfer_stays();
    CREATE TRIGGER chat_transfers_stay BEFORE TRUNCATE ON chat_transfer
        FOR EACH STATEMENT EXECUTE FUNCTION chat_transfer_stays();
    CREATE TABLE chat_escrow(
        app BIGINT NOT NULL, packet TEXT COLLATE "C" NOT NULL, terms JSON NOT NULL,
        created BIGINT NOT NULL, expires BIGINT NOT NULL,
        announced BOOLEAN NOT NULL DEFAULT FALSE, closed BOOLEAN NOT NULL DEFAULT FALSE,
        PRIMARY KEY(app, packet));
    CREATE INDEX chat_escrow_open ON chat_escrow(expires) WHERE NOT closed;
    CREATE INDEX chat_escrow_silent ON chat_escrow(expires) WHERE NOT closed AND NOT announced"#,
    "DROP INDEX chat_escrow_open;
    DROP INDEX chat_escrow_silent;
    ALTER TABLE chat_escrow DROP COLUMN closed, ADD COLUMN look BIGINT DEFAULT 0;
    UPDATE chat_escrow AS e SET look = CASE WHEN a.balance > 0 THEN expires END FROM chat_account AS a
        WHERE a.app = e.app AND a.name = 'escrow:' || e.packet AND (announced OR a.balance = 0);
    CREATE INDEX chat_escrow_look ON chat_escrow(look) WHERE look IS NOT NULL",
    r#"ALTER TABLE chat_escrow ADD COLUMN target TEXT COLLATE "C";
    CREATE TABLE chat_secret(secret TEXT NOT NULL, made BIGINT NOT NULL);
    INSERT INTO chat_secret SELECT replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''),
        (extract(epoch FROM now()) * 1000)::bigint;
    CREATE TABLE chat_discard(
        number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, app BIGINT NOT NULL, letter TEXT NOT NULL,
        reason TEXT NOT NULL, cause TEXT NOT NULL, body BYTEA NOT NULL, time BIGINT NOT NULL)"#,
    "ALTER TABLE chat_transfer DROP CONSTRAINT chat_transfer_kind_check, ADD CONSTRAINT chat_transfer_kind_check
        CHECK(kind IN ('deposit', 'withdrawal', 'packet', 'grab', 'refund'));
    CREATE INDEX chat_escrow_created ON chat_escrow(app, created, packet)",
    "ALTER TABLE chat_discard ADD COLUMN place BIGINT, ADD COLUMN digest TEXT;
    UPDATE chat_discard AS d SET place = n.place FROM (SELECT number,
        row_number() OVER (PARTITION BY app ORDER BY number) AS place FROM chat_discard) AS n WHERE n.number = d.number;
    CREATE INDEX chat_discard_place ON chat_discard(app, place);
    CREATE TABLE chat_discarded(app BIGINT PRIMARY KEY, count BIGINT NOT NULL, unsealed BIGINT NOT NULL);
    INSERT INTO chat_discarded SELECT app, count(*), count(*) FROM chat_discard GROUP BY app",
    // Those from before are not counted: most end within a day, and not all of their terms can be read here.
    r#"ALTER TABLE chat_escrow ADD COLUMN sender TEXT COLLATE "C";
    CREATE INDEX chat_escrow_of ON chat_escrow(app, sender) WHERE look IS NOT NULL"#,
];

/// A step may take long.
const BEGIN: Begin = Begin { how: "ISOLATION LEVEL READ COMMITTED", more: "SET LOCAL statement_timeout = 0" };

/// Lock of the database that is held while the tables are made.
const LOCK: i64 = 0x6368_6174_6c65_6467;

/// The schema that has the tables, by the rows of the catalogue: `to_regclass` may still know, from before the wait for
/// the lock, that there is none.
const PRESENT: &str = "SELECT schemaname::text FROM pg_tables
    WHERE tablename = 'chat_ledger' AND schemaname = ANY(current_schemas(FALSE))";

/// Brings the tables to the newest version.
///
/// # Errors
/// A text for the operator.
pub async fn prepare(connection: &mut Connection) -> Result<(), String> {
    bring_up(connection).await.map_err(|failure| match failure {
        Failure::Database(error) => described(&error),
        Failure::Unfit(text) => text,
    })
}

/// Why the tables cannot be used.
enum Failure {
    Database(Error),
    Unfit(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Database(error)
    }
}

async fn bring_up(connection: &mut Connection) -> Result<(), Failure> {
    let encoding = connection.value("SHOW server_encoding").await?;
    if encoding.as_deref() != Some("UTF8") {
        let encoding = encoding.unwrap_or_default();
        return Err(Failure::Unfit(format!("the database has the encoding {encoding}, not UTF8")));
    }
    if connection.value("SELECT current_schema()::text").await?.is_none() {
        let text = "no schema of the search_path exists; create the schema first";
        return Err(Failure::Unfit(text.to_owned()));
    }
    // Taken steps need no right to create tables.
    if taken(connection).await? == STEPS.len() {
        return Ok(());
    }
    connection.transaction(BEGIN).await?;
    connection.batch(&format!("SELECT pg_advisory_xact_lock({LOCK})")).await?;
    let version = taken(connection).await?;
    if version == 0 {
        connection.batch("CREATE TABLE IF NOT EXISTS chat_ledger(version INTEGER NOT NULL)").await?;
        connection.batch("DELETE FROM chat_ledger; INSERT INTO chat_ledger VALUES (0)").await?;
    }
    for step in &STEPS[version..] {
        connection.batch(step).await?;
    }
    connection.batch(&format!("UPDATE chat_ledger SET version = {}", STEPS.len())).await?;
    connection.commit().await?;
    Ok(())
}

/// How many steps were taken.
async fn taken(connection: &mut Connection) -> Result<usize, Failure> {
    let version = match connection.value(PRESENT).await? {
        None => return Ok(0),
        Some(_) => connection.value("SELECT max(version)::text FROM chat_ledger").await?,
    };
    let version = version.and_then(|text| text.parse().ok()).unwrap_or(0);
    let known = STEPS.len();
    if version > known {
        let text = format!("the tables have version {version}, this chatd knows {known}");
        return Err(Failure::Unfit(text));
    }
    Ok(version)
}

impl Connection {
    /// The one text that a query without parameters gives.
    async fn value(&mut self, sql: &'static str) -> Result<Option<String>, Error> {
        self.query(sql, &[]).await?.first().map_or(Ok(None), |row| row.try_get(0))
    }
}
