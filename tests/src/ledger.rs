//! Ledgers under test, and what is put into them.
//!
//! Invariant: a test names laws, never an adapter; what differs between adapters is decided here.

use std::path::PathBuf;
use std::sync::Arc;

use chat_protocol::red_packet::Mode;
use chat_protocol::wallet::Transfer;
use chat_protocol::{AppId, MsgId, PacketId, Target, TransferId};
use chatd::engine::postgres::PostgresLedger;
use chatd::engine::sqlite::ledger::EmbeddedLedger;
use chatd::money::Terms;
use chatd::money::ledger::{Cashed, Escrow, Funded, Ledger, LedgerError, Posted};
use chatd::money::settlement::{Kind, Settlement};
use tempfile::TempDir;

use crate::broker::{APP, HandClock, user};
use crate::money::cents;
use crate::pgbouncer::PgBouncer;
use crate::postgres_server::PostgresServer;

/// Runs each law against each adapter: `embedded::…`, `postgres::…`, and `pooled::…`, which is the latter by way of a
/// pgbouncer in transaction mode.
#[macro_export]
macro_rules! ledger_laws {
    ($($law:ident),+ $(,)?) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                super::$law($crate::ledger::Vault::embedded()).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                super::$law($crate::ledger::Vault::postgres().await).await;
            })+
        }
        mod pooled {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                super::$law($crate::ledger::Vault::pooled().await).await;
            })+
        }
    };
}

/// One database, which any number of ledgers use.
pub struct Vault {
    /// The time of all ledgers.
    pub clock: Arc<HandClock>,
    store: Store,
}

enum Store {
    Embedded(TempDir),
    /// A database of the shared server, and whether its ledgers come by way of pgbouncer.
    Postgres(String, bool),
}

impl Vault {
    /// A file of its own.
    ///
    /// # Panics
    /// When there is no place for temporary files.
    #[must_use]
    pub fn embedded() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self { clock: Arc::default(), store: Store::Embedded(directory) }
    }

    /// A database of its own.
    pub async fn postgres() -> Self {
        let database = PostgresServer::shared().await.database().await;
        Self { clock: Arc::default(), store: Store::Postgres(database, false) }
    }

    /// A database of its own, of which the ledgers have two sessions together.
    pub async fn pooled() -> Self {
        let database = PostgresServer::shared().await.database().await;
        Self { clock: Arc::default(), store: Store::Postgres(database, true) }
    }

    /// A ledger as one more chatd would open it.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub async fn ledger(&self) -> Arc<dyn Ledger> {
        match &self.store {
            Store::Embedded(directory) => {
                EmbeddedLedger::open_file(&file(directory), self.clock.clone()).expect("a ledger")
            }
            Store::Postgres(database, is_pooled) => {
                let url = match is_pooled {
                    true => PgBouncer::shared().await.url(database).await,
                    false => PostgresServer::shared().await.url(database, None),
                };
                PostgresLedger::connect(&url, self.clock.clone()).await.expect("a ledger")
            }
        }
    }

    /// A connection to the database, which must be a PostgreSQL.
    ///
    /// # Panics
    /// When it is none, or does not take one.
    pub async fn client(&self) -> tokio_postgres::Client {
        let Store::Postgres(database, _) = &self.store else { panic!("no PostgreSQL") };
        PostgresServer::shared().await.client(database).await.expect("a connection")
    }

    /// Runs SQL on the database behind the ledgers' backs; `#` in it begins the name of a table. How many rows it
    /// changed, or why the database refused.
    ///
    /// # Errors
    /// What the database says.
    ///
    /// # Panics
    /// When the database cannot be opened.
    pub async fn tamper(&self, sql: &str) -> Result<u64, String> {
        match &self.store {
            Store::Embedded(directory) => {
                let connection = rusqlite::Connection::open(file(directory)).expect("a file");
                connection.busy_timeout(crate::wait::SOON).expect("a time");
                let changed = connection.execute(&sql.replace('#', ""), []);
                changed.map(|rows| rows as u64).map_err(|error| error.to_string())
            }
            Store::Postgres(database, _) => {
                let client = PostgresServer::shared().await.client(database).await.expect("a connection");
                let changed = client.execute(&sql.replace('#', "chat_"), &[]).await;
                changed.map_err(|error| format!("{error:?}"))
            }
        }
    }

    /// Takes away what later versions added to escrows: who sent, and in which order they were created.
    ///
    /// # Panics
    /// When it is not there.
    pub async fn forget_senders(&self) {
        for step in
            ["DROP INDEX #escrow_created", "DROP INDEX #escrow_of", "ALTER TABLE #escrow DROP COLUMN sender"]
        {
            self.tamper(step).await.expect("changed");
        }
    }
}

fn file(directory: &TempDir) -> PathBuf {
    directory.path().join("money.sqlite3")
}

/// A settlement was applied by this call.
pub const NOW: Result<Posted, LedgerError> = Ok(Posted::Now);
/// A settlement was applied by an earlier call.
pub const BEFORE: Result<Posted, LedgerError> = Ok(Posted::Before);

/// A packet of the tests' app: from whom, how much, in how many shares.
///
/// # Panics
/// When a name is not valid.
#[must_use]
pub fn terms(id: &str, sender: &str, total: u64) -> Terms {
    Terms {
        app: APP,
        packet: packet(id),
        sender: user(sender),
        target: Target::World,
        incarnation: None,
        total: cents(total),
        count: 10,
        mode: Mode::Lucky,
        greeting: "it's \"yours\" \u{1f9e7}\n\0".to_owned(),
        msg_id: MsgId::new(id).expect("a valid id"),
        created_ms: 1000,
        expires_ms: 2000,
    }
}

/// A packet by name.
///
/// # Panics
/// When the name is not valid.
#[must_use]
pub fn packet(id: &str) -> PacketId {
    PacketId::new(id).expect("a valid id")
}

/// A winner's share.
#[must_use]
pub fn grab(id: &str, winner: &str, amount: u64) -> Settlement {
    Settlement {
        app: APP,
        packet: packet(id),
        kind: Kind::Grab,
        user: user(winner),
        amount: cents(amount),
        time_ms: 1500,
    }
}

/// What nobody took.
#[must_use]
pub fn refund(id: &str, sender: &str, amount: u64) -> Settlement {
    Settlement { kind: Kind::Refund, ..grab(id, sender, amount) }
}

/// What came of a deposit or a withdrawal after which so many cents are in the wallet.
///
/// # Errors
/// Never; it is what the ledger would answer.
pub fn cashed(posted: Posted, balance: u64) -> Result<Cashed, LedgerError> {
    Ok(Cashed { posted, balance: cents(balance) })
}

/// Puts money into a wallet, under an id that says so.
///
/// # Panics
/// When it cannot be.
pub async fn endow(ledger: &dyn Ledger, name: &str, amount: u64) {
    let id = TransferId::new(&format!("to {name}")).expect("a valid id");
    ledger.deposit(APP, &user(name), cents(amount), &id).await.expect("a deposit");
}

/// What a wallet holds.
///
/// # Panics
/// When the ledger does not answer.
pub async fn balance(ledger: &dyn Ledger, name: &str) -> u64 {
    ledger.balance(APP, &user(name)).await.expect("a balance").unsigned()
}

/// Expects that not a cent is missing.
///
/// # Panics
/// When one is.
pub async fn holds(ledger: &dyn Ledger) {
    assert_eq!(check(ledger, APP).await, (0, vec![]));
}

/// The sum of all balances of an app, and the accounts whose balance is not what their transfers say, with how many
/// cents it is off.
///
/// # Panics
/// When the ledger does not answer.
pub async fn check(ledger: &dyn Ledger, app: AppId) -> (i64, Vec<(String, i64)>) {
    let (mut wrong, mut after) = (Vec::new(), String::new());
    loop {
        let page = ledger.accounts(app, &after, 100).await.expect("accounts");
        let Some(last) = page.last() else { break };
        after.clone_from(&last.name);
        let off = page.into_iter().map(|row| (row.name, row.balance.get() - row.moved.get()));
        wrong.extend(off.filter(|(_, off)| *off != 0));
    }
    (ledger.sum(app).await.expect("a sum").get(), wrong)
}

/// Every packet of an app, in the order of their creation.
///
/// # Panics
/// When the ledger does not answer.
pub async fn escrows(ledger: &dyn Ledger, app: AppId) -> Vec<Escrow> {
    let rows = ledger.packets(app, 0, None, 1000).await.expect("listed");
    let mut escrows = Vec::new();
    for row in rows {
        escrows.push(ledger.escrow(app, &packet(&row.packet)).await.expect("a packet"));
    }
    escrows
}

/// A packet of the tests' app.
///
/// # Panics
/// When there is none.
pub async fn escrow(ledger: &dyn Ledger, id: &str) -> Escrow {
    ledger.escrow(APP, &packet(id)).await.expect("a packet")
}

/// A ledger in which `s` gave all of their money into the packet `p`.
///
/// # Panics
/// When they could not.
pub async fn with_packet(vault: &Vault, total: u64) -> Arc<dyn Ledger> {
    let ledger = vault.ledger().await;
    endow(&*ledger, "s", total).await;
    assert_eq!(ledger.fund(&terms("p", "s", total)).await, Ok(Funded::Now));
    ledger
}

/// Every transfer of a wallet, page by page.
///
/// # Panics
/// When the ledger does not answer, or a page is too long.
pub async fn all_transfers(ledger: &dyn Ledger, name: &str, limit: u32) -> Vec<Transfer> {
    let (mut all, mut before) = (Vec::new(), u64::MAX);
    loop {
        let page = ledger.transfers(APP, &user(name), before, limit).await.expect("listed");
        let Some(last) = page.last() else { return all };
        assert!(page.len() <= limit as usize);
        before = last.number;
        all.extend(page);
    }
}
