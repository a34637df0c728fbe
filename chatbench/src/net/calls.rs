//! Calls of `chat.v1.Chat`, over connections of HTTP/2 that senders share.
//!
//! Invariant: nothing is repeated here: of a call without an answer it is not known whether it was done.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use chat_client::{Error, Server, Stream};
use chat_proto::chat_client::ChatClient;
use chat_proto::{QueryUserOnlineRequest, SendMessageAllRequest, SendMessageRequest};
use chat_protocol::AppId;
use hyper_util::rt::TokioIo;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Request, Response, Status};
use tower::service_fn;

use crate::failure::Failure;

/// What the operator can do when a server does not take calls.
const NEXT: &str = "start chatd with --grpc-listen ADDR, and name that address with --grpc-server; it is spoken over TLS \
                    where --server is https, believed as --ca or --insecure say";

/// How long a connection may be silent while a call is under way before it is asked for a sign of life, and how long it is
/// waited for: one that is dead breaks, and the next call makes another.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// One connection to a server's port for gRPC, made when it is first used and again after it broke.
#[derive(Clone)]
pub struct Caller {
    server: String,
    chat: ChatClient<Channel>,
    shown: Option<AsciiMetadataValue>,
    timeout: Duration,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Caller {
    /// To this server, which is waited for so long in each call, the connection to it included.
    ///
    /// # Errors
    /// [`Failure::Usage`] when the address or what is shown there cannot stand in a call.
    pub fn to(server: &Server, timeout: Duration) -> Result<Self, Failure> {
        let unusable = |error: String| Failure::Usage(format!("--grpc-server: {server}: {error}"));
        let mut shown = None;
        if let Some(authorization) = server.authorization() {
            let mut value: AsciiMetadataValue =
                authorization.parse().map_err(|_| unusable("the key cannot be shown there".to_owned()))?;
            value.set_sensitive(true);
            shown = Some(value);
        }
        let name = server.to_string();
        let named: Uri = name.parse().map_err(|_| unusable("no address".to_owned()))?;
        // The connection brings its own TLS; the library must not look for one.
        let endpoint = Endpoint::from_shared(format!("http://{}", server.authority()));
        let endpoint = endpoint.map_err(|error| unusable(innermost(&error)))?.origin(named);
        let endpoint = endpoint.http2_keep_alive_interval(SIGN_OF_LIFE).keep_alive_timeout(SIGN_OF_LIFE);
        let server = server.clone();
        let channel = endpoint.connect_with_connector_lazy(service_fn(move |_: Uri| {
            let server = server.clone();
            async move { open(&server, timeout).await.map(TokioIo::new) }
        }));
        Ok(Self { server: name, chat: ChatClient::new(channel), shown, timeout })
    }

    /// Makes the connection and sees who is there.
    ///
    /// # Errors
    /// [`Failure::CouldNotRun`] when it is nobody who takes these calls. One who refuses this one does.
    pub async fn greet(&self, app_id: AppId) -> Result<(), Failure> {
        let user_id = "chatbench".to_owned();
        let asked = self.asked(QueryUserOnlineRequest { app_id: Some(app_id), user_id });
        match self.within(self.chat.clone().query_user_online(asked)).await {
            Ok(_) | Err(Error::Refused { .. }) => Ok(()),
            Err(error) => Err(Failure::could_not_run(format!("no gRPC: {error}"), NEXT)),
        }
    }

    /// Sends a message to one user; gives its number in the conversation.
    ///
    /// # Errors
    /// Any [`Error`]; [`Error::Refused`] when the server said no.
    pub async fn send(&self, message: SendMessageRequest) -> Result<u64, Error> {
        let sent = self.within(self.chat.clone().send_message(self.asked(message))).await;
        sent.map(|answer| answer.offset)
    }

    /// Sends a message to everybody; gives its number in the world.
    ///
    /// # Errors
    /// As [`Caller::send`].
    pub async fn send_all(&self, message: SendMessageAllRequest) -> Result<u64, Error> {
        let sent = self.within(self.chat.clone().send_message_all(self.asked(message))).await;
        sent.map(|answer| answer.offset)
    }

    /// The answer to a call. The call's own deadline begins when there is a connection, this one at once.
    async fn within<T>(&self, call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, Error> {
        match tokio::time::timeout(self.timeout, call).await {
            Ok(answered) => answered.map(Response::into_inner).map_err(|status| self.error(&status)),
            Err(_) => Err(self.too_late()),
        }
    }

    fn too_late(&self) -> Error {
        let timeout_ms = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
        Error::Timeout { server: self.server.clone(), timeout_ms }
    }

    fn asked<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        if let Some(shown) = &self.shown {
            request.metadata_mut().insert("authorization", shown.clone());
        }
        request
    }

    fn error(&self, status: &Status) -> Error {
        let server = self.server.clone();
        if let Some(code) = number(status.metadata(), chat_proto::CODE) {
            let retry_after_ms = number(status.metadata(), chat_proto::RETRY_AFTER_MS);
            return Error::Refused { code, reason: status.message().to_owned(), retry_after_ms };
        }
        match (opening(status), status.code()) {
            (Some(Error::Untrusted { cause, .. }), _) => Error::Untrusted { server, cause: cause.clone() },
            (Some(Error::Unreachable { cause, .. }), _) => {
                Error::Unreachable { server, cause: cause.clone() }
            }
            (Some(error), _) => Error::Unreachable { server, cause: error.to_string() },
            (None, Code::DeadlineExceeded | Code::Cancelled) => self.too_late(),
            (None, Code::Unimplemented | Code::Unknown | Code::Internal) if status.source().is_none() => {
                Error::NotChatd { server, cause: status.message().to_owned() }
            }
            (None, _) => Error::Interrupted { server, cause: innermost(status) },
        }
    }
}

async fn open(server: &Server, timeout: Duration) -> Result<Stream, Error> {
    let opened = tokio::time::timeout(timeout, Stream::open_http2(server)).await;
    opened.unwrap_or_else(|_| {
        let cause = format!("no connection within {} ms", timeout.as_millis());
        Err(Error::Unreachable { server: server.to_string(), cause })
    })
}

/// Why there was no connection, when that is why there is no answer.
fn opening(status: &Status) -> Option<&Error> {
    let mut next = status.source();
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn number<T: std::str::FromStr>(metadata: &MetadataMap, name: &str) -> Option<T> {
    metadata.get(name)?.to_str().ok()?.parse().ok()
}

fn innermost(error: &dyn StdError) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
