//! The server to ask, whom it is believed by, and the key or token it is shown.
//!
//! Invariant: a context's key goes to the context's server alone; no refusal repeats a secret.

use std::path::PathBuf;

use chat_client::{Server, Trust};
use chat_protocol::secret;

use super::chosen::Chosen;
use super::{DEFAULT_SERVER, or_variable, variable};
use crate::failure::Failure;
use crate::flags::Flags;
use crate::surroundings::Environment;

/// The one without any setting.
pub fn default() -> Result<Server, Failure> {
    DEFAULT_SERVER.parse().map_err(Failure::from)
}

/// The one that flags, variables and the context ask for.
pub fn of(flags: &Flags, environment: &Environment, chosen: Option<&Chosen>) -> Result<Server, Failure> {
    let is_on_line = chosen.is_some_and(|chosen| chosen.is_on_line);
    let named = match is_on_line {
        true => flags.server.clone(),
        false => or_variable(flags.server.clone(), environment, "CHATCTL_SERVER")?,
    };
    let (server, chosen) = match (named, chosen) {
        (Some(server), _) => (server, None),
        (None, Some(chosen)) => (chosen.context.server.parse().map_err(Failure::from)?, Some(chosen)),
        (None, None) => (default()?, None),
    };
    let server = server.trusting(trust(flags, environment, chosen)?)?;
    match token(flags, environment, chosen)? {
        Some(token) => Ok(server.showing(&token)?),
        None => Ok(server),
    }
}

fn trust(flags: &Flags, environment: &Environment, chosen: Option<&Chosen>) -> Result<Trust, Failure> {
    let of_context = |chosen: &Chosen| Trust::asked(chosen.context.ca.clone(), chosen.context.insecure);
    if flags.insecure || flags.ca.is_some() {
        return Ok(Trust::asked(flags.ca.clone(), flags.insecure));
    }
    if let Some(chosen) = chosen.filter(|chosen| chosen.is_on_line) {
        return Ok(of_context(chosen));
    }
    match or_variable(None::<PathBuf>, environment, "CHATCTL_CA")? {
        Some(file) => Ok(Trust::Authority(file)),
        None => Ok(chosen.map_or(Trust::System, of_context)),
    }
}

/// The key or token to show, from the nearest place: flags, a context named on the line, variables, the context in use.
fn token(
    flags: &Flags,
    environment: &Environment,
    chosen: Option<&Chosen>,
) -> Result<Option<String>, Failure> {
    let of_context = |chosen: &Chosen| {
        let bad = |error: chat_client::Error| {
            let next = format!("see `chatctl context show {}`", chosen.name);
            Failure::usage(error.to_string(), next)
        };
        chosen.context.token(&|name| environment(name)).map_err(bad)
    };
    match (flags.token.clone(), flags.token_file.clone()) {
        (None, None) => {}
        (token, file) => return of_place(token, file),
    }
    if let Some(chosen) = chosen.filter(|chosen| chosen.is_on_line) {
        return of_context(chosen);
    }
    let token = variable(environment, "CHATCTL_TOKEN")?;
    let file = variable(environment, "CHATCTL_TOKEN_FILE")?.map(PathBuf::from);
    match (token, file, chosen) {
        (None, None, Some(chosen)) => of_context(chosen),
        (token, file, _) => of_place(token, file),
    }
}

fn of_place(token: Option<String>, file: Option<PathBuf>) -> Result<Option<String>, Failure> {
    match (token, file) {
        (Some(token), _) => Ok(Some(token)),
        (None, None) => Ok(None),
        (None, Some(file)) => match std::fs::read_to_string(&file) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) => {
                let name = file.to_string_lossy();
                let cause = format!("cannot read the token in {}: {error}", secret::file(&name));
                Err(Failure::usage(cause, "check --token-file, or CHATCTL_TOKEN_FILE"))
            }
        },
    }
}
