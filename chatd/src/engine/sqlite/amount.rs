//! Amounts of money in the columns of the money file.
//!
//! Invariant: what is below zero is no amount and is not read as one. Balances of the ledger, which may be, are read as
//! plain numbers.

use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};

use crate::money::Cents;

impl ToSql for Cents {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.get().into())
    }
}

impl FromSql for Cents {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let cents = value.as_i64()?;
        if cents < 0 { Err(FromSqlError::OutOfRange(cents)) } else { Ok(Cents::new(cents)) }
    }
}
