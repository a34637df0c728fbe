//! What came of a run: the result as a type, what follows from it, and how it is shown.
//!
//! Invariant: nothing here runs, waits or opens a socket; the same result gives the same text.
//!
//! | module | holds |
//! |---|---|
//! | [`model`] | the result as it is written and read, member by member |
//! | [`output`] | how it is shown |
//! | [`verdict`] | how a run ended |
//! | [`statistics`] | ranks and blocks of rounds |
//! | [`hdr`], [`units`], [`moment`] | distributions, durations and numbers, moments as text |
//! | [`escape`], [`fold`] | text without a meaning in XML and HTML; sentences in the lines of a terminal |

pub mod escape;
pub mod fold;
pub mod hdr;
pub mod model;
pub mod moment;
pub mod output;
pub mod statistics;
pub mod units;
pub mod verdict;
