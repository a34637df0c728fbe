//! Results and comparisons as text: for a terminal, a spreadsheet, a plotter, a build server, a reader.
//!
//! Invariant: all of it is made of the result as it is written to a file, so a run and whoever reads its file see the same.
//!
//! | module | holds |
//! |---|---|
//! | `human` | for a person at a terminal |
//! | `findings`, `format` | what the others show; which ending of a file's name means which |
//! | `csv`, `hgrm`, `hlog`, `junit`, `markdown` | one format each |
//! | `html` | the report for a reader |
//! | `beside`, `promises`, `words` | what was counted besides; what every server promises; parts of a result in sentences |

pub mod beside;
pub mod csv;
pub mod findings;
pub mod format;
pub mod hgrm;
pub mod hlog;
pub mod html;
pub mod human;
pub mod junit;
pub mod markdown;
pub mod promises;
#[cfg(test)]
mod tests;
pub mod words;
