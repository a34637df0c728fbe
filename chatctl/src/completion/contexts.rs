//! The contexts of whoever writes the line.
//!
//! Invariant: nobody is asked for them, so that they are there when no server is; a file that cannot be read has none.

use chat_client::context::Contexts;
use chat_client::escape::is_dangerous;

use super::Candidate;
use crate::surroundings::Environment;

/// What a value of this name is called in help.
pub const VALUE: &str = "CONTEXT";

/// All of them.
#[must_use]
pub fn candidates(environment: &Environment) -> Vec<Candidate> {
    let known = Contexts::read(&|name| environment(name)).map(|contexts| contexts.known).unwrap_or_default();
    let is_word =
        |name: &String| !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || is_dangerous(c));
    let named = known.into_iter().filter(|(name, _)| is_word(name));
    named.map(|(name, context)| Candidate::new(name, chat_protocol::secret::url(&context.server))).collect()
}
