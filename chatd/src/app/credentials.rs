//! `chatd token` and `chatd api-key`: what operators hand to users and programs.
//!
//! Invariant: standard output has the credential and its line, for scripts; a key is shown once and kept nowhere.

use std::time::Duration;

use chat_protocol::rights::Scope;
use chat_protocol::{AppId, Span, UserId};
use clap::Args;

use crate::auth;
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Scopes};
use crate::model::Identity;

/// Longest life of a token that is made here.
const MAX_TTL: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Arguments of `chatd token`.
#[derive(Args)]
pub struct Token {
    /// Whose it is
    #[arg(long, value_name = "USER", value_parser = user)]
    user: UserId,
    /// In which app
    #[arg(long, value_name = "N")]
    app: AppId,
    /// How long it is good
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    ttl: Span,
}

/// Arguments of `chatd api-key`.
#[derive(Args)]
pub struct ApiKey {
    /// What the key is called: a-z, 0-9 and -
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// What it is for: any of read, send, money, admin
    #[arg(long, value_name = "SCOPES", value_delimiter = ',', default_value = "read")]
    scopes: Vec<Scope>,
}

fn user(text: &str) -> Result<UserId, String> {
    let user = UserId::new(text).map_err(|error| error.to_string())?;
    auth::check_name(&user).map_err(|refusal| refusal.reason)?;
    Ok(user)
}

fn name(text: &str) -> Result<String, String> {
    config::check_name(text).map(|()| text.to_owned())
}

/// The token, in a line of its own.
pub(super) fn token(settings: &config::Auth, asked: Token) -> Result<String, String> {
    let ttl = asked.ttl.get();
    if ttl < Duration::from_secs(1) || ttl > MAX_TTL {
        return Err("--ttl: a token lives from 1s to 8784h (366 days)".to_owned());
    }
    let identity = Identity { app: asked.app, user: asked.user };
    let token = auth::mint(settings, &identity, SystemClock.now_ms() / 1000, ttl.as_secs())?;
    Ok(token + "\n")
}

/// The key, and in the next line what the settings are to have of it.
pub(super) fn api_key(asked: &ApiKey) -> Result<String, String> {
    let scopes: Scopes = asked.scopes.iter().copied().collect();
    let (key, line) = auth::make_api_key(&asked.name, scopes)?;
    eprintln!("chatd: first the key, which is shown once; then its line for keys = [\"…\"] in [auth]");
    Ok(format!("{key}\n{line}\n"))
}
