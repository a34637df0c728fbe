//! Reading what others wrote.
//!
//! Invariant: a part of a result that is not what it should be is as good as absent; it does not make the rest unreadable.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};
use serde_json::Value;

/// A member that may be something else.
///
/// # Errors
/// When the text ends too early.
pub fn member<'de, T, D>(input: D) -> Result<T, D::Error>
where
    T: DeserializeOwned + Default,
    D: Deserializer<'de>,
{
    // Only of a value of JSON are names read as numbers: an untagged enum would not know `{"1011": 2}` as counts by code.
    Ok(T::deserialize(Value::deserialize(input)?).unwrap_or_default())
}

/// A map without the entries that are something else.
///
/// # Errors
/// As [`member`].
pub fn entries<'de, T, D>(input: D) -> Result<BTreeMap<String, T>, D::Error>
where
    T: DeserializeOwned,
    D: Deserializer<'de>,
{
    let all: BTreeMap<String, Value> = member(input)?;
    Ok(all.into_iter().filter_map(|(name, value)| Some((name, T::deserialize(value).ok()?))).collect())
}
