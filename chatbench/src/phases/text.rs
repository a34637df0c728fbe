//! Values as the text that the command line reads too, on their way to another process.
//!
//! Invariant: what is read equals what was written, fractions included, of which JSON may lose the last bit.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::Serializer;

/// Writes any number of them.
///
/// # Errors
/// When there is no room for the text.
pub fn serialize<'a, T, S>(values: &'a T, output: S) -> Result<S::Ok, S::Error>
where
    &'a T: IntoIterator<Item: Display>,
    S: Serializer,
{
    output.collect_seq(values.into_iter().map(|value| value.to_string()))
}

/// Reads as many as the place has room for: all of a list, the only one of an option.
///
/// # Errors
/// When a text is none of these.
pub fn deserialize<'de, T, D>(input: D) -> Result<T, D::Error>
where
    T: Several<Item: FromStr<Err: Display>>,
    D: Deserializer<'de>,
{
    let texts = Vec::<String>::deserialize(input)?;
    let values = texts.iter().map(|text| text.parse()).collect::<Result<Vec<_>, _>>();
    values.map(T::of).map_err(D::Error::custom)
}

/// What has room for any number of values, or for one.
pub trait Several: IntoIterator {
    /// Of these.
    fn of(values: Vec<Self::Item>) -> Self;
}

impl<V> Several for Vec<V> {
    fn of(values: Vec<V>) -> Self {
        values
    }
}

impl<V> Several for Option<V> {
    fn of(values: Vec<V>) -> Self {
        values.into_iter().next()
    }
}

/// The same for a single value that is always there.
pub mod one {
    use super::{Deserialize, Deserializer, Display, Error, FromStr, Serializer};

    /// Writes it.
    ///
    /// # Errors
    /// When there is no room for the text.
    pub fn serialize<T: Display, S: Serializer>(value: &T, output: S) -> Result<S::Ok, S::Error> {
        output.collect_str(value)
    }

    /// Reads it.
    ///
    /// # Errors
    /// When the text is none of these.
    pub fn deserialize<'de, T, D>(input: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(input)?.parse().map_err(D::Error::custom)
    }
}
