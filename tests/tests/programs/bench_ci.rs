//! `scripts/bench-ci`: what it makes of two counts of instructions.
//!
//! Invariant: it fails for a function that became dearer than it may, and for nothing else.

use std::process::{Command, Output};

use chat_tidy::root;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// Instructions by function.
type Counts<'a> = &'a [(&'a str, u64)];

fn compare(base: Counts<'_>, head: Counts<'_>) -> Output {
    let directory = TempDir::with_prefix("counts").expect("a temporary directory");
    let [base, head] = [("base.json", base), ("head.json", head)].map(|(name, counts)| {
        let each = |(name, count): &(&str, u64)| {
            ((*name).to_owned(), json!({"what": "something", "instructions": count}))
        };
        let path = directory.path().join(name);
        let counts: Map<String, Value> = counts.iter().map(each).collect();
        std::fs::write(&path, Value::from(counts).to_string()).expect("written");
        path
    });
    let mut script = Command::new(root().join("scripts/bench-ci"));
    script.arg("--compare").args([base, head]).output().expect("python3")
}

/// What it prints of a function.
fn line<'a>(printed: &'a str, name: &str) -> &'a str {
    printed.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}: {printed}"))
}

#[test]
fn a_twentieth_more_is_allowed_and_what_only_one_commit_has_is_skipped() {
    let compared = compare(
        &[("read", 1000), ("encode", 300), ("gone", 5)],
        &[("read", 1050), ("encode", 200), ("new", 9)],
    );
    let printed = String::from_utf8_lossy(&compared.stdout);
    assert_eq!(compared.status.code(), Some(0), "{printed}");
    assert!(line(&printed, "read").contains("1.050") && line(&printed, "encode").contains("0.667"));
    for skipped in ["new", "gone"] {
        assert!(line(&printed, skipped).contains("skipped"), "{printed}");
    }
}

#[test]
fn one_that_takes_more_than_that_fails_and_is_named() {
    let compared = compare(&[("read", 1000), ("encode", 300)], &[("read", 1051), ("encode", 300)]);
    let printed = String::from_utf8_lossy(&compared.stdout);
    assert_eq!(compared.status.code(), Some(1), "{printed}");
    assert!(line(&printed, "read").contains("DEARER") && !line(&printed, "encode").contains("DEARER"));
    let said = String::from_utf8_lossy(&compared.stderr);
    assert!(said.contains("dearer: read"), "{said}");
}

#[test]
fn what_cannot_be_read_is_no_verdict() {
    let mut script = Command::new(root().join("scripts/bench-ci"));
    let compared =
        script.args(["--compare", "/nowhere/a.json", "/nowhere/b.json"]).output().expect("python3");
    assert_eq!(compared.status.code(), Some(2), "{}", String::from_utf8_lossy(&compared.stderr));
}
