//! A server as an argument of a command line.
//!
//! Invariant: a refusal never repeats a user or password of the URL, which clap's own would.

use std::ffi::OsStr;

use clap::builder::{TypedValueParser, ValueParserFactory};
use clap::error::ErrorKind;
use clap::{Arg, Command, Error};

use crate::server::Server;

/// Reads a [`Server`] from an argument.
#[derive(Debug, Clone, Copy)]
pub struct ServerParser;

impl TypedValueParser for ServerParser {
    type Value = Server;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<Server, Error> {
        let named = arg.map(|arg| format!("{arg}: ")).unwrap_or_default();
        let refused =
            |why: String| Error::raw(ErrorKind::ValueValidation, format!("{named}{why}\n")).with_cmd(command);
        let text = value.to_str().ok_or_else(|| refused("not valid UTF-8".to_owned()))?;
        text.parse().map_err(|error: crate::Error| refused(error.to_string()))
    }
}

impl ValueParserFactory for Server {
    type Parser = ServerParser;

    fn value_parser() -> ServerParser {
        ServerParser
    }
}
