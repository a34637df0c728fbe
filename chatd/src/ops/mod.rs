//! Operations: the same function serves HTTP, WebSocket and gRPC.
//!
//! Invariant: the table holds exactly the operations of `chat_protocol::table::ALL`; each checks its
//! parameters against the operation's fields before it runs, and none runs for a caller who may not. What an operator
//! does, or is refused, goes through here and nowhere else, and is recorded here.

pub mod access;
pub mod audit;
pub mod conversation;
pub mod desk;
pub mod duty;
pub mod explain;
pub mod file;
pub mod friend;
pub mod group;
pub mod message;
pub mod node;
pub mod red_packet;
pub mod system;
pub mod user;
pub mod wallet;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use chat_protocol::operation::{Description, Effect, Operation};
use chat_protocol::table::ALL;
use chat_protocol::{Code, Params, Refusal};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::value::RawValue;

use crate::audit::{Act, Audit};
use crate::auth::Caller;
use crate::files::Files;

type Answer = BoxFuture<'static, Result<Box<RawValue>, Refusal>>;
type Handler = Box<dyn Fn(Caller, Params) -> Answer + Send + Sync>;
/// Does an operation for whoever calls, with checked parameters.
type Run<S, O> = for<'a> fn(
    &'a S,
    Caller,
    <O as Operation>::Request,
) -> BoxFuture<'a, Result<<O as Operation>::Response, Refusal>>;

/// What does the operations, one service a noun.
pub struct Services {
    /// Users.
    pub user: Arc<user::User>,
    /// Groups.
    pub group: Arc<group::GroupOps>,
    /// Logged messages.
    pub message: Arc<message::MessageOps>,
    /// A user's conversations.
    pub conversation: Arc<conversation::ConversationOps>,
    /// Friendships.
    pub friend: Arc<friend::FriendOps>,
    /// Red packets.
    pub red_packet: Arc<red_packet::RedPacketOps>,
    /// Wallets.
    pub wallet: Arc<wallet::WalletOps>,
    /// The system.
    pub system: Arc<system::System>,
    /// The nodes, and the connections of this one.
    pub node: Arc<node::NodeOps>,
    /// Who may be here.
    pub access: Arc<access::Access>,
    /// What operators did.
    pub audit: Arc<audit::AuditOps>,
    /// Files.
    pub file: Arc<Files>,
    /// What happened.
    pub explain: Arc<explain::ExplainOps>,
}

/// What stands before an operation: who may do it, and the record of who did.
pub struct Guard {
    description: Description,
    audit: Option<Arc<Audit>>,
}

/// An operation that can be called by path.
pub struct Bound {
    guard: Guard,
    handler: Handler,
}

/// Operations by path.
#[derive(Default)]
pub struct Table {
    by_path: HashMap<&'static str, Bound>,
    /// Where what operators do is recorded.
    audit: Option<Arc<Audit>>,
}

impl Table {
    /// Every operation, bound to the services that do it.
    #[must_use]
    pub fn new(services: &Services) -> Self {
        let mut table = Self { audit: services.audit.log(), ..Self::default() };
        user::bind(&mut table, &services.user);
        group::bind(&mut table, &services.group);
        message::bind(&mut table, &services.message);
        conversation::bind(&mut table, &services.conversation);
        file::bind(&mut table, &services.file);
        friend::bind(&mut table, &services.friend);
        red_packet::bind(&mut table, &services.red_packet);
        wallet::bind(&mut table, &services.wallet);
        system::bind(&mut table, &services.system);
        node::bind(&mut table, &services.node);
        access::bind(&mut table, &services.access);
        audit::bind(&mut table, &services.audit);
        explain::bind(&mut table, &services.explain);
        debug_assert_eq!(table.by_path.len(), ALL.len(), "an operation is not bound");
        table
    }

    /// Adds the operation `O`: what its type states, and what does it.
    pub fn bind<O: Operation, S: Send + Sync + 'static>(&mut self, service: &Arc<S>, run: Run<S, O>) {
        let service = service.clone();
        let handler = move |caller: Caller, params: Params| -> Answer {
            let (service, request) = (service.clone(), params.conform::<O::Request>(O::RULES));
            async move { encode(&run(&service, caller, request?).await?) }.boxed()
        };
        let guard = self.guard(O::DESCRIPTION);
        self.by_path.insert(O::PATH, Bound { guard, handler: Box::new(handler) });
    }

    /// What stands before an operation, also before one that is none of the table's.
    #[must_use]
    pub fn guard(&self, description: Description) -> Guard {
        Guard { description, audit: self.audit.clone() }
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

    /// Where what operators do is recorded; nowhere if it is not.
    #[must_use]
    pub fn audit(&self) -> Option<&Arc<Audit>> {
        self.audit.as_ref()
    }
}

impl Guard {
    /// Whether whoever asks from there may run it at all, before anything is read of what they ask.
    ///
    /// # Errors
    /// Why they are nobody, or as [`Caller::may`].
    pub fn check(&self, caller: Result<Caller, Refusal>, peer: SocketAddr) -> Result<Caller, Refusal> {
        let caller = caller.inspect_err(|refusal| self.refused(None, peer, refusal))?;
        let checked = caller.may(self.description.rights);
        checked.inspect_err(|refusal| self.refused(Some(&caller), peer, refusal)).map(|()| caller)
    }

    /// Whether the caller, who asks from there, may run it so; see [`Caller::admit`].
    ///
    /// # Errors
    /// As there.
    pub fn admit(&self, caller: &Caller, peer: SocketAddr, params: &mut Params) -> Result<(), Refusal> {
        let admitted = caller.admit(self.description.rights, params);
        admitted.inspect_err(|refusal| self.refused(Some(caller), peer, refusal))
    }

    /// What an admitted caller is about to do, if it is to be recorded.
    #[must_use]
    pub fn act(&self, caller: &Caller, peer: SocketAddr, params: &Params) -> Option<Act> {
        self.audit.as_ref()?.act(&self.description, caller, peer, params)
    }

    /// Notes that whoever asked from there may not, where that matters.
    pub fn refused(&self, caller: Option<&Caller>, peer: SocketAddr, refusal: &Refusal) {
        if let Some(audit) = &self.audit {
            audit.refused(&self.description, caller, peer, refusal);
        }
    }
}

impl Bound {
    /// Which parameter makes a repeat harmless.
    #[must_use]
    pub fn key(&self) -> Option<&'static str> {
        self.guard.description.key
    }

    /// What the operation does to the world.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.guard.description.effect
    }

    /// What stands before it.
    #[must_use]
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Runs the operation, if the caller, who asks from there, may.
    pub fn call(&self, caller: Caller, peer: SocketAddr, mut params: Params) -> Answer {
        if let Err(refusal) = self.guard.admit(&caller, peer, &mut params) {
            return std::future::ready(Err(refusal)).boxed();
        }
        let act = self.guard.act(&caller, peer, &params);
        let doing = (self.handler)(caller, params);
        match act {
            Some(act) => act.around(doing, |refusal: &Refusal| refusal.code).boxed(),
            None => doing,
        }
    }
}

fn encode(response: &impl serde::Serialize) -> Result<Box<RawValue>, Refusal> {
    serde_json::value::to_raw_value(response).map_err(|error| {
        tracing::error!(%error, "an answer could not be encoded");
        Code::ServerError.into()
    })
}
