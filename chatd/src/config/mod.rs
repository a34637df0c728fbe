//! Settings: defaults, then the TOML file, then the environment, then flags; the later wins.
//!
//! Invariant: a [`Config`] that [`Config::check`] let pass can be started with; every key exists in all three forms.

mod api_key;
mod bucket;
mod check;
mod choices;
mod origin;
mod proxies;
mod rate;
mod role;
mod secret;
pub mod text_file;

use std::path::{Path, PathBuf};

use chat_protocol::{Span, secret as secrets};
use clap::Args;
use serde::de::Error as _;
use serde::{Deserialize, Serialize};

use crate::log::Form;
use crate::model::Language;
use crate::money::split::Method;

pub use self::api_key::{ApiKey, Scopes, check_name};
pub use self::auth::Auth;
pub use self::bucket::{AccessKey, Bucket};
pub use self::check::LedgerPlace;
use self::choices::{parse_role, parse_split, parse_sync};
pub use self::files::{FilePlace, Files};
pub use self::limits::Limits;
pub use self::origin::{Host, Hosts, Origin, Origins};
pub use self::proxies::Proxies;
pub use self::rate::Rate;
pub use self::role::{Role, SenderPlace, Senders};
pub use self::secret::{KeyLine, Secret, StoreUrl};

/// Bytes of a file of settings at most.
const MAX_FILE: u64 = 1024 * 1024;

/// Declares a group of settings twice: as given (each may be absent) and as in force.
macro_rules! settings {
    ($(#[doc = $about:literal])* $given:ident => $name:ident {
        $($(#[doc = $doc:literal])+ #[arg($($arg:tt)*)] $field:ident: $type:ty = $default:expr,)*
    }) => {
        #[doc = concat!("Settings of [`", stringify!($name), "`] as given in one place.")]
        #[derive(Debug, Clone, Default, Args, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $given {
            $($(#[doc = $doc])+ #[arg($($arg)*)] pub $field: Option<$type>,)*
        }

        $(#[doc = $about])*
        #[derive(Debug, Clone, PartialEq, Serialize)]
        pub struct $name {
            $($(#[doc = $doc])+ pub $field: $type,)*
        }

        impl $name {
            /// What each key is about.
            pub(in crate::config) const ABOUT: &'static [(&'static str, &'static str)] =
                &[$((stringify!($field), concat!($($doc),+)),)*];

            /// The keys that have another value there.
            #[must_use]
            pub fn differs(&self, other: &Self) -> Vec<&'static str> {
                let mut keys = Vec::new();
                $(if self.$field != other.$field { keys.push(stringify!($field)); })*
                keys
            }
        }

        impl $given {
            /// Takes from `weaker` what is not given here.
            pub(in crate::config) fn or(self, weaker: Self) -> Self {
                Self { $($field: self.$field.or(weaker.$field),)* }
            }

            pub(in crate::config) fn or_default(self) -> $name {
                $name { $($field: self.$field.unwrap_or_else(|| $default),)* }
            }
        }
    };
}

mod auth;
mod explained;
mod files;
mod limits;

settings! {
    /// What to serve, and on what.
    ServeGiven => Serve {
        /// Address to listen on; port 0 takes a free one
        #[arg(long, env = "CHATD_LISTEN", value_name = "ADDR")]
        listen: String = "127.0.0.1:8080".to_owned(),
        /// Address to listen on for gRPC (chat.v1.Chat), in place of none; over TLS where the node has a certificate
        #[arg(long, env = "CHATD_GRPC_LISTEN", value_name = "ADDR")]
        grpc_listen: String = String::new(),
        /// Certificate that the node shows, to serve https and wss in place of http and ws: a PEM file, the node's own certificate first; read again when it changes
        #[arg(long, env = "CHATD_TLS_CERT", value_name = "FILE")]
        tls_cert: PathBuf = PathBuf::new(),
        /// Key of tls_cert: a PEM file without a password, read again with it
        #[arg(long, env = "CHATD_TLS_KEY", value_name = "FILE")]
        tls_key: PathBuf = PathBuf::new(),
        /// Listen on other than loopback addresses although no authentication is configured
        #[arg(long, env = "CHATD_ALLOW_OPEN", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
        allow_open: bool = false,
        /// Directory of the embedded engine's files
        #[arg(long, env = "CHATD_DATA_DIR", value_name = "DIR")]
        data_dir: PathBuf = PathBuf::from("./chatd-data"),
        /// Keep everything in memory instead of the data directory
        #[arg(long, env = "CHATD_EPHEMERAL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
        ephemeral: bool = false,
        /// Redis that nodes share, such as redis://127.0.0.1:6379, rediss://… over TLS, redis+sentinel://HOST,HOST/NAME or redis-cluster://HOST,HOST; without it the node runs alone
        #[arg(long, env = "CHATD_REDIS", hide_env_values = true, value_name = "URL")]
        redis: StoreUrl = StoreUrl::default(),
        /// Replicas of Redis that must have a message, a membership or a grab before it is answered; 0 waits for none
        #[arg(long, env = "CHATD_REDIS_WAIT", value_name = "N")]
        redis_wait: u32 = 0,
        /// First part of every Redis key
        #[arg(long, env = "CHATD_REDIS_PREFIX", value_name = "TEXT")]
        redis_prefix: String = "chat".to_owned(),
        /// Use a Redis that drops keys when it is full, although messages go with them
        #[arg(long, env = "CHATD_ALLOW_EVICTION", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
        allow_eviction: bool = false,
        /// How long a start waits for stores that are away; 0 ends it at once
        #[arg(long, env = "CHATD_STORE_WAIT", value_name = "DURATION")]
        store_wait: Span = Span::seconds(60),
        /// Time over which the connections leave when the node stops, 10 a second at least
        #[arg(long, env = "CHATD_DRAIN", value_name = "DURATION")]
        drain: Span = Span::seconds(5),
        /// Where wallets are kept: sqlite:FILE, or postgres://…, which nodes share; alone, a node has a file of its own
        #[arg(long, env = "CHATD_LEDGER", hide_env_values = true, value_name = "URL")]
        ledger: StoreUrl = StoreUrl::default(),
        /// RabbitMQ that settlements travel over, such as amqp://127.0.0.1:5672; without it, the engine's own queue
        #[arg(long, env = "CHATD_AMQP", hide_env_values = true, value_name = "URL")]
        amqp: StoreUrl = StoreUrl::default(),
        /// What the node does: all, gateway (WebSockets, the page, files), api (operations over HTTP and gRPC), sender (stores messages of other nodes, over gRPC) or settler (applies settlements over Redis); each answers health, metrics and what is about itself
        #[arg(long, env = "CHATD_ROLE", value_parser = parse_role, value_name = "ROLE")]
        role: Role = Role::All,
        /// Nodes of the role sender that store the one-to-one and world messages taken here, such as http://10.0.0.7:50051, https://… over TLS; without any, the node stores them itself
        #[arg(long, env = "CHATD_SENDER_URL", hide_env_values = true, value_name = "URLS", value_delimiter = ',')]
        sender_url: Vec<StoreUrl> = Vec::new(),
        /// File with the operator's key, of the scope send, that the senders are shown
        #[arg(long, env = "CHATD_SENDER_KEY_FILE", value_name = "FILE")]
        sender_key_file: PathBuf = PathBuf::new(),
        /// Names a proxy passes on as Host; on loopback, others than localhost are refused; * allows all
        #[arg(long, env = "CHATD_ALLOWED_HOSTS", value_name = "NAMES", value_delimiter = ',')]
        allowed_hosts: Vec<String> = Vec::new(),
        /// Origins of web pages besides the page's own host that may use it, over HTTP too; * allows all
        #[arg(long, env = "CHATD_ALLOWED_ORIGINS", value_name = "ORIGINS", value_delimiter = ',')]
        allowed_origins: Vec<String> = Vec::new(),
        /// Addresses or networks of proxies that are believed whom they forward (X-Forwarded-For), such as 10.0.0.7,10.1.0.0/16
        #[arg(long, env = "CHATD_TRUSTED_PROXIES", value_name = "ADDRESSES", value_delimiter = ',')]
        trusted_proxies: Vec<String> = Vec::new(),
        /// Connections of trusted proxies begin with a header of the PROXY protocol, version 1 or 2
        #[arg(long, env = "CHATD_PROXY_PROTOCOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
        proxy_protocol: bool = false,
        /// Language of the words that stand for a picture or a notice where a client shows texts only: en or zh-CN
        #[arg(long, env = "CHATD_PUSH_LANGUAGE", value_name = "LANGUAGE")]
        push_language: Language = Language::English,
        /// Bytes of memory for what happened of late, which /system/explain tells; 0 for nothing
        #[arg(long, env = "CHATD_JOURNAL_BYTES", value_name = "N")]
        journal_bytes: usize = 8 * 1024 * 1024,
        /// What to log: error, warn, info, debug for chatd itself, or tracing directives such as info,redis=debug
        #[arg(long, env = "CHATD_LOG", value_name = "FILTER")]
        log: String = "info".to_owned(),
        /// How to log it: text, or json (one object a line)
        #[arg(long, env = "CHATD_LOG_FORMAT", value_parser = Form::parse, value_name = "FORM")]
        log_format: Form = Form::Text,
    }
}

/// What a commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sync {
    /// The end of the process, however sudden.
    Normal,
    /// A power cut too; each group of commits waits for the disk.
    Full,
}

settings! {
    /// Embedded storage.
    StorageGiven => Storage {
        /// What a commit survives: normal (kill -9) or full (a power cut too)
        #[arg(long = "storage-sync", env = "CHATD_STORAGE_SYNC", value_parser = parse_sync, value_name = "MODE")]
        sync: Sync = Sync::Normal,
    }
}

settings! {
    /// Message logs.
    HistoryGiven => History {
        /// Messages kept of each conversation, at least
        #[arg(long = "history-max-messages", env = "CHATD_HISTORY_MAX_MESSAGES", value_name = "N")]
        max_messages: u64 = 10_000,
        /// Age at which a message is gone from its conversation's history, such as 720h; 0 keeps them
        #[arg(long = "history-max-age", env = "CHATD_HISTORY_MAX_AGE", value_name = "DURATION")]
        max_age: Span = Span::seconds(0),
    }
}

settings! {
    /// Red packets.
    MoneyGiven => Money {
        /// Age at which what nobody took of a red packet goes back to its sender
        #[arg(long = "packet-expiry", env = "CHATD_PACKET_EXPIRY", value_name = "DURATION")]
        packet_expiry: Span = Span::seconds(24 * 60 * 60),
        /// How lucky shares are drawn: double-average or line-cutting
        #[arg(long = "packet-split", env = "CHATD_PACKET_SPLIT", value_parser = parse_split, value_name = "METHOD")]
        packet_split: Method = Method::DoubleAverage,
        /// Whether this node applies settlements to the ledger; false leaves them to others
        #[arg(long = "settle", env = "CHATD_SETTLE", num_args = 1, value_name = "BOOL")]
        settle: bool = true,
    }
}

settings! {
    /// Presence.
    PresenceGiven => Presence {
        /// Rooms with more users online do not announce who comes and goes
        #[arg(long = "presence-announce-limit", env = "CHATD_PRESENCE_ANNOUNCE_LIMIT", value_name = "N")]
        announce_limit: u64 = 1000,
    }
}

settings! {
    /// The audit log: what operators do.
    AuditGiven => Audit {
        /// File for a record of everything operators do; auto: audit.jsonl in the data directory, nowhere without one; "" for nowhere
        #[arg(long = "audit-log", env = "CHATD_AUDIT_LOG", value_name = "FILE")]
        file: String = "auto".to_owned(),
        /// Bytes at which the file is put aside as FILE.1, FILE.2 …; 0 leaves that to others
        #[arg(long = "audit-max-bytes", env = "CHATD_AUDIT_MAX_BYTES", value_name = "N")]
        max_bytes: u64 = 64 * 1024 * 1024,
        /// Files put aside that are kept, 1 to 1000
        #[arg(long = "audit-old-files", env = "CHATD_AUDIT_OLD_FILES", value_name = "N")]
        old_files: u32 = 8,
    }
}

/// All settings as given in one place.
#[derive(Debug, Clone, Default, Args)]
pub struct Given {
    #[command(flatten)]
    serve: ServeGiven,
    #[command(flatten)]
    storage: StorageGiven,
    #[command(flatten)]
    history: HistoryGiven,
    #[command(flatten)]
    money: MoneyGiven,
    #[command(flatten)]
    presence: PresenceGiven,
    #[command(flatten)]
    audit: AuditGiven,
    #[command(flatten)]
    files: files::FilesGiven,
    #[command(flatten)]
    limits: limits::LimitsGiven,
    #[command(flatten)]
    auth: auth::AuthGiven,
}

/// All settings in force.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Config {
    /// What to serve, and on what.
    #[serde(flatten)]
    pub serve: Serve,
    /// Embedded storage.
    pub storage: Storage,
    /// Message logs.
    pub history: History,
    /// Red packets.
    pub money: Money,
    /// Presence.
    pub presence: Presence,
    /// The audit log.
    pub audit: Audit,
    /// Files that messages carry.
    pub files: Files,
    /// Limits.
    pub limits: Limits,
    /// Identities.
    pub auth: Auth,
}

impl Default for Config {
    fn default() -> Self {
        Self::resolve(Given::default(), Given::default())
    }
}

impl Config {
    /// Settings in force from those given; `stronger` wins.
    #[must_use]
    pub fn resolve(stronger: Given, weaker: Given) -> Self {
        Self {
            serve: stronger.serve.or(weaker.serve).or_default(),
            storage: stronger.storage.or(weaker.storage).or_default(),
            history: stronger.history.or(weaker.history).or_default(),
            money: stronger.money.or(weaker.money).or_default(),
            presence: stronger.presence.or(weaker.presence).or_default(),
            audit: stronger.audit.or(weaker.audit).or_default(),
            files: stronger.files.or(weaker.files).or_default(),
            limits: stronger.limits.or(weaker.limits).or_default(),
            auth: stronger.auth.or(weaker.auth).or_default(),
        }
    }

    /// Settings in force from flags and environment, and a file.
    ///
    /// # Errors
    /// A text for the operator when the file cannot be read or a setting is unusable.
    pub fn load(flags: Given, file: Option<&Path>) -> Result<Self, String> {
        let given = file.map_or_else(|| Ok(Given::default()), read)?;
        let config = Self::resolve(flags, given);
        config.check()?;
        Ok(config)
    }

    /// The settings as a TOML file that says what each is about, with passwords in URLs hidden.
    #[must_use]
    pub fn to_toml(&self) -> String {
        explained::explained(&toml::to_string(self).unwrap_or_default())
    }
}

fn read(file: &Path) -> Result<Given, String> {
    let name = file.to_string_lossy();
    let shown = secrets::file(&name);
    let text = text_file::read(file, MAX_FILE).map_err(|error| format!("cannot read {shown}: {error}"))?;
    parse(&text).map_err(|error| format!("{shown}{}", described(&error, &text)))
}

/// Where the error is and what it is, without the line itself, which may hold a password.
fn described(error: &toml::de::Error, text: &str) -> String {
    match error.span().and_then(|span| text.get(..span.start)) {
        Some(before) => {
            let line = before.split('\n').count();
            format!(", line {line}: {}", secrets::hide(error.message()))
        }
        // Without a place in the file it has no line to show, and names the key.
        None => format!(": {}", secrets::hide(error.to_string().trim_end())),
    }
}

/// Sections of a file: those that the settings in force have.
fn sections() -> Vec<String> {
    let whole = toml::Table::try_from(Config::default()).unwrap_or_default();
    whole.into_iter().filter(|(_, value)| value.is_table()).map(|(name, _)| name).collect()
}

/// Keys outside of any section belong to [`Serve`]; serde's `flatten` would let unknown ones pass.
fn parse(text: &str) -> Result<Given, toml::de::Error> {
    fn section<T: Default + for<'de> Deserialize<'de>>(
        table: &mut toml::Table,
        name: &str,
    ) -> Result<T, toml::de::Error> {
        table.remove(name).map_or_else(|| Ok(T::default()), toml::Value::try_into)
    }
    let mut table: toml::Table = text.parse()?;
    let sections = sections();
    let is_unknown = |(name, value): &(&String, &toml::Value)| value.is_table() && !sections.contains(name);
    if let Some((name, _)) = table.iter().find(is_unknown) {
        let known = sections.join("`, `");
        return Err(toml::de::Error::custom(format!("unknown section `{name}`, expected one of `{known}`")));
    }
    Ok(Given {
        storage: section(&mut table, "storage")?,
        history: section(&mut table, "history")?,
        money: section(&mut table, "money")?,
        presence: section(&mut table, "presence")?,
        audit: section(&mut table, "audit")?,
        files: section(&mut table, "files")?,
        limits: section(&mut table, "limits")?,
        auth: section(&mut table, "auth")?,
        serve: table.try_into()?,
    })
}

#[cfg(test)]
mod tests;
