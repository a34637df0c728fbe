//! Operations: the same function serves HTTP and WebSocket.
//!
//! Invariant: the table holds exactly the operations of `chat_protocol::operation::ALL`; each checks its
//! parameters against the operation's fields before it runs.

pub mod system;
pub mod user;

use std::collections::HashMap;
use std::sync::Arc;

use chat_protocol::operation::{ALL, Description, Operation};
use chat_protocol::{Code, Params, Refusal};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::value::RawValue;

use crate::hub::Identity;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Over HTTP without a user's token: may name any user.
    Operator,
    /// A logged-in connection: acts as its own user, in its own app.
    Session(Identity),
}

type Answer = BoxFuture<'static, Result<Box<RawValue>, Refusal>>;
type Handler = Box<dyn Fn(Params) -> Answer + Send + Sync>;

/// An operation that can be called by path.
pub struct Bound {
    description: Description,
    handler: Handler,
}

/// Operations by path.
#[derive(Default)]
pub struct Table {
    by_path: HashMap<&'static str, Bound>,
}

impl Table {
    /// Every operation, bound to the services that do it.
    #[must_use]
    pub fn new(user: Arc<user::User>, system: Arc<system::System>) -> Self {
        let mut table = Self::default();
        user::bind(&mut table, &user);
        system::bind(&mut table, &system);
        debug_assert_eq!(table.by_path.len(), ALL.len(), "an operation is not bound");
        table
    }

    /// Adds the operation `O`, done by `run`.
    pub fn bind<O, F>(&mut self, run: impl Fn(O::Request) -> F + Send + Sync + Clone + 'static)
    where
        O: Operation,
        F: Future<Output = Result<O::Response, Refusal>> + Send + 'static,
    {
        let handler = move |params: Params| -> Answer {
            let running = params.conform::<O::Request>(O::FIELDS).map(&run);
            async move { encode(&running?.await?) }.boxed()
        };
        self.by_path.insert(O::PATH, Bound { description: O::DESCRIPTION, handler: Box::new(handler) });
    }

    /// The operation at an HTTP path.
    #[must_use]
    pub fn path(&self, path: &str) -> Option<&Bound> {
        self.by_path.get(path)
    }

    /// The operation with a WebSocket command's name.
    #[must_use]
    pub fn command(&self, cmd: &str) -> Option<&Bound> {
        self.by_path.get(format!("/{cmd}").as_str())
    }

    /// Whether there is a WebSocket command of this name.
    #[must_use]
    pub fn has(&self, cmd: &str) -> bool {
        self.command(cmd).is_some()
    }
}

impl Bound {
    /// Runs the operation.
    pub fn call(&self, caller: Caller, mut params: Params) -> Answer {
        if let Caller::Session(identity) = caller {
            params.set("appId", identity.app.into());
            if let Some(actor) = self.description.actor {
                params.set(actor, identity.user.as_str().into());
            }
        }
        (self.handler)(params)
    }
}

fn encode(response: &impl serde::Serialize) -> Result<Box<RawValue>, Refusal> {
    serde_json::value::to_raw_value(response).map_err(|error| {
        tracing::error!(%error, "an answer could not be encoded");
        Code::ServerError.into()
    })
}
