//! Results written for other eyes: a spreadsheet, a plotter, a build server, a reader.
//!
//! Invariant: everything is made of the result as it is written to a `.json` file, so a run's own `--out` and
//! `chatbench report` write the same.
//!
//! | module | holds |
//! |---|---|
//! | `args`, `report` | the command `report` |
//! | `format`, `save` | which ending means what; checked before a run, written after it |
//! | `findings`, `dig`, `promises` | what there is to show; reading it; what every server promises |
//! | `csv`, `hgrm`, `hlog`, `junit`, `markdown` | one format each |
//! | `html` | the report for a reader |

pub mod args;
pub mod csv;
pub mod dig;
pub mod findings;
pub mod format;
pub mod hgrm;
pub mod hlog;
pub mod html;
pub mod junit;
pub mod markdown;
pub mod promises;
pub mod report;
pub mod save;
#[cfg(test)]
mod tests;
