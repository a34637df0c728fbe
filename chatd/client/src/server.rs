//! Address of a chatd, from the URL an operator types.

use std::fmt;
use std::str::FromStr;

use url::Url;

use crate::error::Error;

/// Base address of a chatd, such as `http://127.0.0.1:8080`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    base: Url,
}

impl Server {
    /// The address of a path, given with its leading `/`.
    #[must_use]
    pub fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        url
    }

    /// `host:port` for a TCP connection; an IPv6 host keeps its brackets.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = self.base.host_str().unwrap_or("127.0.0.1");
        format!("{host}:{}", self.base.port_or_known_default().unwrap_or(80))
    }

    /// Path of the WebSocket endpoint.
    #[must_use]
    pub fn socket_path(&self) -> String {
        self.url("/acc").path().to_owned()
    }
}

impl FromStr for Server {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = |why: &str| {
            Error::BadServer(format!(
                "{text:?} is no server address: {why}; write for example http://127.0.0.1:8080"
            ))
        };
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let mut base = Url::parse(&with_scheme).map_err(|error| bad(&error.to_string()))?;
        match base.scheme() {
            "http" => {}
            "ws" => base.set_scheme("http").map_err(|()| bad("unusable scheme"))?,
            "https" | "wss" => return Err(bad("this build speaks http only")),
            other => return Err(bad(&format!("unknown scheme {other}"))),
        }
        if base.host_str().is_none_or(str::is_empty) {
            return Err(bad("no host"));
        }
        base.set_query(None);
        base.set_fragment(None);
        Ok(Self { base })
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
        }
        let behind_a_prefix: Server = "http://chat.example/im/".parse().unwrap();
        assert_eq!(behind_a_prefix.url("/livez").as_str(), "http://chat.example/im/livez");
        assert_eq!(behind_a_prefix.socket_path(), "/im/acc");
        assert_eq!("http://[::1]:9".parse::<Server>().unwrap().authority(), "[::1]:9");
    }

    #[test]
    fn wrong_addresses_say_why() {
        for text in ["", "http://", "ftp://x", "https://x", "http://x:99999"] {
            let error = text.parse::<Server>().unwrap_err().to_string();
            assert!(error.contains("write for example"), "{text:?}: {error}");
        }
    }
}
