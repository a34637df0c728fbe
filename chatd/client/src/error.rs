//! What can go wrong between a client and chatd.

use chat_protocol::Code;
use url::Url;

use crate::server::{Server, without_login};

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is not one of a chatd.
    #[error("{0}")]
    BadServer(String),
    /// No connection: nothing was sent.
    #[error("cannot reach {server}: {cause}")]
    Unreachable {
        /// The address tried.
        server: String,
        /// What the system said.
        cause: String,
    },
    /// No secure connection: the server did not prove who it is, or does not speak TLS. Nothing was sent.
    #[error("no secure connection to {server}: {cause}")]
    Untrusted {
        /// The address tried.
        server: String,
        /// What TLS has against it.
        cause: String,
    },
    /// The server sent the caller elsewhere, and the caller did not go.
    #[error("{server} redirects to {location} (HTTP status {status}); the request was not sent there")]
    Redirected {
        /// The address asked.
        server: String,
        /// HTTP status.
        status: u16,
        /// Where to, without user, password and query.
        location: String,
        /// What to name as the server if a chatd is there.
        instead: String,
    },
    /// The request went out and no answer came in time: it may have been carried out.
    #[error("no answer from {server} within {timeout_ms} ms")]
    Timeout {
        /// The address asked.
        server: String,
        /// How long the client waited, in milliseconds.
        timeout_ms: u64,
    },
    /// The connection ended before the answer: the request may have been carried out.
    #[error("the connection to {server} ended before the answer: {cause}")]
    Interrupted {
        /// The address asked.
        server: String,
        /// What the system said.
        cause: String,
    },
    /// The server refused.
    #[error("{reason} (code {code})")]
    Refused {
        /// See [`Code`].
        code: u16,
        /// The server's words.
        reason: String,
        /// How long to wait before the next try, in milliseconds, when the server said so.
        retry_after_ms: Option<u64>,
    },
    /// The WebSocket is closed.
    #[error("closed by the server: code {code}{}{reason}", if reason.is_empty() { "" } else { ", " })]
    Closed {
        /// Close code; 1006 when the connection broke without one.
        code: u16,
        /// The server's words.
        reason: String,
    },
    /// What came back is not an answer of chatd.
    #[error("{server} did not answer like chatd: {cause}")]
    NotChatd {
        /// The address asked.
        server: String,
        /// What was wrong with the answer.
        cause: String,
    },
}

impl Error {
    /// The refusal's code, when the server refused.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match self {
            Error::Refused { code, .. } => Code::from_number(*code),
            _ => None,
        }
    }

    /// What to change in how the server is named, where that is what is wrong.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        match self {
            Error::Redirected { instead, .. } if instead.is_empty() => {
                Some("name the chatd itself with --server".to_owned())
            }
            Error::Redirected { instead, .. } => {
                Some(format!("if a chatd is there, name it: --server {instead}"))
            }
            // What a server that speaks no TLS says is no message of TLS.
            Error::Untrusted { server, cause } if cause.contains("corrupt message") => {
                let plain = server.replacen("https://", "http://", 1);
                Some(format!("it does not speak TLS on this port: try --server {plain}"))
            }
            Error::Untrusted { cause, .. } if cause.contains("expired") => {
                Some("have the certificate of the server renewed, or believe any with --insecure".to_owned())
            }
            Error::Untrusted { cause, .. } if cause.contains("not valid for name") => {
                Some("name the server as its certificate does, or believe any with --insecure".to_owned())
            }
            Error::Untrusted { cause, .. } if cause.contains("CaUsedAsEndEntity") => Some(
                "its certificate is one of an authority: have it made with CA:FALSE, or believe any with --insecure"
                    .to_owned(),
            ),
            Error::Untrusted { cause, .. } if cause.contains("AccessDenied") => Some(
                "it takes no more connections of this address now (limits.connections_per_address and limits.connect_rate_per_address): close some, or wait"
                    .to_owned(),
            ),
            Error::Untrusted { cause, .. } if cause.contains("InternalError") => {
                Some("the node is full: try again later, or another node".to_owned())
            }
            Error::Untrusted { .. } => Some(
                "give the certificate to believe with --ca FILE, or believe any with --insecure".to_owned(),
            ),
            _ => None,
        }
    }
}

/// The error of a redirect: `location` as the server of `path` wrote it.
pub(crate) fn redirected(server: &Server, path: &str, status: u16, location: &str) -> Error {
    let (location, instead) = match server.url(path).join(location) {
        Ok(mut url) => {
            // Neither can fail for an address that has a host; one without is not shown with more than its scheme.
            let _ = (url.set_username(""), url.set_password(None));
            url.set_query(None);
            url.set_fragment(None);
            let mut base = url.clone();
            let prefix = url.path().strip_suffix(path).filter(|_| !path.is_empty()).unwrap_or_default();
            base.set_path(prefix);
            (url.to_string(), Url::as_str(&base).trim_end_matches('/').to_owned())
        }
        Err(_) => (without_login(location), String::new()),
    };
    Error::Redirected { server: server.to_string(), status, location, instead }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_says_what_to_name_instead_and_no_secret() {
        let server: Server = "http://ops:s3cret@chat.example/im".parse().unwrap();
        for (location, shown, instead) in [
            (
                "https://chat.example/im/user/list?x=1",
                "https://chat.example/im/user/list",
                "https://chat.example/im",
            ),
            ("https://a:s3cret@chat.example/", "https://chat.example/", "https://chat.example"),
            ("//other:81/user/list", "http://other:81/user/list", "http://other:81"),
            ("/login", "http://chat.example/login", "http://chat.example"),
            ("http://a:s3cret@[", "http://***@[", ""),
        ] {
            let error = redirected(&server, "/user/list", 307, location);
            let text = error.to_string();
            assert!(text.contains(&format!("redirects to {shown} (HTTP status 307)")), "{text}");
            assert!(!format!("{text} {error:?}").contains("s3cret"), "{error:?}");
            assert!(
                matches!(error, Error::Redirected { instead: found, .. } if found == instead),
                "{location}"
            );
        }
    }
}
