//! Operations over HTTP.

use std::time::Duration;

use chat_protocol::Operation;
use chat_protocol::envelope::HttpAnswer;
use serde_json::Value;

use crate::error::Error;
use crate::server::Server;

/// Calls operations of one chatd over HTTP. Cheap to clone; connections are kept and shared.
#[derive(Debug, Clone)]
pub struct Http {
    server: Server,
    timeout: Duration,
    client: reqwest::Client,
}

impl Http {
    /// A client that waits at most `timeout` for each answer.
    ///
    /// # Errors
    /// [`Error::BadServer`] when the system's HTTP settings are unusable.
    pub fn new(server: Server, timeout: Duration) -> Result<Self, Error> {
        let client = reqwest::Client::builder()
            .timeout(timeout)
            // Shorter than the whole, so that a host that does not answer at all is told from a lost answer.
            .connect_timeout(timeout.mul_f64(0.9))
            .no_proxy()
            .tcp_nodelay(true)
            .build()
            .map_err(|error| Error::BadServer(error.to_string()))?;
        Ok(Self { server, timeout, client })
    }

    /// The server asked.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Calls one operation.
    ///
    /// # Errors
    /// Any [`Error`]; [`Error::Refused`] when the server said no.
    pub async fn call<O: Operation>(&self, request: &O::Request) -> Result<O::Response, Error> {
        let request = serde_json::to_value(request).map_err(|e| self.not_chatd(e))?;
        let data = self.call_raw(O::PATH, &request).await?;
        serde_json::from_value(data).map_err(|e| self.not_chatd(e))
    }

    /// Calls the operation at `path` with a JSON object and gives the answer's `data`.
    ///
    /// # Errors
    /// As [`Http::call`].
    pub async fn call_raw(&self, path: &str, request: &Value) -> Result<Value, Error> {
        let sent = self.client.post(self.server.url(path)).json(request).send().await;
        let response = sent.map_err(|error| self.transport_error(&error))?;
        let status = response.status();
        let body = response.bytes().await.map_err(|error| self.transport_error(&error))?;
        let answer: HttpAnswer<Value> = serde_json::from_slice(&body).map_err(|error| {
            self.not_chatd(format!("HTTP status {status}, body is not an answer: {error}"))
        })?;
        if answer.code == 200 {
            return Ok(answer.data.unwrap_or(Value::Null));
        }
        let retry_after_ms = answer.data.as_ref().and_then(|data| data.get("retryAfterMs")?.as_u64());
        Err(Error::Refused { code: answer.code, reason: answer.msg, retry_after_ms })
    }

    /// Fetches a path by GET: HTTP status and body as text.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Timeout`] or [`Error::Interrupted`].
    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<(u16, String), Error> {
        let sent = self.client.get(self.server.url(path)).query(query).send().await;
        let response = sent.map_err(|error| self.transport_error(&error))?;
        let status = response.status().as_u16();
        let body = response.text().await.map_err(|error| self.transport_error(&error))?;
        Ok((status, body))
    }

    /// As [`Http::get`], without a query; a body of more than `most` bytes is not read to its end.
    ///
    /// # Errors
    /// As [`Http::get`], or [`Error::NotChatd`] when the body is larger.
    pub async fn get_at_most(&self, path: &str, most: usize) -> Result<(u16, String), Error> {
        let sent = self.client.get(self.server.url(path)).send().await;
        let mut response = sent.map_err(|error| self.transport_error(&error))?;
        let (status, mut body) = (response.status().as_u16(), Vec::new());
        while let Some(piece) = response.chunk().await.map_err(|error| self.transport_error(&error))? {
            if body.len() + piece.len() > most {
                return Err(self.not_chatd(format!("HTTP status {status}, more than {most} bytes")));
            }
            body.extend_from_slice(&piece);
        }
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    fn not_chatd(&self, cause: impl ToString) -> Error {
        Error::NotChatd { server: self.server.to_string(), cause: cause.to_string() }
    }

    fn transport_error(&self, error: &reqwest::Error) -> Error {
        let server = self.server.to_string();
        let timeout_ms = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
        if error.is_connect() {
            let cause = if error.is_timeout() {
                format!("no connection within {timeout_ms} ms")
            } else {
                innermost(error)
            };
            return Error::Unreachable { server, cause };
        }
        if error.is_timeout() {
            return Error::Timeout { server, timeout_ms };
        }
        Error::Interrupted { server, cause: innermost(error) }
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
