//! The file that holds the money of the embedded engine: red packets, and settlements that are not done.
//!
//! Invariant: a change is answered once it survives a power cut, whatever the log's own setting; what a job put into
//! the outbox wakes the receivers after the commit.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::queue::Hold;
use super::writer::{self, Scope};
use super::{Close, Database, Place, Sync};
use crate::clock::Clock;

/// What a job on this file works with.
pub(super) type Step<'a> = writer::Step<'a, Wake>;

/// Wakes who waits for settlements.
pub(super) struct Wake(Arc<Notify>);

impl Scope for Wake {
    type Event = ();

    fn publish(&self, (): ()) {
        self.0.notify_waiters();
    }
}

/// The open file, and who holds which settlement of it.
pub struct MoneyFile {
    pub(super) database: Database<Wake>,
    pub(super) clock: Arc<dyn Clock>,
    /// Something came into the outbox.
    pub(super) queued: Arc<Notify>,
    /// Name of the time since the file was opened; before it may lie an older state.
    pub(super) era: i64,
    /// Settlements that a receiver has, or that wait before one may have them again.
    pub(super) held: Arc<Mutex<HashMap<i64, Hold>>>,
}

impl MoneyFile {
    /// Opens or creates `money.sqlite3`. A directory must be there and held by the engine, so that no other process
    /// opens the file.
    ///
    /// # Errors
    /// A text for the operator when the file cannot be used.
    pub fn open(place: &Place, clock: Arc<dyn Clock>) -> Result<Arc<Self>, String> {
        let queued = Arc::<Notify>::default();
        let wake = Wake(queued.clone());
        let database = Database::open(place, "money.sqlite3", Sync::Full, STEPS, wake, clock.clone())?;
        let era = rand::random_range(1..=i64::MAX);
        Ok(Arc::new(Self { database, clock, queued, era, held: Arc::default() }))
    }
}

#[async_trait]
impl Close for MoneyFile {
    async fn close(&self) {
        self.database.close().await;
    }
}

/// The way of the tables from one version to the next.
const STEPS: &[&str] = &[
    "
    -- Without terms: closed before it was known. Refunded: NULL until it is closed.
    CREATE TABLE packet(
        id INTEGER PRIMARY KEY,
        app INTEGER NOT NULL,
        packet TEXT NOT NULL,
        terms TEXT,
        total INTEGER NOT NULL,
        count INTEGER NOT NULL,
        expires_ms INTEGER NOT NULL,
        taken INTEGER NOT NULL DEFAULT 0,
        grabbed INTEGER NOT NULL DEFAULT 0,
        best INTEGER NOT NULL DEFAULT 0,
        luckiest TEXT,
        refunded INTEGER,
        UNIQUE (app, packet));
    -- In the order they are given out; with a user once taken.
    CREATE TABLE share(
        packet INTEGER NOT NULL,
        number INTEGER NOT NULL,
        amount INTEGER NOT NULL,
        user TEXT,
        time_ms INTEGER,
        PRIMARY KEY (packet, number)) WITHOUT ROWID;
    CREATE UNIQUE INDEX winner ON share(packet, user) WHERE user IS NOT NULL;
    CREATE TABLE outbox(
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        app INTEGER NOT NULL,
        body BLOB NOT NULL);
    CREATE TABLE dead_letter(
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        app INTEGER NOT NULL,
        reason TEXT NOT NULL,
        body BLOB NOT NULL);
    CREATE INDEX dead_letter_by_app ON dead_letter(app, id);
",
    "
    -- In which life of the file the packet was last compared with the ledger.
    ALTER TABLE packet ADD COLUMN era INTEGER NOT NULL DEFAULT 0;
",
    "
    -- A settlement by its parts, with an empty body. Without parts the body has it, as it was written before, or has
    -- something that is none.
    ALTER TABLE outbox ADD COLUMN packet TEXT;
    ALTER TABLE outbox ADD COLUMN kind TEXT;
    ALTER TABLE outbox ADD COLUMN user TEXT;
    ALTER TABLE outbox ADD COLUMN amount INTEGER;
    ALTER TABLE outbox ADD COLUMN time_ms INTEGER;
    ALTER TABLE dead_letter ADD COLUMN packet TEXT;
    ALTER TABLE dead_letter ADD COLUMN kind TEXT;
    ALTER TABLE dead_letter ADD COLUMN user TEXT;
    ALTER TABLE dead_letter ADD COLUMN amount INTEGER;
    ALTER TABLE dead_letter ADD COLUMN time_ms INTEGER;
",
];
