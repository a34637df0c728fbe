//! The limits in force, in words, and how often each refused something.
//!
//! Invariant: every limit is shown, also where there is none.

use chat_protocol::system::LimitState;

use super::Quotas;
use crate::config::{Limits, Rate};
use crate::counters::Limit;

impl Quotas {
    /// Every limit.
    #[must_use]
    pub fn states(&self) -> Vec<LimitState> {
        let settings = self.settings();
        let state = |limit: Limit| LimitState {
            name: limit.name().to_owned(),
            value: value(&settings, limit),
            refused: self.counters.refused.by(limit).get(),
        };
        Limit::ALL.into_iter().map(state).collect()
    }
}

fn value(settings: &Limits, limit: Limit) -> String {
    match limit {
        Limit::MaxConnections => settings.max_connections.to_string(),
        Limit::ConnectionsPerAddress => number(settings.connections_per_address.into()),
        Limit::ConnectRatePerAddress => {
            rate(settings.connect_rate_per_address, settings.connect_burst_per_address)
        }
        Limit::HttpRatePerAddress => rate(settings.http_rate_per_address, settings.http_burst_per_address),
        Limit::RatePerConnection => rate(settings.rate_per_connection, settings.burst_per_connection),
        Limit::RatePerUser => rate(settings.rate_per_user, settings.burst_per_user),
        Limit::ConnectionsPerUser => number(settings.connections_per_user.into()),
        Limit::LoginTimeout => settings.login_timeout.to_string(),
        Limit::MaxFrameBytes => settings.max_frame_bytes.to_string(),
        Limit::GroupsPerUser => settings.groups_per_user.to_string(),
        Limit::MembersPerGroup => number(settings.members_per_group),
        Limit::RequestsPerUser => settings.requests_per_user.to_string(),
        Limit::FriendsPerUser => settings.friends_per_user.to_string(),
        Limit::OpenRedPacketsPerUser => number(settings.open_red_packets_per_user),
        Limit::MaxApps => number(settings.max_apps),
        Limit::FileBytes => settings.file_bytes.to_string(),
        Limit::FileTypes => settings.file_types.join(","),
        Limit::FileBytesPerUser => number(settings.file_bytes_per_user),
        Limit::FileBytesPerApp => number(settings.file_bytes_per_app),
        Limit::UploadsPerUser => settings.uploads_per_user.to_string(),
        Limit::PicturePixels => settings.picture_pixels.to_string(),
    }
}

fn number(most: u64) -> String {
    if most == 0 { "none".to_owned() } else { most.to_string() }
}

/// With its burst.
pub(super) fn rate(rate: Rate, burst: u32) -> String {
    if rate.is_none() { "none".to_owned() } else { format!("{rate}, {burst} at once") }
}
