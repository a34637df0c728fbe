//! Address of a chatd, from the URL an operator types.
//!
//! Invariant: a user and password in the URL, and a key or token, go to the server and into no text that is shown.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chat_protocol::secret::{HIDDEN_VALUE, holds_credential};
use percent_encoding::percent_decode_str;
use rustls::ClientConfig;
use url::Url;

use crate::error::Error;
use crate::trust::Trust;

/// Base address of a chatd, such as `http://127.0.0.1:8080`, and how to know that it is the right one.
#[derive(Clone)]
pub struct Server {
    base: Url,
    /// `user` or `user:password` as it stood in the URL.
    login: Option<String>,
    token: Option<Arc<str>>,
    trust: Trust,
    tls: Arc<OnceLock<Arc<ClientConfig>>>,
}

impl Server {
    /// The address of a path, given with its leading `/`.
    #[must_use]
    pub fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        url
    }

    /// The server at another `host:port`, believed by the same rules and shown the same credential.
    ///
    /// # Errors
    /// [`Error::BadServer`] when that is none.
    pub fn elsewhere(&self, authority: &str) -> Result<Self, Error> {
        let other: Self = format!("{}://{authority}", self.base.scheme()).parse()?;
        Ok(Self { base: other.base, tls: Arc::default(), ..self.clone() })
    }

    /// `host:port` for a TCP connection; an IPv6 host keeps its brackets.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = self.base.host_str().unwrap_or("127.0.0.1");
        format!("{host}:{}", self.base.port_or_known_default().unwrap_or(80))
    }

    /// What the `Host` header names: the port only where it is not the scheme's own.
    #[must_use]
    pub fn host_header(&self) -> String {
        let host = self.base.host_str().unwrap_or("127.0.0.1");
        self.base.port().map_or(host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// The name a certificate must be for; an address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.base.host_str().unwrap_or("127.0.0.1").trim_start_matches('[').trim_end_matches(']')
    }

    /// Path of the WebSocket endpoint.
    #[must_use]
    pub fn socket_path(&self) -> String {
        self.url("/acc").path().to_owned()
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.base.scheme() == "https"
    }

    /// The same server, believed by other rules.
    ///
    /// # Errors
    /// [`Error::BadServer`] when the certificates to trust cannot be read.
    pub fn trusting(self, trust: Trust) -> Result<Self, Error> {
        let server = Self { trust, tls: Arc::default(), ..self };
        // A file that cannot be used is told at once, not by the first connection.
        if server.trust != Trust::System {
            server.trust.config()?;
        }
        Ok(server)
    }

    /// By which rules it is believed.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The same server, asked with a key or a token.
    ///
    /// # Errors
    /// [`Error::BadServer`] when the token has characters that none has.
    pub fn showing(self, token: &str) -> Result<Self, Error> {
        match !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()) {
            true => Ok(Self { token: Some(token.into()), ..self }),
            false => Err(Error::BadServer("a key or token is one word of printable ASCII".to_owned())),
        }
    }

    /// The key or token to log in with; not to be shown.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The URL with user and password, for another process to read; not to be shown.
    #[must_use]
    pub fn with_secrets(&self) -> String {
        match (&self.login, self.to_string().split_once("://")) {
            (Some(login), Some((scheme, rest))) => format!("{scheme}://{login}@{rest}"),
            _ => self.to_string(),
        }
    }

    /// Value of the `Authorization` header: the key or token, or the URL's user and password; not to be shown.
    #[must_use]
    pub fn authorization(&self) -> Option<String> {
        if let Some(token) = &self.token {
            return Some(format!("Bearer {token}"));
        }
        let (user, password) =
            self.login.as_ref().map(|login| login.split_once(':').unwrap_or((login, "")))?;
        let [user, password] = [user, password].map(|part| percent_decode_str(part).collect::<Vec<u8>>());
        Some(format!("Basic {}", STANDARD.encode([user.as_slice(), b":", &password].concat())))
    }

    /// The configuration of TLS, where the scheme asks for it. Made once for all clones.
    ///
    /// # Errors
    /// [`Error::BadServer`] when the certificates to trust cannot be read.
    pub(crate) fn tls(&self) -> Result<Option<Arc<ClientConfig>>, Error> {
        if !self.is_secure() {
            return Ok(None);
        }
        if let Some(made) = self.tls.get() {
            return Ok(Some(made.clone()));
        }
        let made = self.trust.config()?;
        Ok(Some(self.tls.get_or_init(|| made).clone()))
    }
}

impl FromStr for Server {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = |why: &str| {
            let text = without_login(text);
            Error::BadServer(format!(
                "{text:?} is no server address: {why}; write for example http://127.0.0.1:8080"
            ))
        };
        if holds_credential(text.rsplit('@').next().unwrap_or_default()) {
            return Err(Error::BadServer(format!("{HIDDEN_VALUE} is no server address")));
        }
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let mut base = Url::parse(&with_scheme).map_err(|error| bad(&error.to_string()))?;
        match base.scheme() {
            "http" | "https" => {}
            "ws" => base.set_scheme("http").map_err(|()| bad("unusable scheme"))?,
            "wss" => base.set_scheme("https").map_err(|()| bad("unusable scheme"))?,
            other => return Err(bad(&format!("unknown scheme {other}; it is http or https"))),
        }
        if base.host_str().is_none_or(str::is_empty) {
            return Err(bad("no host"));
        }
        let login = match (base.username(), base.password()) {
            ("", None) => None,
            (user, None) => Some(user.to_owned()),
            (user, Some(password)) => Some(format!("{user}:{password}")),
        };
        let unusable = |()| bad("unusable user or password");
        base.set_username("").map_err(unusable)?;
        base.set_password(None).map_err(unusable)?;
        base.set_query(None);
        base.set_fragment(None);
        Ok(Self { base, login, token: None, trust: Trust::default(), tls: Arc::default() })
    }
}

/// What may be shown of a text that was meant to be an address.
pub(crate) fn without_login(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((before, host)) => {
            let scheme = before.split_once("://").map_or("", |(scheme, _)| scheme);
            let between = if scheme.is_empty() { "" } else { "://" };
            format!("{scheme}{between}***@{host}")
        }
        None => text.to_owned(),
    }
}

impl PartialEq for Server {
    fn eq(&self, other: &Self) -> bool {
        (&self.base, &self.login, &self.token, &self.trust)
            == (&other.base, &other.login, &other.token, &other.trust)
    }
}

impl Eq for Server {}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("base", &self.to_string()).field("trust", &self.trust).finish()
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.base.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_spellings_name_the_same_server() {
        for text in ["http://127.0.0.1:8080", "127.0.0.1:8080", "ws://127.0.0.1:8080/"] {
            let server: Server = text.parse().unwrap();
            assert_eq!(server.to_string(), "http://127.0.0.1:8080", "{text}");
            assert_eq!(server.authority(), "127.0.0.1:8080");
            assert_eq!(server.url("/user/list").as_str(), "http://127.0.0.1:8080/user/list");
            assert!(!server.is_secure());
        }
        let behind_a_prefix: Server = "http://chat.example/im/".parse().unwrap();
        assert_eq!(behind_a_prefix.url("/livez").as_str(), "http://chat.example/im/livez");
        assert_eq!(behind_a_prefix.socket_path(), "/im/acc");
        assert_eq!("http://[::1]:9".parse::<Server>().unwrap().authority(), "[::1]:9");
    }

    #[test]
    fn a_secure_server_has_its_own_port_and_name() {
        for text in ["https://chat.example", "wss://chat.example:443/"] {
            let server: Server = text.parse().unwrap();
            assert_eq!(server.to_string(), "https://chat.example", "{text}");
            assert_eq!((server.authority().as_str(), server.is_secure()), ("chat.example:443", true));
            assert_eq!((server.host(), server.host_header().as_str()), ("chat.example", "chat.example"));
        }
        let by_address: Server = "https://[::1]:8443".parse().unwrap();
        assert_eq!((by_address.host(), by_address.host_header().as_str()), ("::1", "[::1]:8443"));
    }

    #[test]
    fn wrong_addresses_say_why() {
        for text in ["", "http://", "ftp://x", "http://x:99999"] {
            let error = text.parse::<Server>().unwrap_err().to_string();
            assert!(error.contains("write for example"), "{text:?}: {error}");
        }
    }

    #[test]
    fn user_and_password_go_to_the_server_and_into_no_text() {
        let server: Server = "https://ops:s%40cret@chat.example/im".parse().unwrap();
        let shown = format!("{server} {server:?} {} {}", server.url("/livez"), server.host_header());
        assert!(!shown.contains("cret") && !shown.contains("ops"), "{shown}");
        assert_eq!(server.authorization().unwrap(), format!("Basic {}", STANDARD.encode("ops:s@cret")));
        assert_eq!(server.with_secrets(), "https://ops:s%40cret@chat.example/im");
        assert_eq!(server.with_secrets().parse::<Server>().unwrap(), server);
        for text in ["ftp://ops:s3cret@x", "http://ops:s3cret@x:99999", "http://ops:s3/cr@et@x y", "s3cret@:"]
        {
            let error = text.parse::<Server>().unwrap_err().to_string();
            assert!(!error.contains("s3") && !error.contains("ops"), "{error}");
        }
        for pasted in ["ck_ops_hush", "http://ck_ops_hush:8080", "eyJhbGciOiJIUzI1NiJ9.e30.hush"] {
            let error = pasted.parse::<Server>().unwrap_err().to_string();
            assert!(error.contains("looks like a secret") && !error.contains("hush"), "{error}");
        }
        assert!(
            "http://u:ck_ops_key@chat.example".parse::<Server>().is_ok(),
            "as a password it is in its place"
        );
    }
}
