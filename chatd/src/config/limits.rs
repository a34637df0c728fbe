//! Settings of limits: how many there may be, how fast they may ask, how long they may be silent.
//!
//! Invariant: what is not 0 can be reached; a value that would refuse everybody, or could never matter, is refused.

use chat_protocol::Span;
use clap::Args;
use serde::{Deserialize, Serialize};

use super::rate::Rate;

settings! {
    /// Limits. A rate or a number of 0 is none, where it says so.
    LimitsGiven => Limits {
        /// Connections this node holds at most; 0 derives it from the limit of open files
        #[arg(long, env = "CHATD_MAX_CONNECTIONS", value_name = "N")]
        max_connections: usize = 0,
        /// Connections of one address open at a time (of IPv6, of its /64); 0 for any number. Behind a proxy see trusted_proxies
        #[arg(long, env = "CHATD_CONNECTIONS_PER_ADDRESS", value_name = "N")]
        connections_per_address: u32 = 0,
        /// New connections of one address, such as 30/m; 0 for any number
        #[arg(long, env = "CHATD_CONNECT_RATE_PER_ADDRESS", value_name = "RATE")]
        connect_rate_per_address: Rate = Rate::NONE,
        /// New connections of one address at once, before connect_rate_per_address counts
        #[arg(long, env = "CHATD_CONNECT_BURST_PER_ADDRESS", value_name = "N")]
        connect_burst_per_address: u32 = 50,
        /// Operations over HTTP that one address asks for, such as 20/s, but with an operator's key; 0 for any number
        #[arg(long, env = "CHATD_HTTP_RATE_PER_ADDRESS", value_name = "RATE")]
        http_rate_per_address: Rate = Rate::NONE,
        /// Operations over HTTP of one address at once, before http_rate_per_address counts
        #[arg(long, env = "CHATD_HTTP_BURST_PER_ADDRESS", value_name = "N")]
        http_burst_per_address: u32 = 100,
        /// Requests over one WebSocket, messages included, such as 20/s; 0 for any number
        #[arg(long, env = "CHATD_RATE_PER_CONNECTION", value_name = "RATE")]
        rate_per_connection: Rate = Rate::NONE,
        /// Requests over one WebSocket at once, before rate_per_connection counts
        #[arg(long, env = "CHATD_BURST_PER_CONNECTION", value_name = "N")]
        burst_per_connection: u32 = 50,
        /// Requests of one user on this node, log-ins included, over all their WebSockets and HTTP, such as 20/s, but with an operator's key; 0 for any number
        #[arg(long, env = "CHATD_RATE_PER_USER", value_name = "RATE")]
        rate_per_user: Rate = Rate::NONE,
        /// Requests of one user at once, before rate_per_user counts
        #[arg(long, env = "CHATD_BURST_PER_USER", value_name = "N")]
        burst_per_user: u32 = 50,
        /// Connections of one user logged in at a time on this node, each other node that has some counting as one, but with an operator's key; 0 for any number
        #[arg(long, env = "CHATD_CONNECTIONS_PER_USER", value_name = "N")]
        connections_per_user: u32 = 0,
        /// How long a HTTP connection may be idle between two requests
        #[arg(long, env = "CHATD_KEEP_ALIVE", value_name = "DURATION")]
        keep_alive: Span = Span::seconds(75),
        /// Bytes of one WebSocket message at most
        #[arg(long, env = "CHATD_MAX_FRAME_BYTES", value_name = "N")]
        max_frame_bytes: usize = 64 * 1024,
        /// Silence after which a connection is closed
        #[arg(long, env = "CHATD_HEARTBEAT_TIMEOUT", value_name = "DURATION")]
        heartbeat_timeout: Span = Span::seconds(360),
        /// Time within which a new connection must log in
        #[arg(long, env = "CHATD_LOGIN_TIMEOUT", value_name = "DURATION")]
        login_timeout: Span = Span::seconds(10),
        /// Time without anything sent after which a WebSocket gets a ping; 0 for never
        #[arg(long, env = "CHATD_PING_INTERVAL", value_name = "DURATION")]
        ping_interval: Span = Span::seconds(45),
        /// Time after which a reader is given up whose socket takes nothing although something waits for it
        #[arg(long, env = "CHATD_STALL_TIMEOUT", value_name = "DURATION")]
        stall_timeout: Span = Span::seconds(20),
        /// Bytes that may wait for all slow readers together, before the slowest are closed
        #[arg(long, env = "CHATD_QUEUED_BYTES", value_name = "N")]
        queued_bytes: usize = 512 * 1024 * 1024,
        /// Frames that may wait for one slow reader
        #[arg(long, env = "CHATD_OUTBOX_FRAMES", value_name = "N")]
        outbox_frames: usize = 4096,
        /// Bytes that may wait for one slow reader
        #[arg(long, env = "CHATD_OUTBOX_BYTES", value_name = "N")]
        outbox_bytes: usize = 1024 * 1024,
        /// Groups a user may be in
        #[arg(long, env = "CHATD_GROUPS_PER_USER", value_name = "N")]
        groups_per_user: u64 = 2_000,
        /// Members a group may have; 0 for any number
        #[arg(long, env = "CHATD_MEMBERS_PER_GROUP", value_name = "N")]
        members_per_group: u64 = 0,
        /// Friend requests of a user that may wait for an answer, and as many of others to the user, where the oldest gives way to a new one
        #[arg(long, env = "CHATD_REQUESTS_PER_USER", value_name = "N")]
        requests_per_user: u64 = 500,
        /// Friends a user may have, and as many blocked users
        #[arg(long, env = "CHATD_FRIENDS_PER_USER", value_name = "N")]
        friends_per_user: u64 = 5_000,
        /// Red packets of a user that may be open at a time, as the ledger knows them; 0 for any number
        #[arg(long, env = "CHATD_OPEN_RED_PACKETS_PER_USER", value_name = "N")]
        open_red_packets_per_user: u64 = 0,
        /// Apps that may come to be, by a log-in or by an operation that changes something; 0 for any number
        #[arg(long, env = "CHATD_MAX_APPS", value_name = "N")]
        max_apps: u64 = 0,
        /// Bytes of one file at most
        #[arg(long, env = "CHATD_FILE_BYTES", value_name = "N")]
        file_bytes: u64 = 25 * 1024 * 1024,
        /// What files may hold, as their first bytes say
        #[arg(long, env = "CHATD_FILE_TYPES", value_name = "TYPES", value_delimiter = ',')]
        file_types: Vec<String> = TYPES.map(str::to_owned).to_vec(),
        /// Bytes of all files of one user in an app; 0 for any number
        #[arg(long, env = "CHATD_FILE_BYTES_PER_USER", value_name = "N")]
        file_bytes_per_user: u64 = 1024 * 1024 * 1024,
        /// Bytes of all files of an app; 0 for any number
        #[arg(long, env = "CHATD_FILE_BYTES_PER_APP", value_name = "N")]
        file_bytes_per_app: u64 = 20 * 1024 * 1024 * 1024,
        /// Uploads of one user at a time on this node
        #[arg(long, env = "CHATD_UPLOADS_PER_USER", value_name = "N")]
        uploads_per_user: u32 = 4,
        /// Pixels of one picture at most, all of which are in memory for a moment
        #[arg(long, env = "CHATD_PICTURE_PIXELS", value_name = "N")]
        picture_pixels: u64 = 40_000_000,
    }
}

/// What files may hold by default: what browsers show, and no more.
pub const TYPES: [&str; 13] = [
    "image/jpeg",
    "image/png",
    "image/gif",
    "image/webp",
    "audio/mpeg",
    "audio/ogg",
    "audio/m4a",
    "audio/x-wav",
    "audio/aac",
    "audio/x-flac",
    "video/mp4",
    "video/webm",
    "video/quicktime",
];

/// Most that may come at once before a rate counts.
const MAX_BURST: u32 = 1_000_000;

impl Limits {
    /// Checks what can be checked without starting, but for times.
    ///
    /// # Errors
    /// A text that names the setting and what it may be.
    pub(super) fn check(&self) -> Result<(), String> {
        let positive: [(&str, u64); 10] = [
            ("max_frame_bytes", self.max_frame_bytes as u64),
            ("outbox_frames", self.outbox_frames as u64),
            ("queued_bytes", self.queued_bytes as u64),
            ("outbox_bytes", self.outbox_bytes as u64),
            ("groups_per_user", self.groups_per_user),
            ("requests_per_user", self.requests_per_user),
            ("friends_per_user", self.friends_per_user),
            ("file_bytes", self.file_bytes),
            ("uploads_per_user", self.uploads_per_user.into()),
            ("picture_pixels", self.picture_pixels),
        ];
        if let Some((name, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return Err(format!("limits.{name} must be at least 1"));
        }
        let bursts = [
            ("connect_burst_per_address", self.connect_burst_per_address),
            ("http_burst_per_address", self.http_burst_per_address),
            ("burst_per_connection", self.burst_per_connection),
            ("burst_per_user", self.burst_per_user),
        ];
        if let Some((name, _)) = bursts.into_iter().find(|(_, burst)| !(1..=MAX_BURST).contains(burst)) {
            return Err(format!("limits.{name} must be 1 to {MAX_BURST}"));
        }
        if self.outbox_bytes > self.queued_bytes {
            return Err(format!(
                "limits.outbox_bytes = {} is what one connection may have waiting, and more than \
                 limits.queued_bytes = {}, what all of them may have together; lower the one or raise the other",
                self.outbox_bytes, self.queued_bytes
            ));
        }
        // What runs in a page must never come from where the page does.
        let is_harmless = |kind: &&String| TYPES.contains(&kind.as_str());
        match self.file_types.iter().find(|kind| !is_harmless(kind)) {
            Some(other) => Err(format!("limits.file_types: {other:?} is none of {}", TYPES.join(", "))),
            None => Ok(()),
        }
    }
}
