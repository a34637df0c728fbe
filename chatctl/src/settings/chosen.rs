//! Which context is used: the one named on the line, or in the environment, or the one that was chosen for good.
//!
//! Invariant: one that was not named on the line gives way to a server that was, and then nothing of it is used: no key
//! goes to a server it is not for.

use chat_client::context::{Context, Contexts};

use super::{InUse, variable};
use crate::failure::Failure;
use crate::flags::Flags;
use crate::surroundings::Environment;

/// Numbers of colours in a terminal: red for what is protected, cyan for the rest.
const PROTECTED: u8 = 31;
const USUAL: u8 = 36;

/// A context that is used.
#[derive(Debug)]
pub struct Chosen {
    /// Its name.
    pub name: String,
    /// What it says.
    pub context: Context,
    /// It was named on the line, and speaks before variables.
    pub is_on_line: bool,
}

impl Chosen {
    /// The one to use, if any.
    pub fn find(flags: &Flags, environment: &Environment) -> Result<Option<Self>, Failure> {
        let is_on_line = flags.context.is_some();
        let is_elsewhere = flags.server.is_some() || variable(environment, "CHATCTL_SERVER")?.is_some();
        if !is_on_line && is_elsewhere {
            return Ok(None);
        }
        let bad = |error: chat_client::Error| {
            Failure::usage(error.to_string(), "see `chatctl context list`, or name another with --context")
        };
        let known = Contexts::read(&|name| environment(name)).map_err(bad)?;
        let named = match &flags.context {
            Some(name) => Some(name.clone()),
            None => variable(environment, "CHATCTL_CONTEXT")?,
        };
        let named = match named {
            Some(name) => Some(name),
            None => known.in_use().map_err(bad)?,
        };
        let Some(name) = named else { return Ok(None) };
        let context = known.get(&name).map_err(bad)?.clone();
        Ok(Some(Self { name, context, is_on_line }))
    }

    /// What is told of it.
    pub fn in_use(self) -> InUse {
        let Context { color, protected, .. } = self.context;
        let usual = if protected { PROTECTED } else { USUAL };
        let color = color.map_or(usual, chat_client::context::Color::number);
        InUse { name: self.name, color, protected }
    }
}
