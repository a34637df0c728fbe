//! `report`: results that were kept, shown in other formats.
//!
//! Invariant: nothing is written unless all files could be read and all names are good.

use std::io::Write;
use std::path::Path;

use chatbench_result::compare::comparison::Comparison;
use chatbench_result::compare::kept;
use chatbench_result::output::findings::Findings;
use chatbench_result::output::format::Format;
use chatbench_result::output::markdown;

use super::read::whole;
use super::save;
use crate::cli::args::check_names;
use crate::cli::args::report::ReportArgs;
use crate::cli::screen::Screen;
use crate::failure::Failure;

/// Names the file that a build server shows with a build.
const STEP_SUMMARY: &str = "GITHUB_STEP_SUMMARY";

/// Runs `report`; gives the exit code.
///
/// # Errors
/// [`Failure`] when a file cannot be read or written, or is no result.
pub fn run(args: &ReportArgs, screen: &mut Screen<'_>) -> Result<u8, Failure> {
    check_names(&args.out)?;
    let findings = read(&args.files, args.comparison.as_deref())?;
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

/// Reads files of results, baselines and a comparison.
///
/// # Errors
/// [`Failure`] with the file's name: 1 when it cannot be read, 2 when it is something else.
pub fn read(paths: &[impl AsRef<Path>], comparison: Option<&Path>) -> Result<Findings, Failure> {
    let mut results = Vec::new();
    let mut text = None;
    for path in paths {
        let path = path.as_ref();
        let bytes = whole(path)?;
        let rounds = kept::rounds(&bytes, &path.display().to_string()).map_err(Failure::Usage)?;
        text = if paths.len() == 1 { kept::rewritten(&bytes) } else { None };
        results.extend(rounds.into_iter().map(|round| round.result));
    }
    let json = text.filter(|_| results.len() == 1);
    if results.is_empty() {
        return Err(Failure::Usage("report: the files hold no result".to_owned()));
    }
    Ok(Findings { results, comparison: comparison.map(read_comparison).transpose()?, json })
}

fn read_comparison(path: &Path) -> Result<Comparison, Failure> {
    kept::comparison(&whole(path)?, &path.display().to_string()).map_err(Failure::Usage)
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
