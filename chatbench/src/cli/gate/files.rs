//! Results, baselines and comparisons as files.
//!
//! Invariant: a file that cannot be read or is not what it should be is named, with what is wrong.

use std::path::{Path, PathBuf};

use anyhow::Context;
use chatbench_result::compare::comparison::Comparison;
use chatbench_result::compare::kept::{self, Baseline};
use chatbench_result::compare::markdown;
use chatbench_result::compare::round::Round;
use chatbench_result::output::findings::Findings;
use chatbench_result::output::html;

use crate::cli::output::read::whole;
use crate::cli::output::save::replace;
use crate::failure::Failure;

/// The rounds in a file: one of a result, all of a baseline.
///
/// # Errors
/// [`Failure`] with the file's name.
pub fn rounds(path: &Path) -> Result<Vec<Round>, Failure> {
    let name = path.display().to_string();
    let next = "give a file that --out NAME.json or --save-baseline of this version wrote";
    let bytes = whole(path).map_err(|failure| match failure {
        Failure::Usage(cause) => Failure::could_not_run(cause, next),
        other => other,
    })?;
    kept::rounds(&bytes, &name).map_err(|cause| Failure::could_not_run(cause, next))
}

/// Writes rounds as a baseline; a file that was there is replaced whole or not at all.
///
/// # Errors
/// What stands in the way.
pub fn save_baseline(path: &Path, rounds: &[Round], saved_unix_ms: u64) -> anyhow::Result<()> {
    let baseline = Baseline::new(rounds, saved_unix_ms);
    let written = replace(path, serde_json::to_string(&baseline)?.as_bytes());
    written.with_context(|| format!("the baseline cannot be written to {}; check --baseline", path.display()))
}

/// Refuses names of files for a comparison whose format is not known.
///
/// # Errors
/// [`Failure::Usage`].
pub fn check_comparison_names(paths: &[PathBuf], option: &str) -> Result<(), Failure> {
    match paths.iter().find(|path| !["json", "md", "html"].iter().any(|ending| has_ending(path, ending))) {
        Some(_) => Err(Failure::Usage(format!("{option}: the file name must end in .json, .md or .html"))),
        None => Ok(()),
    }
}

/// Writes a comparison to every file.
///
/// # Errors
/// What stands in the way.
pub fn save_comparison(paths: &[PathBuf], comparison: &Comparison) -> anyhow::Result<()> {
    for path in paths {
        let text = if has_ending(path, "md") {
            markdown::text(comparison)
        } else if has_ending(path, "html") {
            html::text(&Findings::compared(comparison.clone()))
        } else {
            serde_json::to_string_pretty(comparison)? + "\n"
        };
        replace(path, text.as_bytes()).with_context(|| {
            format!("the comparison cannot be written to {}; check --out", path.display())
        })?;
    }
    Ok(())
}

/// Whether a file's name ends so.
pub fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|found| found == ending)
}

/// `result.json` with `a1` is `result.a1.json`, and `result.junit.xml` is `result.a1.junit.xml`.
pub fn numbered(path: &Path, label: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let (stem, ending) = match name.strip_suffix(".junit.xml") {
        Some(stem) => (stem, "junit.xml"),
        None => name.rsplit_once('.').unwrap_or((&name, "")),
    };
    path.with_file_name(format!("{stem}.{label}.{ending}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chatbench_result::model::{Environment, Options, RunResult, SCHEMA};
    use serde_json::{Value, json};

    fn result(run: u64) -> RunResult {
        RunResult {
            schema: SCHEMA.to_owned(),
            run: run.to_string(),
            options: Some(Options::default()),
            environment: Some(Environment { cores: 2, ..Environment::default() }),
            ..RunResult::default()
        }
    }

    #[test]
    fn a_baseline_gives_back_its_rounds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("base.json");
        let saved: Vec<Round> = (1..4).map(|run| Round::new(result(run), "now")).collect();
        save_baseline(&path, &saved, 5).unwrap();
        save_baseline(&path, &saved, 6).unwrap();
        let read = rounds(&path).unwrap();
        assert_eq!(read.iter().map(|round| round.result.run.as_str()).collect::<Vec<_>>(), ["1", "2", "3"]);
        assert!(read[2].source.ends_with("base.json round 3"), "{}", read[2].source);
        let json: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!((&json["saved_unix_ms"], &json["environment"]["cores"]), (&json!(6), &json!(2)));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no other file is left");
        assert!(save_baseline(&folder.path().join("no/such/dir.json"), &saved, 5).is_err());
    }

    #[test]
    fn files_that_are_no_results_are_named() {
        let folder = tempfile::tempdir().unwrap();
        for (name, content, says) in [
            ("empty.json", "", "is no JSON"),
            ("half.json", "{\"schema\":", "is no JSON"),
            ("other.json", "{\"schema\":\"other/v1\"}", "other/v1"),
            ("bare.json", "{\"schema\":\"chatbench.baseline/v1\"}", "without rounds"),
            ("wrong.json", "{\"schema\":\"chatbench.baseline/v1\",\"rounds\":[1]}", "round 1"),
            ("deep.json", &"[".repeat(100_000), "is no JSON"),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            let failure = rounds(&path).unwrap_err();
            let text = failure.to_string();
            assert!(text.contains(name) && text.contains(says) && failure.exit_code() == 1, "{name}: {text}");
        }
        let absent = rounds(&folder.path().join("absent.json")).unwrap_err().to_string();
        assert!(absent.contains("cannot be read") && absent.contains("next:"), "{absent}");
    }

    #[test]
    fn rounds_have_their_own_files() {
        assert_eq!(numbered(Path::new("x/result.json"), "a1"), Path::new("x/result.a1.json"));
        assert_eq!(numbered(Path::new("r.1.json"), "2"), Path::new("r.1.2.json"));
        assert_eq!(numbered(Path::new("x/r.junit.xml"), "b2"), Path::new("x/r.b2.junit.xml"));
    }
}
