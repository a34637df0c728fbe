//! Amounts of money as people and scripts write them: whole cents without a dot, or two digits behind one.
//!
//! Invariant: an amount is a whole number of cents from the command line to the wire and back; nothing is rounded,
//! because what would need it is refused.

#![deny(clippy::float_arithmetic)]

use std::fmt;
use std::str::FromStr;

use crate::report::Cell;

/// How to write an amount, for the help of every command that takes one.
pub const HOW: &str = "An AMOUNT without a dot is whole cents, with one it has exactly two digits behind it:
1000 and 10.00 are the same. Tables show 10.00, all other formats 1000.";

/// A positive amount, in cents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(u64);

/// The text is not an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}; write whole cents (1000), or two digits behind a dot (10.00)")]
pub struct BadAmount(&'static str);

impl Amount {
    /// Cents.
    #[must_use]
    pub const fn cents(self) -> u64 {
        self.0
    }
}

impl FromStr for Amount {
    type Err = BadAmount;

    fn from_str(text: &str) -> Result<Self, BadAmount> {
        if text.starts_with('-') {
            return Err(BadAmount("must be more than nothing"));
        }
        let (whole, fraction) = match text.split_once('.') {
            Some((whole, fraction)) if fraction.len() == 2 => (whole, fraction),
            Some(_) => return Err(BadAmount("a dot needs exactly two digits behind it")),
            None => (text, ""),
        };
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
            return Err(BadAmount("not an amount"));
        }
        match [whole, fraction].concat().parse() {
            Ok(0) => Err(BadAmount("must be more than nothing")),
            Ok(cents) => Ok(Self(cents)),
            Err(_) => Err(BadAmount("too large")),
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&units(self.0))
    }
}

/// `10.00` of 1000 cents.
#[must_use]
pub fn units(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// `-10.00` of −1000 cents.
#[must_use]
pub fn signed_units(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    format!("{sign}{}", units(cents.unsigned_abs()))
}

/// Cents for programs, `10.00` for people.
#[must_use]
pub fn cell(cents: u64) -> Cell {
    Cell::from(cents).shown_as(units(cents))
}

/// Cents for programs, `-10.00` for people.
#[must_use]
pub fn signed_cell(cents: i64) -> Cell {
    Cell::from(cents).shown_as(signed_units(cents))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_write_it_mean_the_same() {
        for (text, cents) in [
            ("1", 1),
            ("0.01", 1),
            ("1000", 1000),
            ("10.00", 1000),
            ("0.10", 10),
            ("184467440737095516.15", u64::MAX),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(text.parse::<Amount>().unwrap().cents(), cents, "{text}");
        }
        assert_eq!("1000".parse::<Amount>().unwrap().to_string(), "10.00");
    }

    #[test]
    fn everything_else_says_how_to_write_it() {
        for (text, cause) in [
            ("", "not an amount"),
            (".", "a dot needs"),
            (".50", "not an amount"),
            ("10.", "a dot needs"),
            ("10.5", "a dot needs"),
            ("10.005", "a dot needs"),
            ("10.0.0", "a dot needs"),
            ("1.0e", "not an amount"),
            ("0", "must be more than nothing"),
            ("0.00", "must be more than nothing"),
            ("-1", "must be more than nothing"),
            ("-0.01", "must be more than nothing"),
            ("+1", "not an amount"),
            ("1e3", "not an amount"),
            ("NaN", "not an amount"),
            ("inf", "not an amount"),
            ("0x10", "not an amount"),
            ("1,000", "not an amount"),
            ("1_000", "not an amount"),
            (" 1", "not an amount"),
            ("１０", "not an amount"),
            ("10.五", "a dot needs"),
            ("1.é", "not an amount"),
            ("￥10", "not an amount"),
            ("18446744073709551616", "too large"),
            ("184467440737095516.16", "too large"),
        ] {
            let error = text.parse::<Amount>().unwrap_err().to_string();
            assert!(error.starts_with(cause), "{text:?}: {error}");
            assert!(error.ends_with("(10.00)"), "{text:?}: {error}");
        }
    }

    #[test]
    fn amounts_are_shown_with_both_digits() {
        assert_eq!(
            [units(0), units(5), units(100), units(u64::MAX)].join(" "),
            "0.00 0.05 1.00 184467440737095516.15"
        );
        assert_eq!(signed_units(-5), "-0.05");
        assert_eq!(signed_units(i64::MIN), "-92233720368547758.08");
    }
}
