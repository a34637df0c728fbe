//! Counts calls by what they ask for and how they were answered, as requests over HTTP are.
//!
//! Invariant: every call to a known service is counted once, also one that the library refuses, which is told as a refusal
//! like any other.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use chat_protocol::{Code, Operation, message, user};
use futures_util::future::BoxFuture;
use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::NamedService;
use tracing::Instrument;

use super::status::{code_of, foreign, status};
use crate::counters::Counters;
use crate::counters::requests::{OTHER, operation};
use crate::log::ms;

/// A service whose calls are counted.
#[derive(Clone)]
pub(super) struct Counted<S> {
    service: S,
    counters: Arc<Counters>,
    max_bytes: usize,
}

impl<S> Counted<S> {
    /// Counts there. `max_bytes`: of a request.
    pub(super) fn new(service: S, counters: Arc<Counters>, max_bytes: usize) -> Self {
        Self { service, counters, max_bytes }
    }
}

impl<S: NamedService> NamedService for Counted<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Counted<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (began, counters, max_bytes) = (Instant::now(), self.counters.clone(), self.max_bytes);
        let name = name(request.uri().path());
        let span = tracing::debug_span!("gRPC", path = request.uri().path());
        let answering = self.service.call(request);
        let answered = async move {
            let mut answer = answering.await?;
            // An answer that was begun has its status at its end, and none here.
            let mut given = Status::from_header_map(answer.headers());
            if let Some(refusal) = given.as_ref().and_then(|given| foreign(given, max_bytes)) {
                let refused = status(&refusal);
                answer = refused.clone().into_http();
                given = Some(refused);
            }
            let code = match &given {
                Some(status) => code_of(status).unwrap_or_default(),
                None => Code::Success.number(),
            };
            counters.requests.grpc.of(name).count(code, began.elapsed());
            tracing::debug!(code, ms = ms(began.elapsed()), "answered");
            Ok(answer)
        };
        Box::pin(answered.instrument(span))
    }
}

/// What a call to this path asks for.
fn name(path: &str) -> &'static str {
    let (service, method) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
    match (service, method) {
        ("chat.v1.Chat", "QueryUserOnline") => operation(user::Online::PATH),
        ("chat.v1.Chat", "SendMessage") => operation(user::SendMessage::PATH),
        ("chat.v1.Chat", "SendMessageAll") => operation(user::SendMessageAll::PATH),
        ("chat.v1.Chat", "ListUsers") => operation(user::List::PATH),
        ("chat.v1.Chat", "ReadConversation") => operation(message::History::PATH),
        ("grpc.health.v1.Health", _) => "health",
        (service, _) if service.starts_with("grpc.reflection.") => "reflection",
        _ => OTHER,
    }
}
