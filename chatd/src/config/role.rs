//! What a node does of what there is, and the nodes that store messages for it.
//!
//! Invariant: a role that lacks what it needs, or is given what it does not use, is refused by the name of the setting.

use std::fmt;
use std::path::Path;

use chat_protocol::secret as secrets;
use serde::{Deserialize, Serialize};

use super::{Config, Host, MAX_FILE, Secret, Serve, StoreUrl, text_file};

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    All,
    /// Holds WebSockets, and has the page and files.
    Gateway,
    /// Does operations over HTTP and gRPC.
    Api,
    /// Stores the messages that other nodes pass on, over gRPC.
    Sender,
    /// Applies settlements; takes no clients.
    Settler,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] = [Role::All, Role::Gateway, Role::Api, Role::Sender, Role::Settler];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::All => "all",
            Role::Gateway => "gateway",
            Role::Api => "api",
            Role::Sender => "sender",
            Role::Settler => "settler",
        }
    }

    /// Whether clients hold WebSockets to such a node.
    #[must_use]
    pub const fn takes_websockets(self) -> bool {
        matches!(self, Role::All | Role::Gateway)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The nodes that store messages for this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Senders {
    /// Where they take calls.
    pub places: Vec<SenderPlace>,
    /// The operator's key that they are shown; empty for none.
    pub key: Secret,
}

/// Where a sender takes calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderPlace {
    /// Its name or address, one of IPv6 in brackets.
    pub host: String,
    /// Its port of gRPC.
    pub port: u16,
    /// Whether it speaks TLS there.
    pub is_tls: bool,
}

/// As a URL.
impl fmt::Display for SenderPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl Config {
    /// The nodes that store for this one; none where it stores by itself.
    ///
    /// # Errors
    /// A text for the operator that names the setting, and no secret.
    pub fn senders(&self) -> Result<Option<Senders>, String> {
        let Serve { sender_url, sender_key_file, .. } = &self.serve;
        let has_key = !sender_key_file.as_os_str().is_empty();
        let given = sender_url.iter().filter(|url| !url.is_empty());
        let places = given.map(place).collect::<Result<Vec<_>, _>>()?;
        match (places.is_empty(), has_key) {
            (true, false) => Ok(None),
            (true, true) => Err("sender_key_file is shown to senders; give --sender-url URL".to_owned()),
            (false, false) => Ok(Some(Senders { places, key: Secret::default() })),
            (false, true) => Ok(Some(Senders { places, key: key_in(sender_key_file)? })),
        }
    }

    /// Whether the role has what it needs, and nothing that it does not use.
    pub(super) fn check_role(&self) -> Result<(), String> {
        let Serve { role, redis, grpc_listen, .. } = &self.serve;
        let refused = |why: &str| Err(format!("role = \"{role}\" {why}"));
        let passes_on = self.senders()?.is_some();
        match role {
            Role::Gateway if !grpc_listen.is_empty() => {
                refused("speaks no gRPC; leave grpc_listen out, or give it to a node of the role api")
            }
            Role::Sender if passes_on => refused("stores messages by itself; leave sender_url out"),
            Role::Settler if passes_on => refused("takes no messages; leave sender_url out"),
            Role::Sender if grpc_listen.is_empty() => {
                refused("takes messages over gRPC; give --grpc-listen ADDR")
            }
            Role::Sender if redis.is_empty() => {
                refused("stores in the Redis that it shares with other nodes; give --redis URL")
            }
            _ if passes_on && redis.is_empty() => {
                Err("sender_url needs the Redis that the senders store in; give --redis URL".to_owned())
            }
            _ => Ok(()),
        }
    }
}

fn place(url: &StoreUrl) -> Result<SenderPlace, String> {
    let wrong = |why: &str| format!("sender_url = {url:?}: {why}; write for example http://10.0.0.7:50051");
    let (scheme, rest) =
        url.expose().trim().split_once("://").ok_or_else(|| wrong("it begins with http:// or https://"))?;
    let is_tls = match scheme {
        "http" => false,
        "https" => true,
        _ => return Err(wrong("it begins with http:// or https://")),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#']) {
        return Err(wrong("it has no path"));
    }
    let host: Host = rest.parse().map_err(wrong)?;
    match host.port() {
        Some(port @ 1..) => Ok(SenderPlace { host: host.name().to_owned(), port, is_tls }),
        _ => Err(wrong("it names the port of the sender's grpc_listen")),
    }
}

/// The key that a file holds.
fn key_in(file: &Path) -> Result<Secret, String> {
    let told = |why: &str| format!("sender_key_file: {}: {why}", secrets::file(&file.to_string_lossy()));
    let text = text_file::read(file, MAX_FILE).map_err(|why| told(&why))?;
    match text.trim() {
        key if !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(key.into()),
        _ => Err(told("it holds one key, as `chatd api-key` prints it first")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(role: Role, redis: &str, grpc: &str, senders: &[&str]) -> Config {
        let mut config = Config::default();
        (config.serve.role, config.serve.redis) = (role, redis.into());
        config.serve.grpc_listen = grpc.to_owned();
        config.serve.sender_url = senders.iter().map(|&url| url.into()).collect();
        config
    }

    #[test]
    fn a_role_has_what_it_needs_and_nothing_else() {
        let (redis, grpc) = ("redis://h", "127.0.0.1:50051");
        let (none, url): (&[&str], &[&str]) = (&[], &["http://h:50051"]);
        for (role, redis, grpc, senders, named) in [
            (Role::All, "", "", none, None),
            (Role::All, redis, grpc, url, None),
            (Role::All, "", "", url, Some("--redis")),
            (Role::Gateway, "", "", none, None),
            (Role::Gateway, redis, "", url, None),
            (Role::Gateway, redis, grpc, none, Some("grpc_listen")),
            (Role::Api, "", "", none, None),
            (Role::Api, redis, grpc, url, None),
            (Role::Api, "", grpc, url, Some("--redis")),
            (Role::Sender, redis, grpc, none, None),
            (Role::Sender, redis, grpc, &[""][..], None),
            (Role::Sender, redis, "", none, Some("--grpc-listen")),
            (Role::Sender, "", grpc, none, Some("--redis")),
            (Role::Sender, redis, grpc, url, Some("sender_url")),
            (Role::Settler, redis, "", url, Some("sender_url")),
        ] {
            let checked = config(role, redis, grpc, senders).check_role();
            assert_eq!(
                checked.is_ok(),
                named.is_none(),
                "{role} {redis:?} {grpc:?} {senders:?}: {checked:?}"
            );
            let said = checked.err().unwrap_or_default();
            assert!(named.is_none_or(|named| said.contains(named)), "{role}: {said}");
        }
    }

    #[test]
    fn a_sender_is_a_host_and_a_port_and_its_url_hides_a_password() {
        let read = |url: &str| {
            let found = config(Role::All, "redis://h", "", &[url]).senders();
            found.map(|senders| senders.unwrap().places[0].clone())
        };
        for (url, host, port, is_tls) in [
            ("http://10.0.0.7:50051", "10.0.0.7", 50051, false),
            ("https://Sender.example:443/", "sender.example", 443, true),
            (" http://[::1]:9 ", "[::1]", 9, false),
        ] {
            assert_eq!(read(url), Ok(SenderPlace { host: host.to_owned(), port, is_tls }), "{url}");
            assert_eq!(read(&read(url).unwrap().to_string()), read(url));
        }
        for url in [
            "10.0.0.7:50051",
            "grpc://h:1",
            "http://h",
            "http://h:0",
            "http://h:70000",
            "http://h:1/path",
            "http://h:1?hush",
            "http://u:hush@h:1",
            "http://",
        ] {
            let refused = read(url).unwrap_err();
            assert!(refused.starts_with("sender_url = ") && !refused.contains("hush"), "{refused}");
        }
    }

    #[test]
    fn a_key_is_one_word_of_a_file_and_shown_nowhere() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key");
        let mut with_key = config(Role::Api, "redis://h", "", &["http://h:1"]);
        with_key.serve.sender_key_file.clone_from(&file);
        assert!(with_key.senders().unwrap_err().starts_with("sender_key_file: "));
        for (text, good) in [("ck_ops_x\n", true), ("", false), ("two words", false), ("ö", false)] {
            std::fs::write(&file, text).unwrap();
            let senders = with_key.senders();
            assert_eq!(senders.is_ok(), good, "{text:?}");
            assert!(good || senders.clone().unwrap_err().starts_with("sender_key_file: "), "{text:?}");
            if let Ok(senders) = senders {
                let senders = senders.unwrap();
                assert_eq!(senders.key.expose(), "ck_ops_x");
                assert!(!format!("{senders:?}").contains("ck_ops_x"));
            }
        }
        with_key.serve.sender_url.clear();
        assert!(with_key.check_role().unwrap_err().contains("--sender-url"));
    }
}
