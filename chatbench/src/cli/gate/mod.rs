//! Several runs: compared, kept as a baseline, in turns, searching how much the server can take.
//!
//! Invariant: what is compared and what comes of it are types of `chatbench-result`; here rounds are only played and kept.
//!
//! | module | holds |
//! |---|---|
//! | `files` | rounds and comparisons as files |
//! | `play`, `repeat`, `ab` | running rounds: one after the other, or in turns |
//! | `capacity` | the highest level that holds |

pub mod ab;
pub mod capacity;
pub mod files;
pub mod play;
pub mod repeat;
