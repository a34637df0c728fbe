//! Amounts of money as values of Redis.
//!
//! Invariant: what is below zero is no amount and is not read as one.

use redis::{FromRedisValue, ParsingError, RedisWrite, ToRedisArgs, ToSingleRedisArg, Value};

use crate::money::Cents;

impl ToRedisArgs for Cents {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        self.get().write_redis_args(out);
    }
}

impl ToSingleRedisArg for Cents {}

impl FromRedisValue for Cents {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let cents = u64::from_redis_value(value)?;
        Cents::try_from(cents).map_err(|error| ParsingError::from(error.to_string()))
    }
}
