//! Web origins and host names: what browsers say about where a page comes from.
//!
//! Invariant: origins are compared as RFC 6454 does: scheme, host in any case, and port, which may be the default one.

use std::net::IpAddr;
use std::str::FromStr;

/// Where a page comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    scheme: String,
    host: String,
    /// Never absent where the scheme has a default.
    port: Option<u16>,
}

/// A host with a port, as the header `Host` says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    name: String,
    port: Option<u16>,
}

/// Which origins besides the page's own host may use the node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    all: bool,
    listed: Vec<Origin>,
}

/// Which names a request may give as its host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts {
    all: bool,
    listed: Vec<String>,
}

impl Origin {
    /// Whether a page at this origin was loaded from this host. A host says no scheme: a proxy may have taken TLS off.
    #[must_use]
    pub fn is_at(&self, host: &Host) -> bool {
        self.host == host.name && self.port == host.port.or_else(|| default_port(&self.scheme))
    }

    /// Whether a policy can name it: no policy names an address in brackets.
    fn is_of_web(&self) -> bool {
        ["http", "https"].contains(&self.scheme.as_str()) && !self.host.starts_with('[')
    }
}

impl FromStr for Origin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = text.split_once("://").ok_or("an origin begins with http:// or https://")?;
        let scheme = scheme.to_ascii_lowercase();
        let named = scheme.starts_with(|c: char| c.is_ascii_lowercase())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        match scheme.as_str() {
            _ if !named => return Err("an origin begins with http:// or https://"),
            "ws" => return Err("a page has the origin http://…, whatever it connects to"),
            "wss" => return Err("a page has the origin https://…, whatever it connects to"),
            _ => {}
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) {
            return Err("an origin has no path");
        }
        let Host { name, port } = rest.parse()?;
        Ok(Self { port: port.or_else(|| default_port(&scheme)), scheme, host: name })
    }
}

impl FromStr for Host {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => {
                let number = port.bytes().all(|b| b.is_ascii_digit()).then(|| port.parse().ok()).flatten();
                (name, Some(number.ok_or("the port must be a number from 0 to 65535")?))
            }
            _ => (text, None),
        };
        let inner = name.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
        let good = match inner {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
            }
        };
        match () {
            () if good => Ok(Self { name: name.to_ascii_lowercase(), port }),
            () if name.contains('*') => Err("only * alone stands for all; name each one"),
            () if name.contains('@') => Err("there is no user name in it"),
            () if !name.is_ascii() => Err("browsers send such a name as xn--…; write it so"),
            () => Err("it names no host"),
        }
    }
}

impl Host {
    /// Without the port.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port, where one is named.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether it names this machine for itself.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let address = self.name.trim_start_matches('[').trim_end_matches(']');
        match address.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => self.name == "localhost" || self.name.ends_with(".localhost"),
        }
    }
}

impl Origins {
    /// The origins of the setting; blank ones are left out.
    ///
    /// # Errors
    /// For the operator: an entry that can never match, and why.
    pub fn parse(entries: &[String]) -> Result<Self, String> {
        Self::parse_as("allowed_origins", entries)
    }

    /// The same of another setting.
    ///
    /// # Errors
    /// As [`Origins::parse`].
    pub(super) fn parse_as(setting: &str, entries: &[String]) -> Result<Self, String> {
        let mut origins = Self::default();
        for entry in entries.iter().map(|entry| entry.trim()).filter(|entry| !entry.is_empty()) {
            if entry == "*" {
                origins.all = true;
            } else {
                let origin = entry.parse().map_err(|why| never(setting, entry, why, ORIGIN))?;
                origins.listed.push(origin);
            }
        }
        Ok(origins)
    }

    /// Whether pages of this origin may use the node; the text is what the browser said, which need be no origin.
    #[must_use]
    pub fn allow(&self, origin: &str) -> bool {
        self.all || origin.parse().is_ok_and(|origin| self.listed.contains(&origin))
    }

    /// Those of the web as a content security policy names them, each behind a space. For all of them it is https: what
    /// comes in the clear, a page over TLS shows nobody.
    #[must_use]
    pub fn sources(&self) -> String {
        if self.all {
            return " https:".to_owned();
        }
        let named = self.listed.iter().filter(|origin| origin.is_of_web());
        named
            .map(|Origin { scheme, host, port }| match port {
                Some(port) => format!(" {scheme}://{host}:{port}"),
                None => format!(" {scheme}://{host}"),
            })
            .collect()
    }

    /// Whether any text will do.
    #[must_use]
    pub fn allow_all(&self) -> bool {
        self.all
    }

    /// Whether none is allowed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.all && self.listed.is_empty()
    }
}

impl Hosts {
    /// The names of the setting; blank ones are left out.
    ///
    /// # Errors
    /// For the operator: an entry that can never match, and why.
    pub fn parse(entries: &[String]) -> Result<Self, String> {
        let mut hosts = Self::default();
        for entry in entries.iter().map(|entry| entry.trim()).filter(|entry| !entry.is_empty()) {
            if entry == "*" {
                hosts.all = true;
                continue;
            }
            match entry.parse::<Host>() {
                Ok(Host { name, port: None }) => hosts.listed.push(name),
                Ok(_) => return Err(never("allowed_hosts", entry, "a name has no port", HOST)),
                Err(why) => return Err(never("allowed_hosts", entry, why, HOST)),
            }
        }
        Ok(hosts)
    }

    /// Whether a request may name this host.
    #[must_use]
    pub fn allow(&self, host: &Host) -> bool {
        self.all || host.is_loopback() || self.listed.contains(&host.name)
    }

    /// Whether the setting names none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.all && self.listed.is_empty()
    }
}

const ORIGIN: &str = "https://chat.example";
const HOST: &str = "chat.example";

fn never(setting: &str, entry: &str, why: &str, example: &str) -> String {
    format!("{setting}: {entry:?} can never match: {why}; write for example {example}")
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(entries: &[&str]) -> Result<Origins, String> {
        Origins::parse(&entries.iter().map(|&entry| entry.to_owned()).collect::<Vec<_>>())
    }

    fn hosts(entries: &[&str]) -> Result<Hosts, String> {
        Hosts::parse(&entries.iter().map(|&entry| entry.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn case_default_port_and_last_slash_make_no_difference() {
        for written in ["https://chat.example", "HTTPS://Chat.Example:443/", " https://chat.example:443 "] {
            let origins = origins(&[written]).unwrap();
            assert!(origins.allow("https://chat.example"), "{written}");
            for other in
                ["http://chat.example", "https://chat.example:444", "https://a.chat.example", "null", ""]
            {
                assert!(!origins.allow(other), "{written} {other}");
            }
        }
        assert!(origins(&["http://a:8080", "capacitor://localhost"]).unwrap().allow("capacitor://localhost"));
        assert!(origins(&["http://[::1]:80"]).unwrap().allow("http://[::1]"));
        assert!(origins(&["*"]).unwrap().allow("null"));
        assert!(origins(&["", " "]).unwrap().is_empty());
    }

    #[test]
    fn what_can_never_match_is_refused_with_the_reason() {
        for (entry, why) in [
            ("chat.example", "begins with"),
            ("https:/chat.example", "begins with"),
            ("null", "begins with"),
            ("wss://chat.example", "https://…"),
            ("ws://chat.example", "http://…"),
            ("https://chat.example/path", "no path"),
            ("https://chat.example/?a", "no path"),
            ("https://*.chat.example", "only * alone"),
            ("https://u@chat.example", "no user name"),
            ("https://聊天.example", "xn--"),
            ("https://chat.example:port", "port"),
            ("https://chat.example:65536", "port"),
            ("https://", "no host"),
        ] {
            let refused = origins(&[entry]).unwrap_err();
            assert!(refused.starts_with("allowed_origins: ") && refused.contains(why), "{entry}: {refused}");
        }
        for (entry, why) in [
            ("chat.example:80", "no port"),
            ("https://chat.example", "port"),
            ("*.a", "only * alone"),
            ("a/", "no host"),
        ] {
            let refused = hosts(&[entry]).unwrap_err();
            assert!(refused.starts_with("allowed_hosts: ") && refused.contains(why), "{entry}: {refused}");
        }
    }

    #[test]
    fn an_origin_is_at_its_host_whichever_of_them_says_the_default_port() {
        for (origin, host, at) in [
            ("https://chat.example", "chat.example:443", true),
            ("http://chat.example", "Chat.Example:80", true),
            ("https://chat.example", "chat.example", true),
            ("http://chat.example:8080", "chat.example:8080", true),
            ("https://chat.example", "chat.example:8443", false),
            ("https://evil.example", "chat.example:443", false),
            ("http://chat.example:8080", "chat.example", false),
        ] {
            let (origin, host): (Origin, Host) = (origin.parse().unwrap(), host.parse().unwrap());
            assert_eq!(origin.is_at(&host), at, "{origin:?} {host:?}");
        }
    }

    #[test]
    fn loopback_names_and_listed_ones_are_answered() {
        let hosts = hosts(&["Chat.example"]).unwrap();
        for (host, allowed) in [
            ("localhost", true),
            ("LOCALHOST:8080", true),
            ("a.localhost", true),
            ("127.0.0.1:8080", true),
            ("127.9.9.9", true),
            ("[::1]:8080", true),
            ("chat.example:443", true),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("10.0.0.1", false),
            ("[::2]", false),
        ] {
            assert_eq!(hosts.allow(&host.parse().unwrap()), allowed, "{host}");
        }
    }
}
