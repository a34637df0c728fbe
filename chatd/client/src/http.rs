//! Operations over HTTP.
//!
//! Invariants: no redirect is followed, so that a request goes to the named server, once; what is read of an answer is
//! bounded.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chat_protocol::Operation;
use chat_protocol::certificate::not_after;
use chat_protocol::envelope::HttpAnswer;
use chat_protocol::file::{Upload, UploadRequest, Uploaded};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION};
use reqwest::redirect::Policy;
use reqwest::tls::TlsInfo;
use reqwest::{Request, RequestBuilder, Response, StatusCode};
use serde_json::Value;

use crate::error::{Error, redirected};
use crate::server::Server;
use crate::stream::tls_cause;
use crate::trust::Trust;

/// More bytes than any answer of chatd: a page of history at its largest, with every character escaped.
pub const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// How a path was answered, beside what the answer says.
#[derive(Debug, Clone)]
pub struct Manners {
    /// HTTP status.
    pub status: u16,
    /// Headers by name in small letters; values that are no text are left out.
    pub headers: Vec<(String, String)>,
    /// The last second in which the certificate of whoever answered counts, in Unix time; none without TLS.
    pub certificate_end_s: Option<i64>,
}

impl Manners {
    /// The first header of this name, in small letters.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What one request and its answer cost.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// GET, POST and so on.
    pub method: String,
    /// Path at the server.
    pub path: String,
    /// HTTP status; none when no answer came.
    pub status: Option<u16>,
    /// From the first byte asked for to the last one answered.
    pub took: Duration,
    /// Bytes in the body of the request.
    pub sent: usize,
    /// Bytes in the body of the answer, as far as it was read.
    pub received: usize,
}

/// Is told of each exchange when it is over.
#[derive(Clone)]
struct Observer(Arc<dyn Fn(Exchange) + Send + Sync>);

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

/// Calls operations of one chatd over HTTP. Cheap to clone; connections are kept and shared.
#[derive(Debug, Clone)]
pub struct Http {
    server: Server,
    timeout: Duration,
    client: reqwest::Client,
    observer: Option<Observer>,
}

impl Http {
    /// A client that waits at most `timeout` for each answer.
    ///
    /// # Errors
    /// [`Error::BadServer`] when the system's HTTP settings or the certificates to trust are unusable.
    pub fn new(server: Server, timeout: Duration) -> Result<Self, Error> {
        let tls = match server.tls()? {
            Some(config) => config,
            // Never used, but the client wants one.
            None => Trust::Anyone.config()?,
        };
        let bad = |error: String| Error::BadServer(format!("no HTTP client for {server}: {error}"));
        let mut headers = HeaderMap::new();
        if let Some(authorization) = server.authorization() {
            let mut value = HeaderValue::try_from(authorization).map_err(|error| bad(error.to_string()))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured((*tls).clone())
            .default_headers(headers)
            .timeout(timeout)
            // Shorter than the whole, so that a host that does not answer at all is told from a lost answer.
            .connect_timeout(timeout.mul_f64(0.9))
            .redirect(Policy::none())
            .no_proxy()
            .tcp_nodelay(true)
            .tls_info(true)
            .build()
            .map_err(|error| bad(innermost(&error)))?;
        Ok(Self { server, timeout, client, observer: None })
    }

    /// The same client, which tells of each exchange.
    #[must_use]
    pub fn observed(mut self, tell: impl Fn(Exchange) + Send + Sync + 'static) -> Self {
        self.observer = Some(Observer(Arc::new(tell)));
        self
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
        let posted = self.client.post(self.server.url(path)).json(request);
        let (status, body) = self.fetch(path, posted, MAX_ANSWER_BYTES).await?;
        self.understood(status, &body)
    }

    /// Sends JSON, or a query where the method has no body, and gives status and body of whatever comes back.
    ///
    /// # Errors
    /// As [`Http::call`], without [`Error::Refused`].
    pub async fn ask(&self, method: &str, path: &str, request: &Value) -> Result<(u16, Vec<u8>), Error> {
        let bad = |_| Error::BadServer(format!("{method} is no method of HTTP"));
        let name = reqwest::Method::from_bytes(method.as_bytes()).map_err(bad)?;
        let has_body = ["POST", "PUT", "PATCH"].contains(&method);
        let asked = self.client.request(name, self.server.url(path));
        let asked = if has_body { asked.json(request) } else { asked.query(&in_query(request)) };
        self.fetch(path, asked, MAX_ANSWER_BYTES).await
    }

    /// Uploads a file, which may take so long.
    ///
    /// # Errors
    /// As [`Http::call`].
    pub async fn upload(
        &self,
        request: &UploadRequest,
        file: Vec<u8>,
        within: Duration,
    ) -> Result<Uploaded, Error> {
        let put = self.client.put(self.server.url(Upload::PATH)).query(request).timeout(within).body(file);
        let (status, body) = self.fetch(Upload::PATH, put, MAX_ANSWER_BYTES).await?;
        let data = self.understood(status, &body)?;
        serde_json::from_value(data).map_err(|e| self.not_chatd(e))
    }

    /// Opens an address of a file, as an answer of chatd has it, and hands out its bytes as they come; all of them may
    /// take so long. Stops when `take` says so by an error.
    ///
    /// # Errors
    /// As [`Http::call`]; inside, what `take` said.
    pub async fn open<E>(
        &self,
        address: &str,
        within: Duration,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Result<(), E>, Error> {
        let (path, query) = address.split_once('?').unwrap_or((address, ""));
        let mut url = self.server.url(path);
        url.set_query(Some(query));
        let asked = self.client.get(url).timeout(within);
        let mut response = asked.send().await.map_err(|error| self.transport_error(&error))?;
        if response.status() != StatusCode::OK {
            let (status, body) = self.body(path, response, MAX_ANSWER_BYTES, &mut 0).await?;
            self.understood(status, &body)?;
            return Err(self.not_chatd("an answer that is no file"));
        }
        while let Some(piece) = response.chunk().await.map_err(|error| self.transport_error(&error))? {
            if let Err(error) = take(&piece) {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    /// The `data` of an answer.
    ///
    /// # Errors
    /// [`Error::Refused`] when the server said no, [`Error::NotChatd`] when it is no answer.
    pub fn understood(&self, status: u16, body: &[u8]) -> Result<Value, Error> {
        let answer: HttpAnswer<Value> = serde_json::from_slice(body).map_err(|error| {
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
    /// As [`Http::call`], without [`Error::Refused`].
    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<(u16, String), Error> {
        let asked = self.client.get(self.server.url(path)).query(query);
        let (status, body) = self.fetch(path, asked, MAX_ANSWER_BYTES).await?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    /// As [`Http::get`], without a query; a body of more than `most` bytes is not read to its end.
    ///
    /// # Errors
    /// As [`Http::get`], or [`Error::NotChatd`] when the body is larger.
    pub async fn get_at_most(&self, path: &str, most: usize) -> Result<(u16, String), Error> {
        let (status, body) = self.fetch(path, self.client.get(self.server.url(path)), most).await?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    /// How a GET of `path` with these headers is answered; what the answer says is not read, and a redirect is told like
    /// any other status.
    ///
    /// # Errors
    /// As [`Http::get`].
    pub async fn manners(&self, path: &str, headers: &[(&str, &str)]) -> Result<Manners, Error> {
        let asked = self.client.get(self.server.url(path));
        let asked = headers.iter().fold(asked, |asked, (name, value)| asked.header(*name, *value));
        let response = asked.send().await.map_err(|error| self.transport_error(&error))?;
        let text = |value: &HeaderValue| value.to_str().ok().map(ToOwned::to_owned);
        let headers =
            response.headers().iter().filter_map(|(name, value)| Some((name.to_string(), text(value)?)));
        let tls = response.extensions().get::<TlsInfo>();
        Ok(Manners {
            status: response.status().as_u16(),
            headers: headers.collect(),
            certificate_end_s: tls.and_then(|tls| not_after(tls.peer_certificate()?)),
        })
    }

    /// Sends a request for `path` and reads at most `most` bytes of the answer.
    async fn fetch(&self, path: &str, request: RequestBuilder, most: usize) -> Result<(u16, Vec<u8>), Error> {
        let request = request.build().map_err(|error| self.transport_error(&error))?;
        let Some(Observer(tell)) = &self.observer else {
            return self.exchange(path, request, most, &mut (None, 0)).await;
        };
        let (method, begun) = (request.method().to_string(), Instant::now());
        let sent = request.body().and_then(reqwest::Body::as_bytes).map_or(0, <[u8]>::len);
        let mut seen = (None, 0);
        let outcome = self.exchange(path, request, most, &mut seen).await;
        let (status, received) = seen;
        tell(Exchange { method, path: path.to_owned(), status, took: begun.elapsed(), sent, received });
        outcome
    }

    /// As [`Http::fetch`]; `seen` gets the status and how many bytes came, also when it fails.
    async fn exchange(
        &self,
        path: &str,
        request: Request,
        most: usize,
        seen: &mut (Option<u16>, usize),
    ) -> Result<(u16, Vec<u8>), Error> {
        let sent = self.client.execute(request).await;
        let response = sent.map_err(|error| self.transport_error(&error))?;
        seen.0 = Some(response.status().as_u16());
        self.body(path, response, most, &mut seen.1).await
    }

    /// Reads at most `most` bytes of an answer; `received` counts them, also when it fails.
    async fn body(
        &self,
        path: &str,
        mut response: Response,
        most: usize,
        received: &mut usize,
    ) -> Result<(u16, Vec<u8>), Error> {
        let status = response.status().as_u16();
        if let Some(location) = location(&response) {
            return Err(redirected(&self.server, path, status, location));
        }
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.transport_error(&error))? {
            if body.len() + piece.len() > most {
                return Err(self.not_chatd(format!("HTTP status {status}, more than {most} bytes")));
            }
            body.extend_from_slice(&piece);
            *received = body.len();
        }
        Ok((status, body))
    }

    fn not_chatd(&self, cause: impl ToString) -> Error {
        Error::NotChatd { server: self.server.to_string(), cause: cause.to_string() }
    }

    fn transport_error(&self, error: &reqwest::Error) -> Error {
        let server = self.server.to_string();
        let timeout_ms = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
        if error.is_connect() {
            if let Some(cause) = tls_cause(error) {
                return Error::Untrusted { server, cause };
            }
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

/// The members of an object as a query; texts as they are.
fn in_query(request: &Value) -> Vec<(&str, String)> {
    let members = request.as_object().into_iter().flatten();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    members.map(|(name, value)| (name.as_str(), text(value))).collect()
}

fn location(response: &Response) -> Option<&str> {
    let location = response.headers().get(LOCATION).filter(|_| response.status().is_redirection())?;
    // Bytes that are no text lead nowhere, but it is a redirect all the same.
    Some(location.to_str().unwrap_or_default())
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
