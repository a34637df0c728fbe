//! One call: who asks, what for, and by when.
//!
//! Invariant: a call is received as a request over HTTP is, and runs the operation that this would run.

use std::net::SocketAddr;
use std::time::Duration;

use chat_protocol::{Code, Operation, Params, Refusal};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use super::Edge;
use super::status::{late, status};
use crate::auth::Caller;
use crate::config::Proxies;
use crate::listener::Peer;
use crate::ops::Bound;
use crate::ops::duty::Way;

/// The address of a request that came over no connection.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

/// Who asks, and from where.
pub(super) struct Asking {
    metadata: MetadataMap,
    peer: Option<SocketAddr>,
    /// When the answer is of no use any more.
    pub(super) deadline: Option<Instant>,
}

impl Asking {
    /// Reads what comes with a request.
    ///
    /// # Errors
    /// [`Code::BadParameter`] when the deadline is none.
    pub(super) fn read<T>(request: Request<T>, proxies: &Proxies) -> Result<(Self, T), Refusal> {
        let (metadata, extensions, message) = request.into_parts();
        let peer = extensions.get().map(|Peer(peer)| proxies.client(*peer, forwarded(&metadata)));
        let deadline = match metadata.get("grpc-timeout") {
            Some(text) => Some(text.to_str().ok().and_then(span).ok_or_else(|| {
                Refusal::new(Code::BadParameter, "grpc-timeout is no time, such as 500m or 10S")
            })?),
            None => None,
        };
        let deadline = deadline.and_then(|span| Instant::now().checked_add(span));
        Ok((Self { metadata, peer, deadline }, message))
    }

    /// Where they ask from.
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer.unwrap_or(NOWHERE)
    }

    /// Who they are, at this moment.
    pub(super) fn caller(&self, edge: &Edge) -> Result<Caller, Refusal> {
        let given = self.metadata.get_all("authorization").iter().map(|value| value.to_str().ok());
        edge.desk.caller(given, self.peer)
    }

    /// The same, unless they ask too fast, or may not ask for this at all.
    pub(super) fn admitted(&self, edge: &Edge, operation: &Bound) -> Result<Caller, Refusal> {
        operation.guard().check(edge.desk.paced(self.caller(edge), self.peer), self.peer())
    }

    /// The same of who passes on what was asked of them: operators, whom those asked as fast as they may.
    pub(super) fn trusted(&self, edge: &Edge, operation: &Bound) -> Result<Caller, Refusal> {
        let caller = match self.caller(edge) {
            operator @ Ok(Caller::Operator(_)) => operator,
            other => edge.desk.paced(other, self.peer),
        };
        let caller = operation.guard().check(caller, self.peer())?;
        match caller {
            Caller::Operator(_) => Ok(caller),
            _ => Err(Refusal::new(
                Code::NotAuthorised,
                "messages are passed on by nodes, with an operator's key of the scope send",
            )),
        }
    }
}

impl Edge {
    /// Runs the operation `O`.
    pub(super) async fn ask<O: Operation, A: DeserializeOwned>(
        &self,
        request: Request<impl Serialize>,
    ) -> Result<Response<A>, Status> {
        let (asking, message) = Asking::read(request, &self.proxies).map_err(|refusal| status(&refusal))?;
        let doing = self.done::<O>(&asking, &message);
        let done = match asking.deadline {
            Some(deadline) => timeout_at(deadline, doing).await.map_err(|_| late())?,
            None => doing.await,
        };
        let answer = done.and_then(|answer| read(answer.get())).map_err(|refusal| status(&refusal))?;
        Ok(Response::new(answer))
    }

    async fn done<O: Operation>(
        &self,
        asking: &Asking,
        message: &impl Serialize,
    ) -> Result<Box<RawValue>, Refusal> {
        let operation = self.desk.operation(Way::Grpc, O::PATH)?;
        let caller = asking.admitted(self, operation)?;
        let params = params(message)?;
        self.desk.check_ban(&caller).await?;
        self.desk.check_app(operation, &caller, &params).await?;
        operation.call(caller, asking.peer(), params).await
    }
}

/// The parameters that a message gives: its members, but those that were left out.
pub(super) fn params(message: &impl Serialize) -> Result<Params, Refusal> {
    let mut params = Params::default();
    if let Value::Object(members) = serde_json::to_value(message).map_err(|error| failed(&error))? {
        let given = members.into_iter().filter(|(_, value)| !value.is_null());
        given.for_each(|(name, value)| params.set(&name, value));
    }
    Ok(params)
}

/// The message that an answer of an operation is.
pub(super) fn read<A: DeserializeOwned>(answer: &str) -> Result<A, Refusal> {
    serde_json::from_str(answer).map_err(|error| failed(&error))
}

fn failed(error: &serde_json::Error) -> Refusal {
    tracing::error!(%error, "a message of gRPC does not have the members of its operation");
    Code::ServerError.into()
}

/// Whom proxies say that they forward, the nearest last.
fn forwarded(metadata: &MetadataMap) -> impl DoubleEndedIterator<Item = &str> {
    let values = metadata.get_all("x-forwarded-for").iter();
    values.flat_map(|value| value.to_str().unwrap_or_default().split(','))
}

/// A time as gRPC writes it: at most 8 digits and a unit (gRPC over HTTP/2, `grpc-timeout`).
fn span(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 60 * 60),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_what_grpc_says_it_is() {
        for (text, expected) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("99999999S", Some(Duration::from_secs(99_999_999))),
            ("0m", Some(Duration::ZERO)),
            ("7u", Some(Duration::from_micros(7))),
            ("7n", Some(Duration::from_nanos(7))),
            ("100000000n", None),
            ("", None),
            ("S", None),
            ("5", None),
            ("-1S", None),
            ("+1S", None),
            ("1.5S", None),
            ("1s", None),
            ("1 S", None),
            ("１S", None),
            ("1é", None),
        ] {
            assert_eq!(span(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_left_out_is_no_parameter() {
        let message = chat_proto::SendMessageRequest {
            app_id: Some(4),
            user_id: "a".to_owned(),
            r#type: Some("img".to_owned()),
            ..Default::default()
        };
        let params = params(&message).unwrap();
        let given = |name| params.given(name).cloned();
        assert_eq!(given("appId"), Some(4.into()));
        assert_eq!((given("type"), given("message")), (Some("img".into()), Some("".into())));
        assert_eq!((given("msgId"), given("from")), (None, None));
    }
}
