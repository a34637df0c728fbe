//! The result of a run, made of what its parts brought in.
//!
//! Invariant: what is written is a `RunResult` of `chatbench-result`, and nothing beside it.

pub mod chaos;
pub mod environment;
pub mod processes;
pub mod rates;
pub mod result;
pub mod validity;
