//! `chatctl top`: what all nodes do, as they tell it themselves, again and again.
//!
//! [`gather`] asks every live node for its metrics, which [`samples`] reads; [`rows`] makes rates of two looks;
//! [`columns`] says what stands where; [`state`] is what a person made of it with the keys; [`view`] and [`details`]
//! draw that; [`words`] are numbers in few letters.
//!
//! Invariant: a node that does not answer keeps its line, which says so; the rest goes on. What a server told is
//! escaped before it is drawn.

pub mod columns;
pub mod details;
pub mod gather;
pub mod rows;
pub mod samples;
pub mod state;
pub mod view;
pub mod words;
