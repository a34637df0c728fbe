//! The steps of every run: check, connect, settle, send or stay, drain, close; alone or in several processes.
//!
//! Invariant: whatever the scenario, the steps are these, in this order, and every process of a run takes them together.

pub mod arrivals;
pub mod client;
pub mod course;
pub mod crew;
pub mod crowd;
pub mod harvest;
pub mod identity;
pub mod lockstep;
pub mod opening;
pub mod operator;
pub mod posting;
pub mod progress;
pub mod schedule;
pub mod spec;
pub mod stage;
pub mod text;
pub mod traffic;
