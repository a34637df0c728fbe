//! Whether settings can be used, and what the texts among them mean.
//!
//! Invariant: a refusal names the setting and never a password.

use std::net::SocketAddr;
use std::path::PathBuf;

use chat_protocol::Span;
use chat_protocol::system::MAX_DRAIN_S;

use super::{Config, Hosts, Origins, Proxies, Role, Serve, StoreUrl};

/// Where the ledger is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerPlace {
    /// Beside the embedded engine's other files.
    Own,
    /// In this SQLite file.
    File(PathBuf),
    /// In PostgreSQL, at this URL.
    Postgres(StoreUrl),
    /// Nowhere: no money on this node.
    None,
}

/// Fewest bytes of a journal, and at which an audit log is put aside: some hundred records.
const SMALLEST_LOG: u64 = 64 * 1024;
/// Shortest time that a deadline can be: nodes look once a second.
const SHORTEST: Span = Span::seconds(1);
/// A packet must be known for as long as anybody looks after its money.
const MAX_PACKET_EXPIRY: Span = Span::seconds(30 * 24 * 60 * 60);

impl Config {
    /// Checks what can be checked without starting.
    ///
    /// # Errors
    /// A text that names the setting and what it may be.
    pub fn check(&self) -> Result<(), String> {
        self.listen_addresses()?;
        self.grpc_addresses()?;
        self.check_openness()?;
        self.auth.check()?;
        self.check_tls()?;
        self.allowed_origins()?;
        self.allowed_hosts()?;
        self.proxies()?;
        self.check_money()?;
        self.check_role()?;
        self.check_files()?;
        if self.serve.redis_wait > 0 && self.serve.redis.is_empty() {
            return Err("redis_wait waits for replicas of Redis; give --redis URL".to_owned());
        }
        if self.history.max_messages == 0 {
            return Err("history.max_messages must be at least 1".to_owned());
        }
        if !(1..=1000).contains(&self.audit.old_files) {
            return Err("audit.old_files must be from 1 to 1000".to_owned());
        }
        if (1..SMALLEST_LOG).contains(&self.audit.max_bytes) {
            return Err(format!("audit.max_bytes must be 0 or at least {SMALLEST_LOG}"));
        }
        if (1..SMALLEST_LOG).contains(&(self.serve.journal_bytes as u64)) {
            return Err(format!("journal_bytes must be 0 or at least {SMALLEST_LOG}"));
        }
        self.limits.check()?;
        self.check_spans()
    }

    fn check_spans(&self) -> Result<(), String> {
        let (limits, packet_expiry) = (&self.limits, self.money.packet_expiry);
        let spans = [
            ("limits.keep_alive", limits.keep_alive),
            ("limits.heartbeat_timeout", limits.heartbeat_timeout),
            ("limits.login_timeout", limits.login_timeout),
            ("limits.stall_timeout", limits.stall_timeout),
            ("money.packet_expiry", packet_expiry),
        ];
        if let Some((name, _)) = spans.into_iter().find(|(_, span)| *span < SHORTEST) {
            return Err(format!("{name} must be at least {SHORTEST}"));
        }
        // What is nothing switches these off; what is less than a second would seem to do the same.
        let switches =
            [("history.max_age", self.history.max_age), ("limits.ping_interval", limits.ping_interval)];
        let brief = |span: &Span| !span.is_zero() && *span < SHORTEST;
        if let Some((name, _)) = switches.into_iter().find(|(_, span)| brief(span)) {
            return Err(format!("{name} must be 0 or at least {SHORTEST}"));
        }
        if self.serve.drain > Span::seconds(MAX_DRAIN_S) {
            return Err(format!("drain must be at most {}", Span::seconds(MAX_DRAIN_S)));
        }
        if packet_expiry > MAX_PACKET_EXPIRY {
            return Err(format!("money.packet_expiry must be at most {MAX_PACKET_EXPIRY} (30 days)"));
        }
        Ok(())
    }

    fn check_tls(&self) -> Result<(), String> {
        let Serve { tls_cert, tls_key, .. } = &self.serve;
        match (tls_cert.as_os_str().is_empty(), tls_key.as_os_str().is_empty()) {
            (false, true) => Err("tls_cert needs the key of the certificate; give --tls-key FILE".to_owned()),
            (true, false) => Err("tls_key needs the certificate of the key; give --tls-cert FILE".to_owned()),
            _ => Ok(()),
        }
    }

    fn check_money(&self) -> Result<(), String> {
        let Serve { redis, amqp, role, grpc_listen, .. } = &self.serve;
        if self.ledger()? == LedgerPlace::None && (!amqp.is_empty() || *role == Role::Settler) {
            let needs = if amqp.is_empty() { "role = \"settler\"" } else { "amqp" };
            return Err(format!("{needs} needs a ledger; give --ledger postgres://…"));
        }
        if *role == Role::Settler && !grpc_listen.is_empty() {
            return Err("role = \"settler\" takes no clients; leave grpc_listen out".to_owned());
        }
        if *role == Role::Settler && redis.is_empty() {
            return Err("role = \"settler\" needs the packets of other nodes; give --redis URL".to_owned());
        }
        if *role == Role::Settler && !self.money.settle {
            return Err("role = \"settler\" with money.settle = false would do nothing".to_owned());
        }
        Ok(())
    }

    /// Where the ledger is.
    ///
    /// # Errors
    /// A text for the operator when `ledger` is no place.
    pub fn ledger(&self) -> Result<LedgerPlace, String> {
        let Serve { redis, ledger, .. } = &self.serve;
        match ledger.expose().split_once(':') {
            _ if ledger.is_empty() && redis.is_empty() => Ok(LedgerPlace::Own),
            _ if ledger.is_empty() => Ok(LedgerPlace::None),
            Some(("sqlite", file)) if !file.is_empty() => Ok(LedgerPlace::File(PathBuf::from(file))),
            Some(("postgres" | "postgresql", _)) => Ok(LedgerPlace::Postgres(ledger.clone())),
            _ => Err(format!("ledger = {ledger:?}: must be sqlite:FILE or postgres://USER@HOST/DATABASE")),
        }
    }

    /// The file that holds what operators do; none where it is not kept.
    #[must_use]
    pub fn audit_log(&self) -> Option<PathBuf> {
        let has_directory = self.serve.redis.is_empty() && !self.serve.ephemeral;
        match self.audit.file.as_str() {
            "" => None,
            "auto" => has_directory.then(|| self.serve.data_dir.join("audit.jsonl")),
            file => Some(PathBuf::from(file)),
        }
    }

    /// The origins whose pages may use the node.
    ///
    /// # Errors
    /// A text for the operator when one of them can never match.
    pub fn allowed_origins(&self) -> Result<Origins, String> {
        Origins::parse(&self.serve.allowed_origins)
    }

    /// The names that requests may give as their host.
    ///
    /// # Errors
    /// A text for the operator when one of them can never match.
    pub fn allowed_hosts(&self) -> Result<Hosts, String> {
        Hosts::parse(&self.serve.allowed_hosts)
    }

    /// The proxies that are believed.
    ///
    /// # Errors
    /// A text for the operator when one of them is no network, or there is none to speak the PROXY protocol.
    pub fn proxies(&self) -> Result<Proxies, String> {
        Proxies::parse(&self.serve.trusted_proxies, self.serve.proxy_protocol)
    }

    /// The addresses to listen on.
    ///
    /// # Errors
    /// A text for the operator when `listen` is no address.
    pub fn listen_addresses(&self) -> Result<Vec<SocketAddr>, String> {
        addresses("listen", &self.serve.listen)
    }

    /// The addresses to listen on for gRPC; none where it is not spoken.
    ///
    /// # Errors
    /// A text for the operator when `grpc_listen` is no address.
    pub fn grpc_addresses(&self) -> Result<Vec<SocketAddr>, String> {
        match self.serve.grpc_listen.as_str() {
            "" => Ok(Vec::new()),
            listen => addresses("grpc_listen", listen),
        }
    }

    /// Whether only programs of this machine can come.
    fn check_openness(&self) -> Result<(), String> {
        if self.serve.allow_open || !self.auth.is_open() {
            return Ok(());
        }
        let Serve { listen, grpc_listen, .. } = &self.serve;
        for (setting, text, addresses) in [
            ("listen", listen, self.listen_addresses()?),
            ("grpc_listen", grpc_listen, self.grpc_addresses()?),
        ] {
            if addresses.iter().any(|address| !address.ip().is_loopback()) {
                return Err(format!(
                    "{setting} = {text:?} is not a loopback address, and without authentication every caller is an \
                     operator; listen on 127.0.0.1, give keys (see `chatd api-key --help`), or say --allow-open if \
                     only trusted callers can reach it"
                ));
            }
        }
        Ok(())
    }
}

fn addresses(setting: &str, text: &str) -> Result<Vec<SocketAddr>, String> {
    let bad = |error: &dyn std::fmt::Display| {
        format!("{setting} = {text:?} is no address: {error}; write for example 127.0.0.1:8080")
    };
    let found = std::net::ToSocketAddrs::to_socket_addrs(text).map_err(|e| bad(&e))?;
    let addresses: Vec<_> = found.collect();
    if addresses.is_empty() { Err(bad(&"the name has no address")) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_node_stays_on_loopback() {
        let mut config = Config::default();
        assert_eq!(config.check(), Ok(()));
        config.serve.listen = "0.0.0.0:8080".to_owned();
        assert!(config.check().unwrap_err().contains("--allow-open"));
        config.serve.allow_open = true;
        assert_eq!(config.check(), Ok(()));
        config.serve.listen = "nonsense".to_owned();
        assert!(config.check().unwrap_err().contains("listen"));
    }

    #[test]
    fn one_connection_has_no_more_waiting_than_all_may_have() {
        let mut config = Config::default();
        config.limits.outbox_bytes = config.limits.queued_bytes;
        assert_eq!(config.check(), Ok(()));
        config.limits.outbox_bytes += 1;
        let refused = config.check().unwrap_err();
        assert!(
            refused.contains("limits.outbox_bytes") && refused.contains("limits.queued_bytes"),
            "{refused}"
        );
    }

    #[test]
    fn what_is_shorter_than_a_look_is_refused() {
        type Change = fn(&mut Config, Span);
        let changes: [(&str, Change, bool); 4] = [
            ("history.max_age", |config, span| config.history.max_age = span, true),
            ("limits.ping_interval", |config, span| config.limits.ping_interval = span, true),
            ("limits.login_timeout", |config, span| config.limits.login_timeout = span, false),
            ("limits.keep_alive", |config, span| config.limits.keep_alive = span, false),
        ];
        for (name, change, may_be_nothing) in changes {
            for (text, good) in [("0", may_be_nothing), ("500us", false), ("999ms", false), ("1s", true)] {
                let mut config = Config::default();
                change(&mut config, text.parse().unwrap());
                let checked = config.check();
                assert_eq!(checked.is_ok(), good, "{name} = {text}");
                assert!(checked.is_ok() || checked.unwrap_err().starts_with(name), "{name} = {text}");
            }
        }
    }

    #[test]
    fn a_packet_lives_from_a_second_to_thirty_days() {
        for (text, good) in [
            ("0", false),
            ("999ms", false),
            ("1s", true),
            ("720h", true),
            ("720.001h", false),
            ("8760h", false),
        ] {
            let mut config = Config::default();
            config.money.packet_expiry = text.parse().unwrap();
            let checked = config.check();
            assert_eq!(checked.is_ok(), good, "{text}");
            assert!(checked.is_ok() || checked.unwrap_err().contains("packet_expiry"));
        }
    }

    #[test]
    fn the_audit_log_lies_in_the_data_directory_where_there_is_one() {
        let with = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.audit_log()
        };
        assert_eq!(with(|_| {}), Some("./chatd-data/audit.jsonl".into()));
        assert_eq!(with(|config| config.serve.ephemeral = true), None);
        assert_eq!(with(|config| config.serve.redis = "redis://h".into()), None);
        assert_eq!(with(|config| config.audit.file = String::new()), None);
        assert_eq!(with(|config| config.audit.file = "/var/log/a".into()), Some("/var/log/a".into()));
        for (max_bytes, old_files, good) in [(0, 1, true), (65_535, 1, false), (65_536, 0, false)] {
            let mut config = Config::default();
            (config.audit.max_bytes, config.audit.old_files) = (max_bytes, old_files);
            assert_eq!(config.check().is_ok(), good, "{max_bytes} {old_files}");
        }
    }

    #[test]
    fn a_certificate_and_its_key_come_together() {
        for (certificate, key, missing) in
            [("c", "", Some("--tls-key")), ("", "k", Some("--tls-cert")), ("c", "k", None), ("", "", None)]
        {
            let mut config = Config::default();
            (config.serve.tls_cert, config.serve.tls_key) = (certificate.into(), key.into());
            let checked = config.check().err();
            assert_eq!(checked.is_some(), missing.is_some(), "{checked:?}");
            assert!(checked.is_none_or(|why| why.contains(missing.unwrap_or_default())));
        }
    }

    #[test]
    fn money_needs_what_it_needs() {
        let money = |redis: &str, ledger: &str, amqp: &str| {
            let mut config = Config::default();
            (config.serve.redis, config.serve.ledger) = (redis.into(), ledger.into());
            config.serve.amqp = amqp.into();
            config
        };
        let (redis, postgres, amqp) = ("redis://h", "postgres://u:hush@h/d", "amqp://u:hush@h");
        assert_eq!(money("", "", "").ledger(), Ok(LedgerPlace::Own));
        assert_eq!(money(redis, "", "").ledger(), Ok(LedgerPlace::None));
        assert_eq!(money("", "sqlite:/a/b", "").ledger(), Ok(LedgerPlace::File("/a/b".into())));
        assert_eq!(money(redis, postgres, amqp).check(), Ok(()));
        let mut settler = money("", postgres, "");
        settler.serve.role = Role::Settler;
        for (config, named) in [
            (money("", "mysql://u:hush@h", ""), "ledger"),
            (money("", "sqlite:", ""), "ledger"),
            (money(redis, "", amqp), "amqp"),
            (settler, "--redis"),
        ] {
            let refused = config.check().unwrap_err();
            assert!(refused.contains(named) && !refused.contains("hush"), "{refused}");
        }
        let shown = money(redis, postgres, amqp).to_toml();
        assert!(!shown.contains("hush"), "{shown}");
    }
}
