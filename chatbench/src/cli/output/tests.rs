//! The command on files: wrong input, unwritable output, several results, the summary of a build.

use std::path::{Path, PathBuf};

use chatbench_result::compare::comparison::{self, Comparison};
use chatbench_result::model::{Environment, Options, RunResult, SCHEMA};
use chatbench_result::output::findings::Findings;
use serde_json::{Value, json};

use crate::cli::output::report::{add_summary, read};
use crate::cli::output::save;

/// A result of `broadcast`, as the program wrote it.
const REAL: &str = include_str!("../../../result/tests/results/broadcast.json");

fn real(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn findings() -> Findings {
    Findings::of(serde_json::from_str(REAL).unwrap()).unwrap()
}

/// The smallest thing that is a result.
fn bare() -> Value {
    json!(RunResult {
        schema: SCHEMA.to_owned(),
        options: Some(Options::default()),
        environment: Some(Environment::default()),
        ..RunResult::default()
    })
}

fn comparison() -> Value {
    json!(Comparison { schema: comparison::SCHEMA.to_owned(), ..Comparison::default() })
}

/// Runs a line in a folder whose files are named as they are there; gives exit code, stdout, stderr.
async fn report(folder: &Path, words: &[&str]) -> (u8, String, String) {
    let inside = |word: &&str| {
        if word.contains('.') { folder.join(word).display().to_string() } else { (*word).to_owned() }
    };
    let words = ["chatbench", "report"].map(str::to_owned).into_iter().chain(words.iter().map(inside));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = crate::run_until(words, &mut out, &mut err, std::future::pending()).await;
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("real.json"), REAL).unwrap();
    std::fs::write(folder.path().join("bare.json"), bare().to_string()).unwrap();
    std::fs::write(folder.path().join("comparison.json"), comparison().to_string()).unwrap();
    folder
}

fn names(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn every_ending_has_its_file() {
    let folder = folder();
    let all = ["n.json", "n.csv", "n.hgrm", "n.hlog", "n.junit.xml", "n.md", "n.html"];
    let words: Vec<&str> = ["real.json", "--comparison", "comparison.json"]
        .into_iter()
        .chain(all.into_iter().flat_map(|name| ["--out", name]))
        .collect();
    let (code, out, err) = report(folder.path(), &words).await;
    assert_eq!((code, out.as_str(), err.as_str()), (0, "", ""));
    for (name, says) in
        all.iter().zip(["\"schema\"", "t_ms", "Percentile", "HIST", "testsuites", "###", "<html"])
    {
        let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(text.contains(says), "{name}");
    }
    let copy = std::fs::read_to_string(folder.path().join("n.json")).unwrap();
    assert_eq!(real(&copy), real(REAL));
    let (code, out, _) = report(folder.path(), &["real.json"]).await;
    assert!(code == 0 && out.starts_with("### chatbench broadcast"), "{out}");
}

#[tokio::test]
async fn several_results_are_shown_together() {
    let folder = folder();
    let words = ["real.json", "bare.json", "--out", "n.html", "--out", "n.csv", "--out", "n.junit.xml"];
    let (code, _, err) = report(folder.path(), &words).await;
    assert_eq!(code, 0, "{err}");
    let page = std::fs::read_to_string(folder.path().join("n.html")).unwrap();
    assert!(page.contains("chatbench broadcast, 2 results") && page.contains("id=\"result-2\""));
    let (code, _, err) = report(folder.path(), &["real.json", "bare.json", "--out", "n.json"]).await;
    assert!(code == 2 && err.contains("one result") && !folder.path().join("n.json").exists(), "{err}");
}

#[tokio::test]
async fn wrong_input_is_named() {
    let folder = folder();
    let file = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    file("empty.json", "");
    file("half.json", &REAL[..REAL.len() / 2]);
    file("deep.json", &"[".repeat(100_000));
    file("other.json", "{\"schema\":\"chatbench.capacity/v1\"}");
    file("number.json", "5");
    let mut broken = real(REAL);
    broken["times"]["e2e_time"]["hdr"] = json!("HISTF no base64");
    file("hdr.json", &broken.to_string());
    for (words, code, says) in [
        (&["empty.json"][..], 2, "empty.json is no JSON"),
        (&["half.json"], 2, "half.json is no JSON"),
        (&["deep.json"], 2, "deep.json is no JSON"),
        (&["other.json"], 2, "chatbench.capacity/v1"),
        (&["number.json"], 2, "lacks schema"),
        (&["absent.json"], 1, "absent.json cannot be read"),
        (&["comparison.json"], 2, "chatbench.comparison/v1"),
        (&["real.json", "--comparison", "bare.json"], 2, "--comparison takes chatbench.comparison/v1"),
        (&["real.json", "--comparison", "number.json"], 2, "has no schema"),
        (&["real.json", "--out", "n.pdf"], 2, ".json, .csv, .hgrm, .hlog, .junit.xml, .md, .html"),
        (&["real.json", "--out", "n.xml"], 2, ".junit.xml"),
        (&["real.json", "--out", "no/dir/n.md"], 1, "n.md cannot be written"),
        (&["hdr.json", "--out", "n.hlog"], 1, "times.e2e_time.hdr: no base64"),
    ] {
        let (found, out, err) = report(folder.path(), words).await;
        assert!(found == code && out.is_empty() && err.contains(says), "{words:?}: {found} {err}");
    }
    assert!(!names(folder.path()).iter().any(|name| name.starts_with("n.")), "{:?}", names(folder.path()));
    if Path::new("/dev/zero").exists() {
        let endless = read(&["/dev/zero"], None);
        assert!(endless.unwrap_err().to_string().contains("MiB"), "an endless file has an end");
    }
}

#[tokio::test]
async fn a_run_whose_file_cannot_be_written_does_not_start() {
    let folder = folder();
    let run = async |words: &[&str], out: &str| {
        let line = ["chatbench"].iter().chain(words).map(|word| (*word).to_owned());
        let line = line.chain(["--out".to_owned(), folder.path().join(out).display().to_string()]);
        let (mut told, mut err) = (Vec::new(), Vec::new());
        let code = crate::run_until(line, &mut told, &mut err, std::future::pending()).await;
        (code, String::from_utf8(err).unwrap())
    };
    // Nobody listens there: whoever starts complains of that.
    let words = ["connect", "--clients", "1", "--server", "http://127.0.0.1:9"];
    let (code, err) = run(&words, "no/dir/r.html").await;
    assert!(code == 1 && err.contains("--out: ") && err.contains("r.html cannot be written"), "{err}");
    let (code, err) = run(&words, "r.pdf").await;
    assert!(code == 2 && err.contains(".junit.xml"), "{err}");
    let (code, err) = run(&words, "r.html").await;
    assert!(code == 1 && !err.contains("--out"), "{err}");
}

#[test]
fn a_file_is_checked_without_being_touched() {
    let folder = folder();
    let before = names(folder.path());
    let path = |name: &str| folder.path().join(name);
    save::check_writable("--out", &[path("real.json"), path("new.html")]).unwrap();
    assert_eq!(names(folder.path()), before);
    assert_eq!(std::fs::read_to_string(path("real.json")).unwrap(), REAL);
    for bad in [path("no/new.html"), folder.path().to_owned(), PathBuf::from("")] {
        let failure = save::check_writable("--out", &[bad]).unwrap_err();
        assert!(failure.exit_code() == 1 && failure.to_string().contains("--out"), "{failure}");
    }
}

#[test]
fn a_file_that_fails_does_not_keep_the_others_back() {
    let folder = folder();
    let findings = findings();
    let paths = [folder.path().join("no/n.csv"), folder.path().join("n.md")];
    let failure = save::save(&paths, &findings).unwrap_err();
    assert!(failure.to_string().contains("n.csv cannot be written"), "{failure}");
    assert!(paths[1].exists());
}

#[test]
fn a_summary_is_added_to_what_is_there() {
    let folder = folder();
    let path = folder.path().join("summary.md");
    std::fs::write(&path, "before\n").unwrap();
    let findings = findings();
    add_summary(&path, &findings).unwrap();
    add_summary(&path, &findings).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(
        text.starts_with("before\n### chatbench") && text.matches("### chatbench").count() == 2,
        "{text}"
    );
    assert_eq!(add_summary(folder.path(), &findings).unwrap_err().exit_code(), 1);
}
