//! Results written for other eyes: which format a file has, and how it gets to its place.
//!
//! Invariant: everything is made by `chatbench-result` of the result as it is written to a `.json` file, so a run's own
//! `--out` and `chatbench report` write the same.
//!
//! | module | holds |
//! |---|---|
//! | `args`, `report` | the command `report` |
//! | `format`, `save` | which ending means what; checked before a run, written after it |

pub mod args;
pub mod format;
pub mod report;
pub mod save;
#[cfg(test)]
mod tests;
