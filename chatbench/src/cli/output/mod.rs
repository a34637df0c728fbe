//! Results in files: how they are read, and how they get to their place.
//!
//! Invariant: everything is made by `chatbench-result` of the result as it is written to a `.json` file, so a run's own
//! `--out` and `chatbench report` write the same.
//!
//! | module | holds |
//! |---|---|
//! | `report` | the command `report` |
//! | `read`, `save` | what is read; checked before a run, written after it |

pub mod read;
pub mod report;
pub mod save;
#[cfg(test)]
mod tests;
