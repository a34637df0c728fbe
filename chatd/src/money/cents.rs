//! An amount of money.
//!
//! Invariant: amounts are added and taken away here and nowhere else, and never become a wrong number: what does not
//! fit is none, or the bound that the operation's name says.

use std::fmt;
use std::iter::Sum;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Whole cents. Below zero only where an account is overdrawn or a row of a database cannot be; what travels as text or
/// JSON is an amount that somebody has, gives or gets, and never below zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "i64")]
pub struct Cents(i64);

/// A number of cents that is none: below zero, or more than there can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no amount of cents")]
pub struct NoAmount;

impl Cents {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The least there is.
    pub const ONE: Self = Self(1);
    /// More than anybody can have.
    pub const MAX: Self = Self(i64::MAX);

    /// So many.
    #[must_use]
    pub const fn new(cents: i64) -> Self {
        Self(cents)
    }

    /// How many.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// As answers have it, in which no amount is below zero: what is, is 0.
    #[must_use]
    pub fn unsigned(self) -> u64 {
        u64::try_from(self.0).unwrap_or_default()
    }

    /// Whether there is anything.
    #[must_use]
    pub const fn is_positive(self) -> bool {
        self.0 > 0
    }

    /// Both together; none when the sum does not fit.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// Without the other; none when the difference does not fit.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// Both together, within the bounds of the type.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Becomes more by this, within the bounds of the type.
    pub const fn grow(&mut self, by: Self) {
        *self = self.saturating_add(by);
    }

    /// What is left when so much is gone; nothing where that is more.
    #[must_use]
    pub fn less(self, gone: Self) -> Self {
        Self(self.0.saturating_sub(gone.0).max(0))
    }

    /// In so many equal parts, at least one: each of them, and what is left over, less than a cent for each part.
    #[must_use]
    pub fn divided(self, parts: u32) -> (Self, Self) {
        let parts = i64::from(parts.max(1));
        (Self(self.0.div_euclid(parts)), Self(self.0.rem_euclid(parts)))
    }
}

impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Saturates: together they are at most [`Cents::MAX`].
impl Sum for Cents {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Self::saturating_add)
    }
}

impl<'a> Sum<&'a Cents> for Cents {
    fn sum<I: Iterator<Item = &'a Self>>(amounts: I) -> Self {
        amounts.copied().sum()
    }
}

impl From<u32> for Cents {
    fn from(cents: u32) -> Self {
        Self(cents.into())
    }
}

impl From<Cents> for i64 {
    fn from(cents: Cents) -> Self {
        cents.0
    }
}

impl TryFrom<u64> for Cents {
    type Error = NoAmount;

    fn try_from(cents: u64) -> Result<Self, NoAmount> {
        i64::try_from(cents).map(Self).map_err(|_| NoAmount)
    }
}

/// An amount as stores keep it: a text of digits.
impl FromStr for Cents {
    type Err = NoAmount;

    fn from_str(text: &str) -> Result<Self, NoAmount> {
        text.parse::<u64>().map_err(|_| NoAmount)?.try_into()
    }
}

/// What amounts of either sign come to, exactly, however many they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Total(i128);

impl Total {
    /// With this.
    #[must_use]
    pub fn plus(self, amount: Cents) -> Self {
        Self(self.0.saturating_add(amount.0.into()))
    }

    /// Without this.
    #[must_use]
    pub fn minus(self, amount: Cents) -> Self {
        Self(self.0.saturating_sub(amount.0.into()))
    }

    /// Within the bounds of an amount.
    #[must_use]
    pub fn clamped(self) -> Cents {
        Cents(i64::try_from(self.0).unwrap_or(if self.0 < 0 { i64::MIN } else { i64::MAX }))
    }
}

impl FromIterator<Cents> for Total {
    fn from_iter<I: IntoIterator<Item = Cents>>(amounts: I) -> Self {
        amounts.into_iter().fold(Self::default(), Self::plus)
    }
}

impl PartialEq<Cents> for Total {
    fn eq(&self, amount: &Cents) -> bool {
        self.0 == i128::from(amount.0)
    }
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Cents = Cents::new(i64::MIN);

    #[test]
    fn what_does_not_fit_is_none_or_the_bound() {
        let five = Cents::new(5);
        assert_eq!(Cents::MAX.checked_add(Cents::ONE), None);
        assert_eq!(MIN.checked_sub(Cents::ONE), None);
        assert_eq!(
            (five.checked_add(five), five.checked_sub(five)),
            (Some(Cents::new(10)), Some(Cents::ZERO))
        );
        assert_eq!(Cents::MAX.saturating_add(five), Cents::MAX);
        assert_eq!([Cents::MAX, five].iter().sum::<Cents>(), Cents::MAX);
        assert_eq!((five.less(Cents::ONE), Cents::ONE.less(five)), (Cents::new(4), Cents::ZERO));
        assert_eq!((MIN.unsigned(), Cents::MAX.unsigned()), (0, i64::MAX as u64));
    }

    #[test]
    fn parts_and_what_is_left_over_are_the_whole() {
        assert_eq!(Cents::new(1000).divided(3), (Cents::new(333), Cents::ONE));
        assert_eq!(Cents::new(2).divided(3), (Cents::ZERO, Cents::new(2)));
        assert_eq!(Cents::new(7).divided(0), (Cents::new(7), Cents::ZERO));
    }

    #[test]
    fn a_total_is_exact_although_its_parts_do_not_fit_together() {
        let total: Total = [Cents::MAX, Cents::MAX, MIN].into_iter().collect();
        assert_eq!(total.minus(Cents::MAX), Cents::new(-1));
        assert_eq!(
            (total.plus(Cents::MAX).clamped(), Total::default().plus(MIN).minus(Cents::ONE).clamped()),
            (Cents::MAX, MIN)
        );
        assert_eq!(Total::default().minus(Cents::new(3)).to_string(), "-3");
    }

    #[test]
    fn json_and_texts_are_plain_numbers_that_are_not_below_zero() {
        assert_eq!(serde_json::to_string(&Cents::new(12)).unwrap(), "12");
        assert_eq!(serde_json::from_str::<Cents>("12").unwrap(), Cents::new(12));
        assert_eq!("12".parse(), Ok(Cents::new(12)));
        for none in ["-1", "9223372036854775808", "1.5", "\"1\"", ""] {
            assert!(serde_json::from_str::<Cents>(none).is_err() && none.parse::<Cents>().is_err(), "{none}");
        }
        assert_eq!(format!("{:?} {:>3}", Cents::new(5), Cents::new(7)), "5   7");
    }
}
