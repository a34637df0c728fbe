//! Who may ask: the host a request names, and the page it comes from.
//!
//! Invariant: nothing runs for a request whose host or origin is refused, and nothing changes for one that a page
//! elsewhere made a browser send. Programs send neither an origin nor a browser's word, and are not meant.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use chat_protocol::{Code, Refusal};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ALLOW, CONNECTION, EXPECT, HOST, ORIGIN, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use parking_lot::RwLock;
use tracing::Instrument;

use super::{Edge, forwarded, names, refuse, unread};
use crate::config::{Host, Hosts, Origin, Origins};
use crate::counters::requests::operation;
use crate::listener::Peer;
use crate::log::ms;

/// What a browser says about its requests (W3C Fetch Metadata §2).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// What a request of a script or of a person is for. All else is a part of a page: a picture, a frame, a style …
const ACTIVE: [&str; 3] = ["empty", "document", "websocket"];
/// Seconds for which a browser may remember what it was allowed.
const PREFLIGHT_AGE: HeaderValue = HeaderValue::from_static("600");
/// Bytes of a foreign text that are repeated at most.
const MAX_SHOWN: usize = 100;

/// Decides by its headers whether a request is let in.
#[derive(Debug)]
pub struct Door {
    lists: RwLock<Arc<Lists>>,
    /// Whether a request must name an allowed host, even when none is listed.
    is_loopback: bool,
    /// What keepers of connections are told.
    keep_alive: HeaderValue,
}

/// Whom the settings let in.
#[derive(Debug)]
struct Lists {
    origins: Origins,
    hosts: Hosts,
}

impl Door {
    /// A door that lets these origins and hosts in. On loopback the host matters always: a page elsewhere whose name
    /// has come to mean this machine is of one origin with chatd, and only the name gives it away. `keep_alive` is in
    /// whole seconds.
    #[must_use]
    pub fn new(origins: Origins, hosts: Hosts, is_loopback: bool, keep_alive: Duration) -> Self {
        let keep_alive = HeaderValue::try_from(format!("timeout={}", keep_alive.as_secs()));
        let keep_alive = keep_alive.unwrap_or(HeaderValue::from_static(""));
        Self { lists: RwLock::new(Arc::new(Lists { origins, hosts })), is_loopback, keep_alive }
    }

    /// Lets in these from now on, and no others.
    pub fn relist(&self, origins: Origins, hosts: Hosts) {
        *self.lists.write() = Arc::new(Lists { origins, hosts });
    }

    fn lists(&self) -> Arc<Lists> {
        self.lists.read().clone()
    }

    /// Whether a request is let in.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, parts: &Parts) -> Result<(), Refusal> {
        let (host, lists) = (host(parts)?, self.lists());
        let asks_for_host = self.is_loopback || !lists.hosts.is_empty();
        if let Some(host) = host.as_ref().filter(|host| asks_for_host && !lists.hosts.allow(host)) {
            let came = shown(parts.headers.get(HOST));
            tracing::warn!(came, expected = "a loopback name", setting = "allowed_hosts", "refused a Host");
            return Err(Refusal::new(
                Code::NotAuthorised,
                format!(
                    "the Host {came:?} is not answered here, only localhost and the names of the setting \
                     allowed_hosts; if a proxy passes on the name it is asked for, start chatd with \
                     --allowed-hosts {}",
                    host.name()
                ),
            ));
        }
        let Some(origin) = parts.headers.get(ORIGIN) else { return Ok(()) };
        let text = origin.to_str().unwrap_or_default();
        let is_own = host.is_some_and(|host| text.parse().is_ok_and(|origin: Origin| origin.is_at(&host)));
        if is_own || lists.origins.allow(text) {
            return Ok(());
        }
        let (came, expected) = (shown(Some(origin)), shown(parts.headers.get(HOST)));
        tracing::warn!(came, expected, setting = "allowed_origins", "refused an Origin");
        let reason = format!(
            "the Origin {came:?} is not this host's; an operator can list it in the setting allowed_origins"
        );
        Err(Refusal::new(Code::NotAuthorised, reason))
    }

    /// Whether a request may change something.
    ///
    /// # Errors
    /// [`Code::NotAuthorised`] when a browser says that another page, or a part of a page, asks for it.
    pub fn check_change(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let said = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or_default());
        let origin = said(ORIGIN).unwrap_or_default();
        let refused = match (said(SEC_FETCH_SITE), said(SEC_FETCH_DEST)) {
            (_, Some(dest)) if !ACTIVE.contains(&dest) => ("Sec-Fetch-Dest", dest),
            (Some(site), _)
                if !["same-origin", "none"].contains(&site) && !self.lists().origins.allow(origin) =>
            {
                ("Sec-Fetch-Site", site)
            }
            _ => return Ok(()),
        };
        let (name, value) = (refused.0, cut(refused.1));
        tracing::warn!(
            came = value,
            expected = "same-origin",
            setting = "allowed_origins",
            "refused a change by {name}"
        );
        let reason = format!(
            "a browser asks for this with {name}: {value}; what changes something is for the page of this host, and \
             for scripts of the origins in the setting allowed_origins"
        );
        Err(Refusal::new(Code::NotAuthorised, reason))
    }

    /// Lets scripts of an allowed origin read the answer.
    fn open(&self, method: &Method, origin: Option<&HeaderValue>, answer: &mut HeaderMap) {
        let lists = self.lists();
        if lists.origins.is_empty() {
            return;
        }
        answer.append(VARY, HeaderValue::from_static("origin"));
        let Some(origin) = origin.filter(|origin| lists.origins.allow(origin.to_str().unwrap_or_default()))
        else {
            return;
        };
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if let Some(methods) = answer.get(ALLOW).filter(|_| method == Method::OPTIONS).cloned() {
            answer.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
            let headers = HeaderValue::from_static("authorization, content-type");
            answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, headers);
            answer.insert(ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE);
        }
    }
}

/// Among the extensions of a request whose [`Peer`] is whom a trusted proxy named.
#[derive(Debug, Clone, Copy)]
pub struct Forwarded;

/// Checks every request, and says with every answer what a browser and a keeper of connections must know.
pub async fn watch(state: State<Edge>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    if let Some(&Peer(peer)) = request.extensions().get() {
        let client = state.proxies.client(peer, forwarded(request.headers()));
        if client != peer {
            request.extensions_mut().insert(Peer(client));
            request.extensions_mut().insert(Forwarded);
        }
    }
    let peer = request.extensions().get::<Peer>().map(|peer| tracing::field::display(peer.0));
    // The path without its query, which may hold what is nobody's business.
    let span = tracing::debug_span!("request", method = %request.method(), path = request.uri().path(), peer);
    let counters = state.counters.clone();
    let place = counters.requests.http.place(operation(request.uri().path()));
    let answering = async {
        let answer = admit(state, request, next).await;
        let status = answer.status();
        let code = answer.extensions().get().map(|code: &Code| code.number());
        counters.requests.http.at(place).count(code.unwrap_or(status.as_u16()), began.elapsed());
        let bytes = answer.body().size_hint().exact();
        tracing::debug!(status = status.as_u16(), code, ms = ms(began.elapsed()), bytes, "answered");
        answer
    };
    answering.instrument(span).await
}

async fn admit(State(edge): State<Edge>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let (method, version) = (parts.method.clone(), parts.version);
    let (origin, closes) = (parts.headers.get(ORIGIN).cloned(), names(&parts.headers, &CONNECTION, "close"));
    // Who waits to be told to send the body is not told to only for it to be thrown away.
    let waits = parts.headers.contains_key(EXPECT);
    let (body, unread) = unread::lend(body);
    let mut answer = match edge.door.check(&parts) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(refusal) => {
            drop(body);
            refuse(&refusal)
        }
    };
    let is_whole = unread.drain(if waits { 0 } else { edge.max_body_bytes }).await;
    let status = answer.status();
    let headers = answer.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    edge.door.open(&method, origin.as_ref(), headers);
    if version < Version::HTTP_2 && !closes && status != StatusCode::SWITCHING_PROTOCOLS {
        match is_whole {
            true => headers.insert(KEEP_ALIVE, edge.door.keep_alive.clone()),
            false => headers.insert(CONNECTION, HeaderValue::from_static("close")),
        };
    }
    answer
}

/// The host a request names; none only in HTTP/1.0.
fn host(parts: &Parts) -> Result<Option<Host>, Refusal> {
    let bad = |reason: &str| Refusal::new(Code::BadParameter, reason);
    let mut given = parts.headers.get_all(HOST).iter();
    let (first, second) = (given.next(), given.next());
    if second.is_some() {
        return Err(bad("Host is given more than once"));
    }
    let text = match (parts.uri.authority(), first) {
        (Some(authority), Some(_)) if parts.version < Version::HTTP_2 => authority.as_str(),
        (Some(authority), _) if parts.version >= Version::HTTP_2 => authority.as_str(),
        (_, Some(host)) => host.to_str().map_err(|_| bad("Host is no host name"))?,
        (_, None) if parts.version < Version::HTTP_11 => return Ok(None),
        (_, None) => return Err(bad("Host is missing")),
    };
    text.parse().map(Some).map_err(|why| bad(&format!("Host is no host name: {why}")))
}

fn shown(value: Option<&HeaderValue>) -> &str {
    cut(value.and_then(|value| value.to_str().ok()).unwrap_or_default())
}

/// The text is ASCII.
fn cut(text: &str) -> &str {
    &text[..text.len().min(MAX_SHOWN)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(origins: &[&str]) -> Door {
        let origins: Vec<_> = origins.iter().map(|&origin| origin.to_owned()).collect();
        Door::new(Origins::parse(&origins).unwrap(), Hosts::default(), true, Duration::from_secs(75))
    }

    fn change(door: &Door, headers: &[(&str, &str)]) -> Result<(), Code> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        door.check_change(&map).map_err(|refusal| refusal.code)
    }

    #[test]
    fn a_part_of_a_page_changes_nothing_wherever_the_page_is_from() {
        let door = door(&["*"]);
        for dest in ["image", "script", "style", "iframe", "frame", "embed", "font", "audio", "worker", "new"]
        {
            let headers = [("sec-fetch-dest", dest), ("sec-fetch-site", "same-origin")];
            assert_eq!(change(&door, &headers), Err(Code::NotAuthorised), "{dest}");
        }
        for dest in ["empty", "document"] {
            assert_eq!(change(&door, &[("sec-fetch-dest", dest), ("sec-fetch-site", "cross-site")]), Ok(()));
        }
    }

    #[test]
    fn another_site_changes_something_only_from_a_listed_origin() {
        let door = door(&["https://a.example"]);
        for (site, origin, good) in [
            ("same-origin", None, true),
            ("none", None, true),
            ("same-site", None, false),
            ("cross-site", None, false),
            ("cross-site", Some("https://b.example"), false),
            ("cross-site", Some("https://a.example"), true),
            ("same-site", Some("https://a.example:443"), true),
        ] {
            let mut headers = vec![("sec-fetch-site", site)];
            headers.extend(origin.map(|origin| ("origin", origin)));
            assert_eq!(change(&door, &headers).is_ok(), good, "{site} {origin:?}");
        }
        assert_eq!(change(&door, &[]), Ok(()));
    }
}
