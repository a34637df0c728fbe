//! A gRPC client of a node: the contract's own, made from it.
//!
//! Invariant: nothing is retried; a test sees each status as it came.

use std::time::Duration;

use chat_proto::chat_client::ChatClient;
use chat_protocol::Code;
use serde_json::{Map, Value};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

use crate::authority::Authority;
use crate::node::Node;
use crate::wait::SOON;

/// Has a node speak gRPC, at an address that it chooses.
pub const ON: [&str; 2] = ["--grpc-listen", "127.0.0.1:0"];

/// Where a node speaks gRPC: `http://HOST:PORT`.
///
/// # Panics
/// When it does not.
#[must_use]
pub fn address(node: &Node) -> String {
    let log = node.log();
    let told = log.lines().find_map(|line| line.strip_prefix("gRPC on "));
    told.unwrap_or_else(|| panic!("no gRPC: {log}")).to_owned()
}

/// A connection to a node's port for gRPC.
///
/// # Panics
/// When there is none.
pub async fn channel(node: &Node) -> Channel {
    connect(&address(node)).await
}

/// A connection to this address.
///
/// # Panics
/// When there is none.
pub async fn connect(address: &str) -> Channel {
    let endpoint = Endpoint::from_shared(address.to_owned()).expect("an address").connect_timeout(SOON);
    endpoint.connect().await.unwrap_or_else(|error| panic!("{address}: {error:?}"))
}

/// A connection over TLS to a node that has a certificate of this authority.
///
/// # Panics
/// When there is none.
pub async fn secure(node: &Node, authority: &Authority) -> Channel {
    let pem = std::fs::read(authority.file()).expect("a certificate");
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)).domain_name("localhost");
    let endpoint = Endpoint::from_shared(address(node)).expect("an address").connect_timeout(SOON);
    endpoint.tls_config(tls).expect("TLS").connect().await.expect("a connection")
}

/// A client of a node.
pub async fn client(node: &Node) -> ChatClient<Channel> {
    ChatClient::new(channel(node).await)
}

/// A message from whoever has this credential, who waits for long.
///
/// # Panics
/// When it cannot stand in metadata.
pub fn shown<T>(credential: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(6 * SOON);
    if !credential.is_empty() {
        let bearer = format!("Bearer {credential}").parse().expect("metadata");
        request.metadata_mut().insert("authorization", bearer);
    }
    request
}

/// A message from nobody in particular.
pub fn plain<T>(message: T) -> Request<T> {
    shown("", message)
}

/// chatd's code in a status.
#[must_use]
pub fn code(status: &Status) -> Option<Code> {
    let number = status.metadata().get(chat_proto::CODE)?.to_str().ok()?.parse().ok()?;
    Code::from_number(number)
}

/// What a call gave, as HTTP would have said it: the code, and the data or the reason.
pub fn told(result: Result<impl serde::Serialize, Status>) -> (u64, Value) {
    match result {
        Ok(message) => (200, without_nothing(serde_json::to_value(message).expect("JSON"))),
        Err(status) => {
            let code = code(&status).unwrap_or_else(|| panic!("no code of chatd: {status:?}"));
            (code.number().into(), status.message().into())
        }
    }
}

/// HTTP leaves out what there is not, and a `duplicate` that is false.
fn without_nothing(value: Value) -> Value {
    let Value::Object(members) = value else { return value };
    let is_there = |(name, value): &(String, Value)| {
        let is_nothing = value.is_null() || (name == "duplicate" && *value == Value::Bool(false));
        !is_nothing
    };
    Value::Object(members.into_iter().filter(is_there).collect::<Map<_, _>>())
}

/// What comes next in a stream.
///
/// # Panics
/// When nothing comes for long.
pub async fn next(
    stream: &mut tonic::Streaming<chat_proto::Entry>,
) -> Result<Option<chat_proto::Entry>, Status> {
    let limit: Duration = 3 * SOON;
    tokio::time::timeout(limit, stream.message()).await.expect("something comes")
}
