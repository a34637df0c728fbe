//! One connection to a PostgreSQL server, or to a pooler before it.
//!
//! Invariant: after an answer that was not seen to its end, or that was the last one, a connection is of no more use.
//! Behind a pooler that gives each transaction another session nothing is kept in a session: a statement has no name,
//! and what it is to be done under is said in its transaction.

use std::collections::HashMap;
use std::error::Error as _;
use std::fmt::Write as _;

use futures_util::future::join3;
use tokio::task::JoinHandle;
use tokio_postgres::error::{Severity, SqlState};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Error, Row, SimpleQueryMessage, Statement};

use super::parameters::typed;
use super::settings::{self, Begin};
use super::tls::Tls;

/// A statement that stands alone where each transaction has another session.
const ALONE: Begin = Begin { how: "ISOLATION LEVEL READ COMMITTED", more: "" };
/// Which session of which server it is.
const SESSION: &str = "SELECT pg_backend_pid()::text || ' since ' || pg_postmaster_start_time()::text";

/// What the server or the driver says, with its reasons.
pub fn described(error: &Error) -> String {
    if let Some(said) = error.as_db_error() {
        let mut text = format!("{} ({})", said.message(), said.code().code());
        // No statement of this session has that name, or another one has it.
        let of_others = [&SqlState::INVALID_SQL_STATEMENT_NAME, &SqlState::DUPLICATE_PSTATEMENT];
        if of_others.contains(&said.code()) {
            text.push_str("; ");
            text.push_str(settings::POOLED);
        }
        return text;
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(reason) = cause {
        // Writing to a string does not fail.
        let _ = write!(text, ": {reason}");
        cause = reason.source();
    }
    text
}

/// Whether the server is still there for this connection: it answered, and did not end it with that.
fn is_answer(error: &Error) -> bool {
    let ends = |severity| matches!(severity, Severity::Fatal | Severity::Panic);
    // A pooler says it in a text only.
    error
        .as_db_error()
        .is_some_and(|said| said.severity() != "FATAL" && !said.parsed_severity().is_some_and(ends))
}

/// A statement that the server is ready for.
pub enum Ready {
    /// By the name that it has in this session.
    Named(Statement),
    /// By its text.
    Text(&'static str),
}

/// A connection.
pub struct Connection {
    client: Client,
    driver: JoinHandle<()>,
    statements: HashMap<&'static str, Statement>,
    /// Each transaction has another session.
    is_pooled: bool,
    /// Something was begun whose end was not seen.
    busy: bool,
    /// Between [`Connection::beginning`] and the end of the transaction.
    in_transaction: bool,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // It would wait for answers that nobody wants any more.
        self.driver.abort();
    }
}

impl Connection {
    /// Dials a server, and says nothing to it yet.
    ///
    /// # Errors
    /// When it takes no connection.
    pub async fn dial(config: &Config, is_pooled: bool) -> Result<Self, Error> {
        let (client, connection) = config.connect(Tls).await?;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::warn!(error = %described(&error), "a connection to PostgreSQL ended");
            }
        });
        let (statements, busy, in_transaction) = Default::default();
        Ok(Self { client, driver, statements, is_pooled, busy, in_transaction })
    }

    /// Says what all statements are to be done under, where the session is this connection's own.
    ///
    /// # Errors
    /// When the server refuses, or is lost.
    pub async fn set_up(&mut self) -> Result<(), Error> {
        if self.is_pooled { Ok(()) } else { self.batch(settings::OF_A_SESSION).await }
    }

    /// The session of the server that does what this connection says now.
    ///
    /// # Errors
    /// When the server refuses, or is lost.
    pub async fn session(&mut self) -> Result<Option<String>, Error> {
        self.busy = true;
        let result = self.client.simple_query(SESSION).await;
        let found = self.ended(result)?;
        Ok(found.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        }))
    }

    /// Whether it may be used again.
    pub fn is_usable(&self) -> bool {
        !self.busy && !self.in_transaction && !self.client.is_closed()
    }

    /// What ends with an answer of the server leaves the connection usable, be it a refusal.
    fn ended<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        self.busy = result.as_ref().is_err_and(|error| !is_answer(error));
        result
    }

    /// Statements without parameters.
    pub async fn batch(&mut self, sql: &str) -> Result<(), Error> {
        self.busy = true;
        let result = self.client.batch_execute(sql).await;
        self.ended(result)
    }

    /// The rows of a statement, which is prepared when it comes for the first time.
    pub async fn query(
        &mut self,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        let statement = self.prepared(sql).await?;
        self.busy = true;
        let result = match self.is_pooled && !self.in_transaction {
            true => self.alone(&statement, values).await,
            false => self.rows(&statement, values).await,
        };
        self.ended(result)
    }

    /// The statement, ready.
    pub async fn prepared(&mut self, sql: &'static str) -> Result<Ready, Error> {
        if self.is_pooled {
            return Ok(Ready::Text(sql));
        }
        if let Some(statement) = self.statements.get(sql) {
            return Ok(Ready::Named(statement.clone()));
        }
        self.busy = true;
        let result = self.client.prepare(sql).await;
        let statement = self.ended(result)?;
        self.statements.insert(sql, statement.clone());
        Ok(Ready::Named(statement))
    }

    /// The rows of a statement, for several at once: the caller sees to it that the end of each is seen.
    pub async fn rows(&self, statement: &Ready, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
        match statement {
            Ready::Named(statement) => self.client.query(statement, values).await,
            Ready::Text(sql) => self.client.query_typed(sql, &typed(values)).await,
        }
    }

    /// The same in a transaction of its own: one journey to the server, as without one.
    async fn alone(&self, statement: &Ready, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
        let (begun, rows, committed) = join3(
            self.begin(ALONE),
            self.rows(statement, values),
            // After a refusal it undoes what there is, and says so.
            self.client.batch_execute("COMMIT"),
        )
        .await;
        begun?;
        let rows = rows?;
        committed.map(|()| rows)
    }

    /// Begins a transaction that was announced by [`Connection::beginning`], for several statements at once.
    pub async fn begin(&self, begin: Begin) -> Result<(), Error> {
        self.client.batch_execute(&begin.text(self.is_pooled)).await
    }

    /// Says that from here on the connection is in a transaction, whoever begins it.
    pub fn beginning(&mut self) {
        self.in_transaction = true;
    }

    /// Begins a transaction.
    pub async fn transaction(&mut self, begin: Begin) -> Result<(), Error> {
        self.beginning();
        self.batch(&begin.text(self.is_pooled)).await
    }

    /// Makes what was done stay.
    pub async fn commit(&mut self) -> Result<(), Error> {
        self.batch("COMMIT").await?;
        self.in_transaction = false;
        Ok(())
    }

    /// Undoes what was done.
    pub async fn rollback(&mut self) -> Result<(), Error> {
        self.batch("ROLLBACK").await?;
        self.in_transaction = false;
        Ok(())
    }
}
