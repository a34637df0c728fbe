//! The limits of which it is counted how often they refused something.
//!
//! Invariant: a limit has the name of its setting.

use super::Counter;

/// A setting that says how many, how much or how fast, and refuses what is more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Connections of the node.
    MaxConnections,
    /// Open connections of an address.
    ConnectionsPerAddress,
    /// New connections of an address.
    ConnectRatePerAddress,
    /// Operations of an address over HTTP.
    HttpRatePerAddress,
    /// Requests over a WebSocket.
    RatePerConnection,
    /// Requests of a user.
    RatePerUser,
    /// Connections of a user.
    ConnectionsPerUser,
    /// Time for a log-in.
    LoginTimeout,
    /// Bytes of a WebSocket message.
    MaxFrameBytes,
    /// Groups of a user.
    GroupsPerUser,
    /// Members of a group.
    MembersPerGroup,
    /// Friend requests that wait.
    RequestsPerUser,
    /// Friends, and blocked users.
    FriendsPerUser,
    /// Red packets of a user that hold money.
    OpenRedPacketsPerUser,
    /// Apps that something is kept of.
    MaxApps,
    /// Bytes of a file.
    FileBytes,
    /// What a file may hold.
    FileTypes,
    /// Bytes of the files of a user.
    FileBytesPerUser,
    /// Bytes of the files of an app.
    FileBytesPerApp,
    /// Uploads of a user at a time.
    UploadsPerUser,
    /// Pixels of a picture.
    PicturePixels,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::MaxConnections,
        Self::ConnectionsPerAddress,
        Self::ConnectRatePerAddress,
        Self::HttpRatePerAddress,
        Self::RatePerConnection,
        Self::RatePerUser,
        Self::ConnectionsPerUser,
        Self::LoginTimeout,
        Self::MaxFrameBytes,
        Self::GroupsPerUser,
        Self::MembersPerGroup,
        Self::RequestsPerUser,
        Self::FriendsPerUser,
        Self::OpenRedPacketsPerUser,
        Self::MaxApps,
        Self::FileBytes,
        Self::FileTypes,
        Self::FileBytesPerUser,
        Self::FileBytesPerApp,
        Self::UploadsPerUser,
        Self::PicturePixels,
    ];

    /// The setting, within `limits`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MaxConnections => "max_connections",
            Self::ConnectionsPerAddress => "connections_per_address",
            Self::ConnectRatePerAddress => "connect_rate_per_address",
            Self::HttpRatePerAddress => "http_rate_per_address",
            Self::RatePerConnection => "rate_per_connection",
            Self::RatePerUser => "rate_per_user",
            Self::ConnectionsPerUser => "connections_per_user",
            Self::LoginTimeout => "login_timeout",
            Self::MaxFrameBytes => "max_frame_bytes",
            Self::GroupsPerUser => "groups_per_user",
            Self::MembersPerGroup => "members_per_group",
            Self::RequestsPerUser => "requests_per_user",
            Self::FriendsPerUser => "friends_per_user",
            Self::OpenRedPacketsPerUser => "open_red_packets_per_user",
            Self::MaxApps => "max_apps",
            Self::FileBytes => "file_bytes",
            Self::FileTypes => "file_types",
            Self::FileBytesPerUser => "file_bytes_per_user",
            Self::FileBytesPerApp => "file_bytes_per_app",
            Self::UploadsPerUser => "uploads_per_user",
            Self::PicturePixels => "picture_pixels",
        }
    }
}

/// How often each limit refused something.
#[derive(Debug, Default)]
pub struct Refused([Counter; Limit::ALL.len()]);

impl Refused {
    /// The counter of a limit.
    #[must_use]
    pub fn by(&self, limit: Limit) -> &Counter {
        &self.0[limit as usize]
    }
}
