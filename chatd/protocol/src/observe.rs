//! Reading along: an operator's connection that is no user's, and gets what is said in conversations of others.
//!
//! Invariant: who observes is no member, is not online, and has read nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{AppId, UserId};
use crate::operation::{Effect, Operation, Rights, Scope};
use crate::params::parameters;
use crate::session::{Position, Recovered};

/// Command that makes a connection, instead of a log-in, one that observes.
pub const OBSERVE: &str = "session/observe";
/// Conversations one connection may observe at most.
pub const MAX_OBSERVED: usize = 100;

/// `session/observe`: what was said after each of these positions is pushed, and what is said from now on.
pub struct Observe;

parameters! {
    /// Parameters of [`Observe`].
    pub struct ObserveRequest {
        /// Which world.
        pub app_id: AppId,
        /// Whose one-to-one conversations `user:…` names; needed for those only.
        pub user_id: Option<UserId>,
        /// An operator's key, where the server asks for one.
        pub token: Option<String>,
        /// Last known position of each conversation, 1 to 100 of them, as the user names it.
        pub recover: Vec<Position>,
    }
}

/// Answer of [`Observe`]. The missed messages follow as pushes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Observed {
    /// One for each conversation asked for, in the same order.
    pub recovered: Vec<Recovered>,
}

impl Operation for Observe {
    const PATH: &'static str = "/session/observe";
    const EFFECT: Effect = Effect::Reads;
    const ABOUT: &'static str =
        "Makes the connection read along in conversations without being a user; it does nothing else then.";
    const RIGHTS: Rights = Rights::Operator(Scope::Read);
    type Request = ObserveRequest;
    type Response = Observed;
}
