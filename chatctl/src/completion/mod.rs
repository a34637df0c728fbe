//! What may stand at the end of a half-written line: commands, flags, contexts, and what lives at the server.
//!
//! [`words`] understands the line; [`contexts`] knows the servers under a name; [`live`] asks the server; [`scripts`] are
//! what a shell needs to call them all; [`nushell`] reads and writes the quotes of one that leaves that to others.
//!
//! Invariant: a shell that asks gets an answer soon, and nothing but candidates: whatever fails gives none.

pub mod contexts;
pub mod live;
pub mod nushell;
pub mod scripts;
pub mod words;

/// What may stand there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// The whole word.
    pub word: String,
    /// What it is, for people.
    pub about: String,
}

impl Candidate {
    /// A word and what it is.
    pub fn new(word: impl Into<String>, about: impl Into<String>) -> Self {
        Self { word: word.into(), about: about.into() }
    }
}
