//! Texts in which a secret may stand although something else belongs there: nobody who reads a refusal sees it again.
//!
//! Invariant: what looks like a key, a token, a password in an address or a run of random bytes is not repeated; in doubt
//! more is hidden rather than less.

use std::borrow::Cow;
use std::net::IpAddr;

/// What stands for a text that is not shown.
pub const HIDDEN: &str = "***";

/// What stands for the name of a file that looks like a secret.
pub const HIDDEN_VALUE: &str = "the value given (it looks like a secret; it is not shown)";

/// Least bytes of random text in base64 to be taken for a secret, and of one of hexadecimal digits.
const RANDOM_BASE64: usize = 20;
const RANDOM_HEX: usize = 32;

/// The name of a file for a refusal, or, when it looks as if a secret was pasted in its place, [`HIDDEN_VALUE`].
#[must_use]
pub fn file(name: &str) -> Cow<'_, str> {
    if is_like_one(name) { HIDDEN_VALUE.into() } else { name.into() }
}

/// Whether a text looks like a key of chatd, a token, a key in PEM, an address with a password, or random bytes.
#[must_use]
pub fn is_like_one(text: &str) -> bool {
    let names_password = || text.contains('=') && text.to_ascii_lowercase().contains("pass");
    holds_credential(text)
        || text.contains("-----BEGIN")
        || (text.contains("://") && text.contains('@'))
        || names_password()
        || is_random(text)
}

/// Of a text in which addresses, keys and tokens may stand, the same with each of them hidden as far as it is secret. How a
/// program is used, which a refusal of its command line ends with, stays as it is.
#[must_use]
pub fn hide(text: &str) -> String {
    let (text, usage) = text.split_at(text.find("\nUsage: ").unwrap_or(text.len()));
    let end = |c: char| c.is_whitespace() || "'\"`".contains(c);
    let pieces = text.split_inclusive(end).map(|piece| {
        let word = piece.trim_end_matches(end);
        let names_one = word.contains('=') && word.to_ascii_lowercase().contains("pass");
        if holds_credential(word) || is_random(word) {
            return piece.replacen(word, HIDDEN, 1);
        }
        match word.contains("://") || word.contains('@') || names_one {
            true => piece.replacen(word, &url(word), 1),
            false => piece.to_owned(),
        }
    });
    pieces.chain([usage.to_owned()]).collect()
}

/// The address of a store or server without password and parameters.
#[must_use]
pub fn url(url: &str) -> String {
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
    let is_address = name.parse::<IpAddr>().is_ok();
    port.bytes().all(|b| b.is_ascii_digit())
        && (is_address || name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._%".contains(&b)))
}

/// Whether an operator's key or a token stands in it.
#[must_use]
pub fn holds_credential(text: &str) -> bool {
    // Every token begins with {", in base64.
    ["ck_", "eyJ"].into_iter().any(|mark| {
        text.match_indices(mark).any(|(at, _)| !text[..at].ends_with(|c: char| c.is_ascii_alphanumeric()))
    })
}

/// Whether the text, or one part of it if it is a path that begins like one, is of no letters but those of random bytes.
fn is_random(text: &str) -> bool {
    let is_path = text.starts_with(['/', '.', '~']);
    let of_base64 = |part: &str| {
        part.len() >= RANDOM_BASE64
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=_-".contains(&b))
            && [u8::is_ascii_digit, u8::is_ascii_lowercase, u8::is_ascii_uppercase]
                .into_iter()
                .all(|is_of| part.bytes().any(|b| is_of(&b)))
    };
    let of_hex = |part: &str| part.len() >= RANDOM_HEX && part.bytes().all(|b| b.is_ascii_hexdigit());
    let is_random = |part: &str| of_base64(part) || of_hex(part);
    if is_path { text.split('/').any(is_random) } else { is_random(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_its_name_and_a_secret_has_none() {
        for name in [
            "jwt.secret",
            "/run/secrets/chatd-jwt-secret-of-production",
            "./keys/2026-01-31.pem",
            "C:/Users/me/key.txt",
            "/var/lib/stack_traces/a",
            "黄帝.key",
            "",
        ] {
            assert_eq!(file(name), name);
        }
        for secret in [
            "eyJhbGciOiJIUzI1NiJ9.e30.x",
            "ck_ops_0123456789abcdef",
            "Bearer ck_ops_0123",
            "./eyJhbGciOiJIUzI1NiJ9.e30.x",
            "-----BEGIN PRIVATE KEY-----\nMC4CAQ",
            "redis://:hush@h",
            "host=db password=hush",
            "q83vEjRWeJC6mHZUMhD+7cuph2VDIQ8e1gmb/kLpVzU=",
            "/83vEjRWeJC6mHZUMhD+7cuph2VDIQ8e1gmb+kLpVzU=",
            "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
        ] {
            assert_eq!(file(secret), HIDDEN_VALUE, "{secret}");
        }
    }

    #[test]
    fn a_place_is_shown_and_nothing_else() {
        for (given, text) in [
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
            assert_eq!(url(given), text);
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
            let shown = url(hostile);
            assert!(!shown.contains("secret") && !shown.contains("cret"), "{hostile}: {shown}");
        }
    }

    #[test]
    fn urls_in_a_text_are_hidden_and_the_rest_stays() {
        assert_eq!(
            hide("unexpected argument '@a'\n\nUsage: chatctl send <USER> <TEXT|-|@FILE>"),
            "unexpected argument '***'\n\nUsage: chatctl send <USER> <TEXT|-|@FILE>"
        );
        assert_eq!(
            hide("unrecognized subcommand 'redis://:secret@h'\n\nUsage: chatd [OPTIONS]"),
            "unrecognized subcommand 'redis://:***@h'\n\nUsage: chatd [OPTIONS]"
        );
        for hostile in &SECRETS[1..] {
            let shown = hide(&format!("invalid value '{hostile}' for it"));
            assert!(!shown.contains("secret") && !shown.contains("cret"), "{hostile}: {shown}");
            assert!(shown.starts_with("invalid value '") && shown.ends_with("' for it"), "{shown}");
        }
    }
}
