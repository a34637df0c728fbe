//! Runs judged against each other: is the second as good as the first?
//!
//! Invariant: nothing is called better or worse unless the rounds on both sides are enough to tell.
//!
//! | module | holds |
//! |---|---|
//! | `round`, `kept` | a run as it is compared; rounds in a file |
//! | `rules`, `sides` | how to compare; which rounds can be |
//! | `judge`, `comparison` | from rounds to verdicts |
//! | `text`, `markdown` | how they are shown |

pub mod comparison;
pub mod judge;
pub mod kept;
pub mod markdown;
pub mod round;
pub mod rules;
pub mod sides;
#[cfg(test)]
pub(crate) mod tests;
pub mod text;
