//! What is asked over HTTP beside operations: the page, health, files as they are, the handshake of a WebSocket.
//!
//! Invariant: whatever serves, guards, counts or describes such a path has it from its [`Route`], and there are no others.

mod stated;

use serde_json::Value;

pub use self::stated::*;
use crate::code::Code;
use crate::params::Field;
use crate::rights::Rights;

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The handshake of a WebSocket.
    WebSocket,
    /// What leads to the chat page.
    Root,
    /// The chat page.
    Page,
    /// What the page loads.
    Asset,
    /// The same, at an address that no other content will ever have.
    VersionedAsset,
    /// Where a file is put.
    Upload,
    /// A file.
    File,
    /// Whether the process answers.
    Livez,
    /// Whether the node can be given work.
    Readyz,
    /// What the node counts.
    Metrics,
    /// The description of all this.
    Document,
}

/// A method of HTTP. OPTIONS is taken everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET, and HEAD with it.
    Get,
    /// PUT.
    Put,
    /// POST.
    Post,
}

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Whoever comes.
    Open,
    /// Whoever has an address that was signed, for as long as the one it was signed for may.
    Signed,
    /// As with an operation.
    Rights(Rights),
}

/// What an answer holds.
#[derive(Debug, Clone, Copy)]
pub enum Content {
    /// Nothing.
    Nothing,
    /// JSON as operations answer it, with `data` of this JSON Schema (2020-12).
    Answer(fn() -> Value),
    /// Content of one of these media types or ranges of them.
    Of(&'static [&'static str]),
}

/// An answer that is no refusal with a code.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// HTTP status.
    pub status: u16,
    /// One sentence for documentation.
    pub about: &'static str,
    /// What it holds.
    pub content: Content,
    /// Headers that only such an answer has, or that say what it holds.
    pub headers: &'static [&'static str],
}

/// A path that is no operation's.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// What is there.
    pub place: Place,
    /// The path, in which `{name}` stands for a segment.
    pub path: &'static str,
    /// As it is counted, several paths under one name.
    pub name: &'static str,
    /// Methods that it takes.
    pub methods: &'static [Method],
    /// One sentence for documentation.
    pub about: &'static str,
    /// The segments of the path that may differ.
    pub segments: &'static [Field],
    /// Parameters in the query.
    pub query: &'static [Field],
    /// Headers of a request that change the answer, with what they do.
    pub headers: &'static [(&'static str, &'static str)],
    /// Who may ask.
    pub admission: Admission,
    /// What the body of a request is, which has no form; none where there is no body.
    pub body: Option<&'static str>,
    /// The answers.
    pub outcomes: &'static [Outcome],
    /// Codes that it may be refused with; the method is one that it takes.
    pub refusals: &'static [Code],
    /// Whether a node without clients has it, too.
    pub is_everywhere: bool,
}

impl Method {
    /// All that are taken anywhere.
    pub const ALL: [Self; 3] = [Method::Get, Method::Put, Method::Post];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Put => "PUT",
            Method::Post => "POST",
        }
    }
}

impl Route {
    /// The methods as the header `Allow` lists them.
    #[must_use]
    pub fn allow(&self) -> String {
        let mut allowed = String::new();
        for method in self.methods {
            allowed += method.as_str();
            allowed += if *method == Method::Get { ", HEAD, " } else { ", " };
        }
        allowed + "OPTIONS"
    }

    /// Whether the path is this one's.
    #[must_use]
    pub fn is_at(&self, path: &str) -> bool {
        let (mut own, mut others) = (self.path.split('/'), path.split('/'));
        loop {
            match (own.next(), others.next()) {
                (None, None) => return true,
                (Some(own), Some(other)) if own == other => {}
                (Some(own), Some(other)) if own.starts_with('{') && !other.is_empty() => {}
                _ => return false,
            }
        }
    }
}
