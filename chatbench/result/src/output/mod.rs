//! A result as text.
//!
//! Invariant: all of it is made of the result as it is written to a file, so a run and whoever reads its file see the same.
//!
//! | module | holds |
//! |---|---|
//! | `human` | for a person at a terminal |
//! | `beside`, `words` | what was counted besides; parts of a result in sentences, names of times |

pub mod beside;
pub mod human;
pub mod words;
