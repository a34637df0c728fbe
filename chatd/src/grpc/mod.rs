//! The gRPC edge: calls to operations, a stream of a conversation, health and reflection; and the calls of this node to
//! those that store messages for it.
//!
//! Invariant: a call does what the HTTP operation of the same name does, for the same callers and within the same limits;
//! nothing is decided here. tonic is known in this room only.

mod asking;
mod counting;
mod health;
mod passed;
mod reading;
mod rota;
mod sending;
mod status;

use std::sync::Arc;

use chat_proto as proto;
use chat_proto::chat_server::{Chat, ChatServer};
use chat_protocol::user;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tonic_reflection::server::Builder;

use self::counting::Counted;
pub use self::sending::Senders;
use crate::chat::Chat as Sending;
use crate::config::Proxies;
use crate::counters::Counters;
use crate::hub::Hub;
use crate::listener::{Entrance, Grant, Shortcut, Taken};
use crate::membership::subscriptions::Subscriptions;
use crate::ops::desk::Desk;
use crate::ops::system::System;

/// What the edge leads to.
pub struct Edge {
    /// Receives who asks.
    pub desk: Arc<Desk>,
    /// Stores what other nodes pass on.
    pub chat: Arc<Sending>,
    /// For health.
    pub system: Arc<System>,
    /// Tells who reads a conversation that there is more.
    pub hub: Arc<Hub>,
    /// Follows what they read.
    pub subscriptions: Arc<Subscriptions>,
    /// Who speaks for others.
    pub proxies: Arc<Proxies>,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// Bytes of a request at most.
    pub max_body_bytes: usize,
}

/// Where connections go, and what keeps the health true that is told there, for ever.
///
/// # Errors
/// When the contract cannot be described, which is a fault of this program.
pub async fn entrance(
    edge: Edge,
) -> Result<(Entrance, BoxFuture<'static, ()>), tonic_reflection::server::Error> {
    let edge = Arc::new(edge);
    let (reporter, health) = tonic_health::server::health_reporter();
    health::begin(&reporter).await;
    let described = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    // Programs of some years ago ask by the name that it had then.
    let (reflection, of_old) = (described().build_v1()?, described().build_v1alpha()?);
    let chat = ChatServer::new(Calls(edge.clone())).max_decoding_message_size(edge.max_body_bytes);
    let (counters, most) = (edge.counters.clone(), edge.max_body_bytes);
    let router = Routes::new(Counted::new(chat, counters.clone(), most))
        .add_service(Counted::new(health, counters.clone(), most))
        .add_service(Counted::new(reflection, counters.clone(), most))
        .add_service(Counted::new(of_old, counters, most))
        .prepare()
        .into_axum_router();
    let telling = health::tell(reporter, edge.system.clone(), edge.hub.clone());
    Ok((Entrance { router, shortcut: Arc::new(NoShortcut) }, Box::pin(telling)))
}

/// All that comes is gRPC.
struct NoShortcut;

impl Shortcut for NoShortcut {
    fn grant(&self, _: &[u8], _: std::net::SocketAddr) -> Option<Grant> {
        None
    }

    fn take(&self, _: Taken) {}
}

/// The calls there are.
struct Calls(Arc<Edge>);

#[tonic::async_trait]
impl Chat for Calls {
    async fn query_user_online(
        &self,
        request: Request<proto::QueryUserOnlineRequest>,
    ) -> Result<Response<proto::QueryUserOnlineResponse>, Status> {
        self.0.ask::<user::Online, _>(request).await
    }

    async fn send_message(
        &self,
        request: Request<proto::SendMessageRequest>,
    ) -> Result<Response<proto::SendMessageResponse>, Status> {
        match request.get_ref().passed.is_some() {
            true => passed::to_one(&self.0, request).await,
            false => self.0.ask::<user::SendMessage, _>(request).await,
        }
    }

    async fn send_message_all(
        &self,
        request: Request<proto::SendMessageAllRequest>,
    ) -> Result<Response<proto::SendMessageAllResponse>, Status> {
        match request.get_ref().passed.is_some() {
            true => passed::to_all(&self.0, request).await,
            false => self.0.ask::<user::SendMessageAll, _>(request).await,
        }
    }

    async fn list_users(
        &self,
        request: Request<proto::ListUsersRequest>,
    ) -> Result<Response<proto::ListUsersResponse>, Status> {
        self.0.ask::<user::List, _>(request).await
    }

    type ReadConversationStream = BoxStream<'static, Result<proto::Entry, Status>>;

    async fn read_conversation(
        &self,
        request: Request<proto::ReadConversationRequest>,
    ) -> Result<Response<Self::ReadConversationStream>, Status> {
        reading::open(&self.0, request).await.map(Response::new)
    }
}
