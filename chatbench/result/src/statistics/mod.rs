//! What can be said of two sides whose rounds differ.
//!
//! Invariant: no approximation where counting is possible.

pub mod blocks;
pub mod ranks;
