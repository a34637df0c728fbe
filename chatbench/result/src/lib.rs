//! What came of a run: the result as a type, what follows from it, and how it is shown.
//!
//! Invariant: nothing here runs, waits or opens anything; the same result gives the same text.
//!
//! | module | holds |
//! |---|---|
//! | [`model`] | the result as it is written and read, member by member |
//! | [`verdict`] | how a run ended |
//! | [`measure`], [`threshold`] | a value by its name; the conditions on it |
//! | [`statistics`] | blocks of rounds, the exact rank test, the bootstrap |
//! | [`compare`] | rounds, sides, verdicts on each metric |
//! | [`search`], [`capacity`] | the highest level that holds, found with few rounds; what came of looking for it |
//! | [`output`] | how it is shown, format by format |
//! | [`hdr`], [`units`], [`moment`] | distributions, rates and numbers, moments as text |
//! | [`escape`], [`fold`] | text without a meaning in XML, HTML and Markdown; sentences in the lines of a terminal |

pub mod capacity;
pub mod compare;
pub mod escape;
pub mod fold;
pub mod hdr;
pub mod measure;
pub mod model;
pub mod moment;
pub mod output;
pub mod search;
pub mod statistics;
pub mod threshold;
pub mod units;
pub mod verdict;
