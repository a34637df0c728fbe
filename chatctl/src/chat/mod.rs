//! `chatctl chat`: a room in the terminal.
//!
//! [`editor`] is the line that is being typed, [`rooms`] what was said where, [`names`] who can be named by a Tab,
//! [`lines`] what a typed line asks for, [`state`] all of it together, and [`view`] how that is drawn.
//!
//! Invariant: what others said is escaped before it is drawn; every message stands in its room once and in its order;
//! what is typed is never lost to a failure: it comes back into the line.

pub mod editor;
pub mod lines;
pub mod names;
pub mod rooms;
pub mod state;
pub mod view;
