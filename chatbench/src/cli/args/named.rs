//! `--context`: a server that chatctl keeps under a name.
//!
//! Invariant: its key is read when it is shown, and stands in no option.

use chat_client::context::{Context, Contexts};

/// A context of chatctl, found by its name.
#[derive(Debug, Clone)]
pub struct Named {
    /// Its server, without what it is shown.
    pub server: chat_client::Server,
    /// What it says.
    pub context: Context,
}

impl Named {
    /// Looks for it in the file of the user.
    ///
    /// # Errors
    /// What is wrong with the file, or that there is no such context.
    pub fn find(name: &str) -> Result<Self, chat_client::Error> {
        let context = Contexts::read(&|name| std::env::var_os(name))?.get(name)?.clone();
        Ok(Self { server: context.server.parse()?, context })
    }
}
