//! What a caller may do.
//!
//! Invariant: [`Caller::admit`] is the only place that decides it, for HTTP and WebSocket alike, and it reads nothing but
//! the rights that the operation's type states.

use chat_protocol::operation::{APP, Rights, Scope};
use chat_protocol::{Code, Params, Refusal};
use serde_json::Value;

use crate::config::Scopes;
use crate::model::Identity;

/// What an operator may do, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// All of it.
    pub scopes: Scopes,
    /// By the key with this number; 0 where nobody needs one.
    pub key: u16,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Over HTTP as an operator: may name any user, within this.
    Operator(Grant),
    /// Over HTTP with a user's token: acts as that user, in their app.
    Bearer(Identity),
    /// A logged-in connection: acts as its own user, in its own app; with what the operator may who logged in as the
    /// user, or as the user themselves.
    Session(Identity, Option<Grant>),
}

/// Whether an operator may log in as a user, who is then read to and speaks.
///
/// # Errors
/// [`Code::NotAuthorised`] with the scope that is missing.
pub(super) fn check_impersonation(scopes: Scopes) -> Result<(), Refusal> {
    [Scope::Read, Scope::Send].into_iter().try_for_each(|scope| needs(scopes, scope))
}

fn needs(scopes: Scopes, scope: Scope) -> Result<(), Refusal> {
    match scopes.has(scope) {
        true => Ok(()),
        false => Err(Refusal::new(Code::NotAuthorised, format!("the key has not the scope {scope}"))),
    }
}

impl Caller {
    /// The user who acts, unless an operator does, who names one or none.
    #[must_use]
    pub fn user(&self) -> Option<&Identity> {
        match self {
            Caller::Operator(_) => None,
            Caller::Bearer(identity) | Caller::Session(identity, _) => Some(identity),
        }
    }

    /// What the caller may do as an operator; nothing for users.
    #[must_use]
    pub fn grant(&self) -> Option<Grant> {
        match self {
            Caller::Operator(grant) | Caller::Session(_, Some(grant)) => Some(*grant),
            Caller::Bearer(_) | Caller::Session(_, None) => None,
        }
    }

    /// Whether the caller may do what has these rights, for whoever is named.
    ///
    /// # Errors
    /// [`Code::NotAuthorised`] with what is missing.
    pub fn may(&self, rights: Rights) -> Result<(), Refusal> {
        match self {
            Caller::Operator(grant) | Caller::Session(_, Some(grant)) => needs(grant.scopes, rights.scope()),
            Caller::Bearer(_) | Caller::Session(_, None) if rights.are_for_users() => Ok(()),
            _ => Err(Refusal::new(
                Code::NotAuthorised,
                format!("for operators, with a key of the scope {}", rights.scope()),
            )),
        }
    }

    /// Whether the caller may do what has these rights with these parameters, in which those who act as a user are
    /// filled in.
    ///
    /// # Errors
    /// [`Code::NotAuthorised`] with what is missing, or when a user names another user or app as their own.
    pub fn admit(&self, rights: Rights, params: &mut Params) -> Result<(), Refusal> {
        self.may(rights)?;
        let Some(identity) = self.user() else { return Ok(()) };
        let own = [(APP, identity.app.into())];
        let actor = rights.actor().map(|actor| (actor, Value::from(identity.user.as_str())));
        for (name, value) in own.into_iter().chain(actor) {
            if matches!(self, Caller::Bearer(_))
                && params.given(name).is_some_and(|given| !means(given, &value))
            {
                let reason = format!("{name}: the token is of another; leave it out to act as yourself");
                return Err(Refusal::new(Code::NotAuthorised, reason));
            }
            params.set(name, value);
        }
        Ok(())
    }
}

/// Whether a parameter says this; numbers may be written as texts of digits.
fn means(given: &Value, value: &Value) -> bool {
    match (given, value) {
        (Value::String(text), Value::Number(number)) => *text == number.to_string(),
        _ => given == value,
    }
}
