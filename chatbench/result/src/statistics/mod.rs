//! What can be said of two sides whose rounds differ.
//!
//! Invariant: no approximation where counting is possible, and the same seed gives the same answer.
//!
//! | module | holds |
//! |---|---|
//! | `blocks` | rounds measured close together, and medians |
//! | `ranks` | the exact rank test and its correction |
//! | `bootstrap` | the interval of a ratio |

pub mod blocks;
pub mod bootstrap;
pub mod ranks;
