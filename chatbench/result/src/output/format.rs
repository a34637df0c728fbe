//! Which ending of a file's name means which format.
//!
//! Invariant: a name whose format is not known is refused with the list of those that are.

use std::path::Path;

use super::findings::Findings;
use super::{csv, hgrm, hlog, html, junit, markdown};

/// The formats of `--out`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The result itself.
    Json,
    /// The course of the run.
    Csv,
    /// One distribution by percentile.
    Hgrm,
    /// Every distribution.
    Hlog,
    /// Test cases.
    Junit,
    /// A summary.
    Markdown,
    /// A report with charts.
    Html,
}

/// Every format by the end of a file's name.
pub const ENDINGS: [(&str, Format); 7] = [
    (".json", Format::Json),
    (".csv", Format::Csv),
    (".hgrm", Format::Hgrm),
    (".hlog", Format::Hlog),
    (".junit.xml", Format::Junit),
    (".md", Format::Markdown),
    (".html", Format::Html),
];

impl Format {
    /// The format of a file.
    ///
    /// # Errors
    /// A sentence with the known endings.
    pub fn of(path: &Path) -> Result<Self, String> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let found = ENDINGS.iter().find(|(ending, _)| name.len() > ending.len() && name.ends_with(ending));
        found.map(|(_, format)| *format).ok_or_else(|| {
            let known = ENDINGS.map(|(ending, _)| ending).join(", ");
            format!("{} ends in none of the known endings: {known}", path.display())
        })
    }

    /// The whole file of this name.
    ///
    /// # Errors
    /// Why these findings cannot be shown in this format.
    pub fn render(self, path: &Path, findings: &Findings) -> Result<String, String> {
        match self {
            Format::Json => findings
                .json
                .clone()
                .ok_or_else(|| "a .json file holds one result, and there are several".to_owned()),
            Format::Csv => Ok(csv::text(findings)),
            Format::Hgrm => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                hgrm::text(findings, hgrm::metric_of(&name))
            }
            Format::Hlog => hlog::text(findings),
            Format::Junit => Ok(junit::text(findings)),
            Format::Markdown => Ok(markdown::text(findings)),
            Format::Html => Ok(html::text(findings)),
        }
    }
}
