//! Where whoever asks over HTTP or gRPC is received: who they are, whether they ask too fast, whether they are banned, and
//! whether their app may come to be.
//!
//! Invariant: both edges receive through here, so that what one refuses, the other does, with the same words.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use chat_protocol::operation::APP;
use chat_protocol::{AppId, Code, Params, Refusal};
use serde_json::Value;

use super::duty::{self, Way};
use super::{Bound, Table};
use crate::auth::{Auth, Caller};
use crate::bans::Bans;
use crate::config::Role;
use crate::quota::Quotas;
use crate::worlds::Gate;

/// Receives who asks.
pub struct Desk {
    /// What the node does.
    pub role: Role,
    /// Operations by path.
    pub operations: Arc<Table>,
    /// Who asks.
    pub auth: Arc<Auth>,
    /// How much anybody may ask.
    pub quotas: Arc<Quotas>,
    /// Who may not ask.
    pub bans: Arc<dyn Bans>,
    /// Which apps there may be.
    pub gate: Arc<Gate>,
}

impl Desk {
    /// The operation at this path, for who asks this way.
    ///
    /// # Errors
    /// [`Code::UnknownOperation`] when there is none, or nodes of this role do not do it.
    pub fn operation(&self, way: Way, path: &str) -> Result<&Bound, Refusal> {
        let found = self.operations.path(path).filter(|_| duty::does(self.role, way, path));
        found.ok_or_else(|| duty::refusal(self.role, path))
    }

    /// Who asks with these values of `Authorization`, from there if that is known. What is no text is none.
    ///
    /// # Errors
    /// [`Code::BadParameter`] for more than one; as [`Auth::caller`].
    pub fn caller<'a>(
        &self,
        mut given: impl Iterator<Item = Option<&'a str>>,
        peer: Option<SocketAddr>,
    ) -> Result<Caller, Refusal> {
        let first = given.next().flatten();
        if given.next().is_some() && !self.auth.is_open() {
            return Err(Refusal::new(Code::BadParameter, "Authorization is given more than once"));
        }
        self.auth.caller(first).inspect_err(|refusal| {
            let peer = peer.map(tracing::field::display);
            tracing::info!(code = refusal.code.number(), reason = refusal.reason, peer, "refused a caller");
        })
    }

    /// Whether they do not ask too fast. Operators with a key may ask as fast as they like; nobody else, known or not.
    ///
    /// # Errors
    /// [`Code::TooManyRequests`]; why they are nobody.
    pub fn paced(
        &self,
        caller: Result<Caller, Refusal>,
        peer: Option<SocketAddr>,
    ) -> Result<Caller, Refusal> {
        if matches!(caller, Ok(Caller::Operator(_))) && !self.auth.is_open() {
            return caller;
        }
        if let Some(peer) = peer {
            self.quotas.address_asks(peer.ip())?;
        }
        if let Ok(Caller::Bearer(identity)) = &caller
            && self.quotas.paces_users()
        {
            let now = Instant::now();
            self.quotas.user_asks(&self.quotas.user(identity, now), now)?;
        }
        caller
    }

    /// Whether the user who asks is banned. Operators are not, for whomever they act.
    ///
    /// # Errors
    /// The ban; when the store does not answer.
    pub async fn check_ban(&self, caller: &Caller) -> Result<(), Refusal> {
        let Caller::Bearer(identity) = caller else { return Ok(()) };
        match self.bans.find(identity.app, &identity.user).await? {
            Some(ban) => Err(ban.refusal()),
            None => Ok(()),
        }
    }

    /// Whether there may be the app that they ask about, where the operation leaves something behind of it.
    ///
    /// # Errors
    /// As [`Gate::enter`].
    pub async fn check_app(
        &self,
        operation: &Bound,
        caller: &Caller,
        params: &Params,
    ) -> Result<(), Refusal> {
        match app_of(caller, params) {
            Some(app) if operation.effect().changes() => self.gate.enter(app).await,
            _ => Ok(()),
        }
    }
}

/// The app that is asked about; none where it is not named as it must be.
#[must_use]
pub fn app_of(caller: &Caller, params: &Params) -> Option<AppId> {
    match caller.user() {
        Some(identity) => Some(identity.app),
        None => match params.given(APP)? {
            Value::String(text) => text.parse().ok(),
            number => number.as_u64()?.try_into().ok(),
        },
    }
}
