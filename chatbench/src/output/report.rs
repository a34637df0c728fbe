//! `report`: results that were kept, shown in other formats.
//!
//! Invariant: nothing is written unless all files could be read and all names are good.

use std::io::Write;

use super::args::ReportArgs;
use super::findings::Findings;
use super::format::Format;
use super::{markdown, save};
use crate::failure::Failure;
use crate::gate::play::Screen;

/// Names the file that a build server shows with a build.
const STEP_SUMMARY: &str = "GITHUB_STEP_SUMMARY";

/// Runs `report`; gives the exit code.
///
/// # Errors
/// [`Failure`] when a file cannot be read or written, or is no result.
pub fn run(args: &ReportArgs, screen: &mut Screen<'_>) -> Result<u8, Failure> {
    save::check_names(&args.out)?;
    let findings = Findings::read(&args.files, args.comparison.as_deref())?;
    let several = findings.results.len() > 1;
    if several && args.out.iter().any(|path| Format::of(path) == Ok(Format::Json)) {
        return Err(Failure::Usage("--out: a .json file holds one result, and there are several".to_owned()));
    }
    save::check_writable("--out", &args.out)?;
    save::save(&args.out, &findings)?;
    if args.step_summary {
        let file = std::env::var_os(STEP_SUMMARY).filter(|file| !file.is_empty());
        match file {
            Some(file) => add_summary(file.as_ref(), &findings)?,
            None => screen.note(&format!("${STEP_SUMMARY} is not set; no summary was added")),
        }
    }
    if args.out.is_empty() && !args.step_summary {
        screen.tell(&markdown::text(&findings));
    }
    Ok(0)
}

/// Adds the Markdown to a file that others may have begun.
///
/// # Errors
/// [`Failure`] when it cannot be written.
pub fn add_summary(path: &std::path::Path, findings: &Findings) -> Result<(), Failure> {
    let opened = std::fs::OpenOptions::new().append(true).create(true).open(path);
    let text = format!("{}\n", markdown::text(findings));
    opened.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| {
        let cause = format!("the summary cannot be added to {}: {error}", path.display());
        Failure::could_not_run(cause, format!("check ${STEP_SUMMARY}, or leave --step-summary out"))
    })
}
