//! What the documents print is what the programs do: every command is typed, in order, in an empty directory.
//!
//! Invariant: a command that is not run is marked in the document with the reason, and few are.

use chat_tests::manual::{blocks, documents, follow, text_of};
use chat_tidy::root;
use regex::Regex;

#[test]
fn every_command_of_the_overview_works_as_printed() {
    follow("README.md");
}

#[test]
fn every_command_of_chatds_document_works_as_printed() {
    follow("chatd/README.md");
}

#[test]
fn every_command_of_the_chinese_document_works_as_printed() {
    follow("chatd/README.zh-CN.md");
}

#[test]
fn every_command_of_chatctls_document_works_as_printed() {
    follow("chatctl/README.md");
}

#[test]
fn every_command_of_chatbenchs_document_works_as_printed() {
    follow("chatbench/README.md");
}

#[test]
fn few_commands_are_not_run_and_each_says_why() {
    for document in documents() {
        let text = text_of(document.to_str().expect("a name"));
        let blocks = blocks(&text);
        let typed: Vec<_> = blocks.iter().filter(|block| block.language == "sh").collect();
        let left: Vec<_> = typed.iter().filter_map(|block| block.mark("not run")).collect();
        assert!(left.iter().all(|why| why.len() > 5), "{}: {left:?}", document.display());
        assert!(left.len() <= 3, "{}: {left:?}", document.display());
        let known = ["not run: ", "goes on", "until interrupted", "needs: "];
        for mark in typed.iter().flat_map(|block| &block.marks) {
            assert!(known.iter().any(|known| mark.starts_with(known)), "{}: {mark}", document.display());
        }
    }
}

#[test]
fn every_link_between_files_leads_somewhere() {
    let link = Regex::new(r"\]\(([^)#\s]+)(#[^)\s]*)?\)").expect("a pattern");
    for document in documents() {
        let text = text_of(document.to_str().expect("a name"));
        for found in link.captures_iter(&text).filter(|found| !found[1].contains("://")) {
            let path = root().join(&document).with_file_name(&found[1]);
            assert!(path.exists(), "{}: {}", document.display(), &found[1]);
        }
    }
}
