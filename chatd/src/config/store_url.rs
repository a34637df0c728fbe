//! The URL of a store, which may hold a password and therefore cannot be shown.
//!
//! Invariant: only [`StoreUrl::expose`] gives the text; every other way out leaves away what may be secret, in a
//! wrongly written URL more rather than less.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

/// What stands for a text that is not shown.
const HIDDEN: &str = "***";

/// The URL, which is shown without what may be secret.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct StoreUrl(String);

impl StoreUrl {
    /// The URL with its password, for whoever connects.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether none is given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for StoreUrl {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl FromStr for StoreUrl {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.into())
    }
}

/// Without password and parameters.
impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.0))
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", shown(&self.0))
    }
}

impl Serialize for StoreUrl {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// Of a text in which URLs, keys and tokens may stand, the same with each of them hidden as far as it is secret.
#[must_use]
pub fn hide_secrets(text: &str) -> String {
    let end = |c: char| c.is_whitespace() || "'\"`".contains(c);
    let pieces = text.split_inclusive(end).map(|piece| {
        let word = piece.trim_end_matches(end);
        let names_one = word.contains('=') && word.to_ascii_lowercase().contains("pass");
        // Every token begins with {", in base64.
        if word.contains("ck_") || word.contains("eyJ") {
            return piece.replacen(word, HIDDEN, 1);
        }
        match word.contains("://") || word.contains('@') || names_one {
            true => piece.replacen(word, &shown(word), 1),
            false => piece.to_owned(),
        }
    });
    pieces.collect()
}

fn shown(url: &str) -> String {
    if url.is_empty() || url.starts_with("sqlite:") {
        return url.to_owned();
    }
    let Some((scheme, rest)) = url.split_once("://") else { return HIDDEN.to_owned() };
    if scheme.is_empty() || !scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-".contains(&b)) {
        return HIDDEN.to_owned();
    }
    let nothing = format!("{scheme}://{HIDDEN}");
    // The last @, because a password that is not escaped may hold one.
    let (credentials, place) = match rest.rsplit_once('@') {
        Some((credentials, place)) => (Some(credentials), place),
        None => (None, rest),
    };
    let (place, parameters) = match place.split_once('?') {
        Some((place, _)) => (place, format!("?{HIDDEN}")),
        None => (place, String::new()),
    };
    let (hosts, path) = place.split_at(place.find('/').unwrap_or(place.len()));
    let is_clear = credentials.is_none_or(|credentials| !credentials.contains(['?', '#', '/']))
        && hosts.split(',').all(is_host)
        && path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/%-._,".contains(&b));
    match credentials.map(|credentials| credentials.split_once(':')) {
        _ if !is_clear => nothing,
        None => format!("{scheme}://{hosts}{path}{parameters}"),
        Some(Some((user, _))) if user.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) => {
            format!("{scheme}://{user}:{HIDDEN}@{hosts}{path}{parameters}")
        }
        // A lone word may be a token.
        Some(_) => format!("{scheme}://{HIDDEN}@{hosts}{path}{parameters}"),
    }
}

/// Whether it is a host, with a port or without; a forgotten @ leaves a password where a port should be.
fn is_host(text: &str) -> bool {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port),
        _ => (text, ""),
    };
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let is_address = name.parse::<std::net::IpAddr>().is_ok();
    port.bytes().all(|b| b.is_ascii_digit())
        && (is_address || name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._%".contains(&b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_shown_and_nothing_else() {
        for (url, text) in [
            ("", ""),
            ("redis://host", "redis://host"),
            ("redis://user:secret@host:1/0", "redis://user:***@host:1/0"),
            ("redis://secret@host", "redis://***@host"),
            ("redis://:p@ss@host", "redis://:***@host"),
            ("redis+sentinel://:p@h1:1,h2:2/main", "redis+sentinel://:***@h1:1,h2:2/main"),
            ("unix:///a/b.sock?db=1&pass=secret", "unix:///a/b.sock?***"),
            ("postgres://u@h/d?password=secret&x=1", "postgres://***@h/d?***"),
            ("postgres://[::1]:5/d", "postgres://[::1]:5/d"),
            ("sqlite:/a/b", "sqlite:/a/b"),
        ] {
            let url = StoreUrl::from(url);
            assert_eq!((url.to_string(), format!("{url:?}")), (text.to_owned(), format!("{text:?}")));
            assert_eq!(serde_json::to_value(&url).unwrap(), text);
        }
    }

    /// Spellings of other programs, and mistakes.
    const SECRETS: [&str; 20] = [
        "secret",
        "u:secret@h",
        "postgres:u:secret@h",
        "redis:/:secret@h",
        "redis://:se?cret@h",
        "redis://:se/cret@h",
        "redis://:se#cret@h",
        "redis://u:secret",
        "redis://h:1secret/0",
        "postgres://h/d?password=s@secret",
        "postgres://h/d;password=secret",
        "postgres://u:secret@h:port/d",
        "localhost:6379,password=secret,ssl=False",
        "unix:/run/redis.sock?pass=secret",
        "host=db user=chat password=secret dbname=chat",
        "jdbc:postgresql://h/d?user=u&password=secret",
        "host=h;username=u;password=secret",
        "amqp:u:secret@h",
        "amqp://u:secret@h?x=secret",
        " redis://:secret@h",
    ];

    #[test]
    fn no_spelling_shows_a_password() {
        for hostile in SECRETS {
            let shown = StoreUrl::from(hostile).to_string();
            assert!(!shown.contains("secret") && !shown.contains("cret"), "{hostile}: {shown}");
        }
    }

    #[test]
    fn urls_in_a_text_are_hidden_and_the_rest_stays() {
        assert_eq!(
            hide_secrets("unrecognized subcommand 'redis://:secret@h'\n\nUsage: chatd [OPTIONS]"),
            "unrecognized subcommand 'redis://:***@h'\n\nUsage: chatd [OPTIONS]"
        );
        for hostile in &SECRETS[1..] {
            let shown = hide_secrets(&format!("invalid value '{hostile}' for it"));
            assert!(!shown.contains("secret") && !shown.contains("cret"), "{hostile}: {shown}");
            assert!(shown.starts_with("invalid value '") && shown.ends_with("' for it"), "{shown}");
        }
    }
}
