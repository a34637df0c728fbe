//! Judging runs against each other: is the second as good as the first, and how much can the server take.
//!
//! Invariant: nothing is called better or worse unless the rounds on both sides are enough to tell.
//!
//! | module | holds |
//! |---|---|
//! | `args` | the command line |
//! | `measure`, `round` | a value by its name; a run as it is compared |
//! | `bootstrap` | the interval |
//! | `judge`, `sides`, `comparison` | from rounds to verdicts |
//! | `text`, `markdown`, `files` | how they are shown and kept |
//! | `play`, `repeat`, `ab` | running rounds: one after the other, or in turns |
//! | `search`, `capacity` | the highest level that holds |

pub mod ab;
pub mod args;
pub mod bootstrap;
pub mod capacity;
pub mod comparison;
pub mod files;
pub mod judge;
pub mod markdown;
pub mod measure;
pub mod play;
pub mod repeat;
pub mod round;
pub mod search;
pub mod sides;
#[cfg(test)]
mod tests;
pub mod text;
