//! The text of this workspace, for tests of its rules.
//!
//! Invariant: only what people write is read: no build output, no hidden directories.

pub mod imports;

use std::path::{Path, PathBuf};

/// A file of the workspace.
#[derive(Debug, Clone)]
pub struct Source {
    /// From the root of the workspace, with `/`.
    pub path: String,
    /// Its content.
    pub text: String,
}

/// The root of the workspace.
///
/// # Panics
/// Never: this crate lies two levels below it.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("a workspace")
}

/// Every file whose name ends with this, in the order of their paths.
///
/// # Panics
/// When a directory or file cannot be read.
#[must_use]
pub fn files(ending: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    walk(root(), &mut paths);
    paths.retain(|path| path.to_string_lossy().ends_with(ending));
    paths.sort();
    let read = |path: PathBuf| Source {
        path: path.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned(),
        text: std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())),
    };
    paths.into_iter().map(read).collect()
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            walk(&path, found);
        } else if path.is_file() {
            found.push(path);
        }
    }
}

impl Source {
    /// Whether it is part of what is shipped: neither a test nor an example.
    #[must_use]
    pub fn is_product(&self) -> bool {
        !self.path.starts_with("tests/")
            && !self.path.contains("/tests/")
            && !self.path.ends_with("/tests.rs")
            && !self.path.contains("/examples/")
    }

    /// Its lines without comments and without the unit tests at its end, each with its number.
    pub fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = ["\n#[cfg(test)]\nmod tests {", "\n#[cfg(test)]\npub(crate) mod tests {"];
        let end = tests.iter().filter_map(|start| self.text.find(start)).min().unwrap_or(self.text.len());
        let code = &self.text[..end];
        let bare = |line: &'_ str| line.trim_start().starts_with("//");
        (1..).zip(code.lines()).filter(move |(_, line)| !bare(line))
    }

    /// Whether one of its directories, or its own name without the ending, begins so.
    #[must_use]
    pub fn is_in_room(&self, begin: &str) -> bool {
        self.path.split('/').any(|part| part.starts_with(begin))
    }
}
