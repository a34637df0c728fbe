//! A document whose commands a reader would type: its fenced `sh` blocks in order, with what is marked above them.
//!
//! Invariant: a block that is not simply typed and waited for says so in the document's own text, in a comment right
//! above it: `goes on` (it serves until the end), `until interrupted`, `needs: NAMES`, `not run: WHY`.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::node::program;
use chat_tidy::root;

/// What a session begins with: services, and what the marks mean.
const HEAD: &str = include_str!("manual.sh");
/// Seconds after which a session is given up; the longest takes a fifth of it on a busy machine.
const PATIENCE: &str = "300";

/// A fenced block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Line of its fence.
    pub line: usize,
    /// What stands behind the fence.
    pub language: String,
    /// The comments right above it, without their brackets.
    pub marks: Vec<String>,
    /// What it holds.
    pub text: String,
}

impl Block {
    /// What a mark says, if the block has it.
    #[must_use]
    pub fn mark(&self, name: &str) -> Option<&str> {
        self.marks
            .iter()
            .find_map(|mark| mark.strip_prefix(name))
            .map(|rest| rest.trim_start_matches(':').trim())
    }
}

/// The fenced blocks of a text.
#[must_use]
pub fn blocks(text: &str) -> Vec<Block> {
    let (mut blocks, mut marks) = (Vec::new(), Vec::new());
    let mut lines = (1..).zip(text.lines());
    while let Some((line, content)) = lines.next() {
        if let Some(comment) = content.strip_prefix("<!--").and_then(|rest| rest.strip_suffix("-->")) {
            marks.push(comment.trim().to_owned());
        } else if let Some(language) = content.strip_prefix("```") {
            let inside = lines.by_ref().map(|(_, content)| content).take_while(|content| *content != "```");
            let text: String = inside.flat_map(|content| [content, "\n"]).collect();
            blocks.push(Block {
                line,
                language: language.to_owned(),
                marks: std::mem::take(&mut marks),
                text,
            });
        } else {
            marks.clear();
        }
    }
    blocks
}

/// The documents a reader begins with, by their paths from the root.
#[must_use]
pub fn documents() -> Vec<PathBuf> {
    let at_top = ["README.md", "README.zh-CN.md"];
    let places = ["", "chatd", "chatctl", "chatbench"];
    let paths = places.iter().flat_map(|place| at_top.iter().map(move |name| Path::new(place).join(name)));
    paths.filter(|path| root().join(path).exists()).collect()
}

/// The text of a document.
///
/// # Panics
/// When it is not there.
#[must_use]
pub fn text_of(document: &str) -> String {
    std::fs::read_to_string(root().join(document)).expect("the document is there")
}

/// Types all commands of a document in order, in an empty directory and a network of its own, so that the ports it
/// prints are free, with the programs as they were built for the tests.
///
/// # Panics
/// When a command fails; the message has the place in the document and what was printed.
pub fn follow(document: &str) {
    let mut script = HEAD.to_owned();
    let blocks: Vec<_> =
        blocks(&text_of(document)).into_iter().filter(|block| block.language == "sh").collect();
    for needed in blocks.iter().filter_map(|block| block.mark("needs")).flat_map(str::split_whitespace) {
        writeln!(script, "begin_{needed}").expect("a string");
    }
    for block in &blocks {
        let place = format!("{document}:{}", block.line);
        writeln!(script, "at {place}").expect("a string");
        for needed in block.mark("needs").unwrap_or_default().split_whitespace() {
            writeln!(script, "await_{needed}").expect("a string");
        }
        let typed = if block.mark("not run").is_some() {
            "understood"
        } else if block.mark("goes on").is_some() {
            "goes_on"
        } else if block.mark("until interrupted").is_some() {
            "interrupted"
        } else {
            script.push_str(&block.text);
            continue;
        };
        writeln!(script, "{typed} <<'END_OF_BLOCK'\n{}END_OF_BLOCK", block.text).expect("a string");
    }
    run(document, &script);
}

/// Runs a script of a session, in an empty directory and a network of its own.
///
/// # Panics
/// When it fails.
pub fn run(name: &str, script: &str) {
    let directory = TempDir::with_prefix("manual").expect("a temporary directory");
    let programs = program("chatd");
    let (script_file, said) = (directory.path().join("session.sh"), directory.path().join("said"));
    std::fs::write(&script_file, script).expect("written");
    let output = std::fs::File::create(&said).expect("a file");
    let mut session = Command::new("timeout");
    session.args(["--kill-after=5", PATIENCE, "unshare", "--net", "--pid", "--fork", "--kill-child"]);
    session.arg("--mount-proc");
    if std::fs::metadata("/proc/self").expect("this process").uid() != 0 {
        // A user namespace gives the right to switch the loopback device on, and nothing outside of it.
        session.args(["--map-current-user", "--keep-caps"]);
    }
    session.arg("bash").arg(&script_file).env_clear();
    for (key, value) in std::env::vars().filter(|(key, _)| key == "USER" || key.starts_with("GO")) {
        session.env(key, value);
    }
    let path = std::env::var("PATH").unwrap_or_default();
    session.env("PATH", format!("{path}:/usr/sbin:/sbin")).env("LANG", "C.UTF-8");
    session.env("SESSION", directory.path()).env("ROOT", root());
    session.env("PROGRAMS", programs.parent().expect("a directory"));
    let errors = output.try_clone().expect("the same file");
    session.stdin(Stdio::null()).stdout(output).stderr(errors);
    let ended = session.status().expect("unshare (util-linux)");
    let said = std::fs::read(&said).unwrap_or_default();
    assert!(ended.success(), "{name}: {ended}\n{}", String::from_utf8_lossy(&said));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_belong_to_the_block_right_below() {
        let text =
            "<!-- lost -->\nx\n```sh\na\n```\n<!-- goes on -->\n<!-- needs: b c -->\n```sh\nd\ne\n```\n";
        let found = blocks(text);
        assert_eq!((found[0].line, found[0].text.as_str(), found[0].marks.len()), (3, "a\n", 0));
        assert_eq!((found[1].text.as_str(), found[1].mark("needs")), ("d\ne\n", Some("b c")));
        assert!(found[1].mark("goes on").is_some() && found[1].mark("not run").is_none());
    }
}
