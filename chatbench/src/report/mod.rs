//! The result of a run: as JSON for programs, as text for people.
//!
//! Invariant: every number of the JSON has its unit in its name; `schema/result.v1.json` describes all of it.

pub mod books;
pub mod chaos;
pub mod drift;
pub mod environment;
pub mod human;
pub mod processes;
pub mod result;
pub mod series;
pub mod times;
pub mod validity;
