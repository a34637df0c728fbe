//! Who may do an operation: users as themselves, operators with a scope.
//!
//! Invariant: each operation states its [`Rights`] once, in its type; whoever checks, describes or tests them reads them
//! there.

use std::fmt;
use std::str::FromStr;

/// What an operator's key may be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// To look at anything but money.
    Read,
    /// To send, and to act in groups and friendships, in the name of any user.
    Send,
    /// To look at money and to move it.
    Money,
    /// To moderate users and to run the node.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 4] = [Scope::Read, Scope::Send, Scope::Money, Scope::Admin];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Send => "send",
            Scope::Money => "money",
            Scope::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        found.ok_or("a scope is read, send, money or admin")
    }
}

/// Who may do an operation, and for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// Whoever is in the app, and the answer is the same for all; an operator with this scope.
    Anyone(Scope),
    /// The user whom this parameter names, who is the caller; an operator with this scope names whom they like.
    User(&'static str, Scope),
    /// Operators with this scope only, whoever is named.
    Operator(Scope),
}

impl Rights {
    /// Which parameter names the acting user.
    #[must_use]
    pub const fn actor(self) -> Option<&'static str> {
        match self {
            Rights::User(parameter, _) => Some(parameter),
            Rights::Anyone(_) | Rights::Operator(_) => None,
        }
    }

    /// What an operator's key needs.
    #[must_use]
    pub const fn scope(self) -> Scope {
        match self {
            Rights::Anyone(scope) | Rights::User(_, scope) | Rights::Operator(scope) => scope,
        }
    }

    /// Whether users may do it as themselves.
    #[must_use]
    pub const fn are_for_users(self) -> bool {
        !matches!(self, Rights::Operator(_))
    }
}
