//! Comparisons of made-up rounds, whose truth is known.

mod sessions;
pub mod synthetic;
mod width;
