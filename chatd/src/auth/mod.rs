//! Who asks: operators by a key, users by a token, everybody as an operator where neither is configured.
//!
//! Invariant: a credential is looked at once, when a request over HTTP comes or a connection logs in, and gives a
//! [`Caller`] or a [`Pass`]; what either may do is decided by [`Caller::admit`] alone. No credential is ever logged or
//! repeated.

mod api_key;
mod caller;
mod denied;
mod keys;
mod provider;
mod reserved;
mod token;

use std::sync::Arc;

use chat_protocol::id::SYSTEM;
use chat_protocol::{Code, Refusal, UserId};
use parking_lot::Mutex;

pub use self::api_key::make as make_api_key;
pub use self::caller::{Caller, Grant};
use self::denied::{Denied, Failures, Fault};
use self::keys::{Keys, Numbers};
pub use self::token::mint;
use crate::config::{self, Scopes};
use crate::model::Identity;

/// Longest credential that is looked at, in bytes.
const MAX_CREDENTIAL: usize = 8 * 1024;

/// Who may ask.
pub struct Auth {
    /// None where every caller is an operator.
    closed: Option<Closed>,
    failures: Failures,
}

struct Closed {
    keys: Mutex<Arc<Keys>>,
    /// Keeps the numbers of keys apart over all reloads.
    numbers: Mutex<Numbers>,
}

/// What lets a connection speak for a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    /// What the operator who logged in as the user may do; none for the users themselves, who may do what users may.
    pub scopes: Option<Scopes>,
    /// When it ends, in Unix seconds; [`u32::MAX`] for never.
    pub until_s: u32,
    /// The key it is from; 0 where nobody needs one.
    pub number: u16,
}

/// What is known after a reload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Names of the operators' keys, in order.
    pub names: Vec<String>,
    /// Keys that tokens may be signed with.
    pub token_keys: usize,
}

/// Who a credential is of.
enum Holder {
    Operator(Scopes, u16),
    User { identity: Identity, until_s: u32, number: u16 },
}

impl Auth {
    /// Every caller is an operator.
    #[must_use]
    pub fn open() -> Self {
        Self { closed: None, failures: Failures::default() }
    }

    /// As the settings say.
    ///
    /// # Errors
    /// A text for the operator that names the setting or file, and no secret.
    pub fn new(settings: &config::Auth) -> Result<Self, String> {
        if settings.is_open() {
            return Ok(Self::open());
        }
        let mut numbers = Numbers::default();
        let keys = Mutex::new(Arc::new(Keys::load(settings, &mut numbers)?));
        let closed = Some(Closed { keys, numbers: Mutex::new(numbers) });
        Ok(Self { closed, failures: Failures::default() })
    }

    /// Whether every caller is an operator.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.closed.is_none()
    }

    /// Who asks over HTTP with this value of `Authorization`.
    ///
    /// # Errors
    /// [`Code::NotLoggedIn`] without a credential, [`Code::NotAuthorised`] with one that is none.
    pub fn caller(&self, authorization: Option<&str>) -> Result<Caller, Refusal> {
        self.who(|| bearer(authorization))
    }

    /// Who asks over a WebSocket with this token, before any log-in.
    ///
    /// # Errors
    /// As [`Auth::caller`].
    pub fn observer(&self, token: Option<&str>) -> Result<Caller, Refusal> {
        self.who(|| given(token))
    }

    fn who<'a>(&self, credential: impl FnOnce() -> Result<&'a str, Denied>) -> Result<Caller, Refusal> {
        let Some(closed) = &self.closed else {
            return Ok(Caller::Operator(Grant { scopes: Scopes::ALL, key: 0 }));
        };
        let holder = credential().and_then(|credential| closed.keys().holder(credential));
        Ok(match holder.map_err(|denied| self.failures.note(denied))? {
            Holder::Operator(scopes, key) => Caller::Operator(Grant { scopes, key }),
            Holder::User { identity, .. } => Caller::Bearer(identity),
        })
    }

    /// Lets a connection speak for a user.
    ///
    /// # Errors
    /// As [`Auth::caller`]; [`Code::NotAuthorised`] too for a credential of somebody else, and [`Code::BadUserId`] for
    /// a name that no user may have.
    pub fn pass(&self, token: Option<&str>, identity: &Identity) -> Result<Pass, Refusal> {
        let Some(closed) = &self.closed else {
            return Ok(Pass { scopes: Some(Scopes::ALL), until_s: u32::MAX, number: 0 });
        };
        closed.pass(token, identity).map_err(|denied| self.failures.note(denied))
    }

    /// How often a credential was refused, by why; nothing where none is asked for.
    pub fn failures(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.failures.iter()
    }

    /// Takes the keys of other settings. On an open node there are none, and stay none.
    ///
    /// # Errors
    /// [`Code::RefusedByRule`] with a reason for the operator; the keys then stay as they were.
    pub fn reload(&self, settings: &config::Auth) -> Result<Known, Refusal> {
        let refused = |why: &str| Refusal::new(Code::RefusedByRule, why);
        match (&self.closed, settings.is_open()) {
            (None, true) => Ok(Known::default()),
            (None, false) => Err(refused(
                "there were no keys at the start, and every caller is an operator; start it again",
            )),
            (Some(_), true) => Err(refused(
                "no keys are left, which would make every caller an operator; start it again to do that",
            )),
            (Some(closed), false) => {
                let keys = Keys::load(settings, &mut closed.numbers.lock()).map_err(|why| refused(&why))?;
                let known = keys.known();
                *closed.keys.lock() = Arc::new(keys);
                Ok(known)
            }
        }
    }

    /// The name of the operator's key with this number, while it counts.
    #[must_use]
    pub fn key_name(&self, number: u16) -> Option<String> {
        let keys = self.closed.as_ref()?.keys();
        keys.api.iter().find(|(_, held)| held.number == number).map(|(name, _)| name.clone())
    }

    /// Which passes still count, by the number of their key; none where all do.
    #[must_use]
    pub fn live(&self) -> Option<impl Fn(u16) -> bool + use<>> {
        let keys = self.closed.as_ref()?.keys();
        Some(move |number| keys.has(number))
    }
}

impl Closed {
    fn keys(&self) -> Arc<Keys> {
        self.keys.lock().clone()
    }

    fn pass(&self, token: Option<&str>, identity: &Identity) -> Result<Pass, Denied> {
        let token = given(token)?;
        check_name(&identity.user).map_err(|refusal| Fault::Name.with(refusal))?;
        match self.keys().holder(token)? {
            Holder::Operator(scopes, number) => {
                caller::check_impersonation(scopes).map_err(|refusal| Fault::Scope.with(refusal))?;
                Ok(Pass { scopes: Some(scopes), until_s: u32::MAX, number })
            }
            Holder::User { identity: own, .. } if own != *identity => {
                Err(Denied::new(Fault::OtherUser, "the token is of another user or app"))
            }
            Holder::User { until_s, number, .. } => Ok(Pass { scopes: None, until_s, number }),
        }
    }
}

impl Keys {
    fn holder(&self, credential: &str) -> Result<Holder, Denied> {
        if credential.len() > MAX_CREDENTIAL {
            let reason = format!("a token has at most {MAX_CREDENTIAL} bytes");
            return Err(Denied::new(Fault::Malformed, reason));
        }
        match api_key::is_key(credential) {
            true => self.operator(credential),
            false => self.user(credential),
        }
    }

    fn operator(&self, key: &str) -> Result<Holder, Denied> {
        let hash = api_key::hash(key);
        let found = self.api.values().fold(None, |found, held| match api_key::fits(&hash, &held.key.hash) {
            true => Some(held),
            false => found,
        });
        let held = found.ok_or_else(|| Denied::new(Fault::UnknownKey, "the key is unknown"))?;
        Ok(Holder::Operator(held.key.scopes, held.number))
    }

    fn user(&self, token: &str) -> Result<Holder, Denied> {
        let verified = self.tokens.verify(token).map_err(|(fault, why)| Denied::new(fault, why))?;
        check_name(&verified.identity.user).map_err(|refusal| Fault::Name.with(refusal))?;
        let token::Verified { identity, until_s, number } = verified;
        Ok(Holder::User { identity, until_s, number })
    }
}

/// A name that chatd speaks under must not be a user's, however it is written, nor one that reads as such a name.
///
/// # Errors
/// [`Code::BadUserId`] for such a name.
pub fn check_name(user: &UserId) -> Result<(), Refusal> {
    match reserved::is_reserved(user.as_str()) {
        true => Err(Refusal::new(Code::BadUserId, format!("userId: {SYSTEM} is no user's name"))),
        false => Ok(()),
    }
}

/// The token in the data of a command.
fn given(token: Option<&str>) -> Result<&str, Denied> {
    token.filter(|token| !token.is_empty()).ok_or_else(|| {
        let reason = "this server asks for a token: give it as token in the log-in";
        Fault::Missing.with(Refusal::new(Code::NotLoggedIn, reason))
    })
}

/// What follows `Bearer` (RFC 6750 §2.1).
fn bearer(authorization: Option<&str>) -> Result<&str, Denied> {
    let missing = || {
        let reason = "this server asks for a key or a token: Authorization: Bearer …";
        Fault::Missing.with(Refusal::new(Code::NotLoggedIn, reason))
    };
    let (scheme, credential) =
        authorization.and_then(|value| value.trim().split_once(' ')).ok_or_else(missing)?;
    let credential = credential.trim();
    match scheme.eq_ignore_ascii_case("bearer") && !credential.is_empty() {
        true => Ok(credential),
        false => Err(missing()),
    }
}

#[cfg(test)]
mod tests;
