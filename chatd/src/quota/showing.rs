//! The limits in force, in words and as members of a refusal, and how often each refused something.
//!
//! Invariant: every limit is shown, also where there is none; words and members are made of the same value.

use chat_protocol::Span;
use chat_protocol::code::Reached;
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
            value: allowed(&settings, limit).words(),
            refused: self.counters.refused.by(limit).get(),
        };
        Limit::ALL.into_iter().map(state).collect()
    }
}

/// What a limit allows.
#[derive(Clone, Copy)]
enum Allowed<'a> {
    /// So many; 0 is any number.
    Number(u64),
    /// So often, with its burst.
    Rate(Rate, u32),
    /// So long.
    Time(Span),
    /// These.
    Kinds(&'a [String]),
}

impl Allowed<'_> {
    fn words(self) -> String {
        match self {
            Allowed::Number(0) => "none".to_owned(),
            Allowed::Number(most) => most.to_string(),
            Allowed::Rate(times, burst) => rate(times, burst),
            Allowed::Time(most) => most.to_string(),
            Allowed::Kinds(kinds) => kinds.join(","),
        }
    }
}

fn allowed(settings: &Limits, limit: Limit) -> Allowed<'_> {
    use Allowed::{Kinds, Number, Rate, Time};
    match limit {
        Limit::MaxConnections => Number(settings.max_connections as u64),
        Limit::ConnectionsPerAddress => Number(settings.connections_per_address.into()),
        Limit::ConnectRatePerAddress => {
            Rate(settings.connect_rate_per_address, settings.connect_burst_per_address)
        }
        Limit::HttpRatePerAddress => Rate(settings.http_rate_per_address, settings.http_burst_per_address),
        Limit::RatePerConnection => Rate(settings.rate_per_connection, settings.burst_per_connection),
        Limit::RatePerUser => Rate(settings.rate_per_user, settings.burst_per_user),
        Limit::ConnectionsPerUser => Number(settings.connections_per_user.into()),
        Limit::LoginTimeout => Time(settings.login_timeout),
        Limit::MaxFrameBytes => Number(settings.max_frame_bytes as u64),
        Limit::GroupsPerUser => Number(settings.groups_per_user),
        Limit::MembersPerGroup => Number(settings.members_per_group),
        Limit::RequestsPerUser => Number(settings.requests_per_user),
        Limit::FriendsPerUser => Number(settings.friends_per_user),
        Limit::OpenRedPacketsPerUser => Number(settings.open_red_packets_per_user),
        Limit::MaxApps => Number(settings.max_apps),
        Limit::FileBytes => Number(settings.file_bytes),
        Limit::FileTypes => Kinds(&settings.file_types),
        Limit::FileBytesPerUser => Number(settings.file_bytes_per_user),
        Limit::FileBytesPerApp => Number(settings.file_bytes_per_app),
        Limit::UploadsPerUser => Number(settings.uploads_per_user.into()),
        Limit::PicturePixels => Number(settings.picture_pixels),
    }
}

/// What a refusal by this limit says of it.
pub(super) fn reached(settings: &Limits, limit: Limit) -> Reached {
    let (bound, per_ms) = match allowed(settings, limit) {
        // Another setting may have come into force since something was refused.
        Allowed::Number(0) | Allowed::Time(_) | Allowed::Kinds(_) => (None, None),
        Allowed::Number(most) => (Some(most), None),
        Allowed::Rate(rate, _) => rate.times_in_ms().unzip(),
    };
    Reached { name: limit.name().into(), bound, per_ms }
}

/// With its burst.
pub(super) fn rate(rate: Rate, burst: u32) -> String {
    if rate.is_none() { "none".to_owned() } else { format!("{rate}, {burst} at once") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use chat_protocol::{Code, Refusal};

    #[test]
    fn every_limit_has_the_name_of_a_setting() {
        let settings = serde_json::to_value(Config::default().limits).unwrap();
        for limit in Limit::ALL {
            assert!(settings.get(limit.name()).is_some(), "{limit:?}");
        }
    }

    #[test]
    fn a_refusal_names_its_limit_and_what_that_allows_now() {
        let start = Limits {
            rate_per_user: "30/m".parse().unwrap(),
            members_per_group: 2,
            ..Config::default().limits
        };
        let quotas = Quotas::new(&start, Default::default());
        let told = |limit| {
            let refusal = quotas.refuse(limit, Refusal::new(Code::RefusedByRule, "no"));
            let Reached { name, bound, per_ms } = *refusal.limit.unwrap();
            (name.into_owned(), bound, per_ms)
        };
        for (limit, bound, per_ms) in [
            (Limit::RatePerUser, Some(30), Some(60_000)),
            (Limit::MembersPerGroup, Some(2), None),
            (Limit::FileTypes, None, None),
            (Limit::MaxApps, None, None),
            (Limit::FileBytes, Some(25 * 1024 * 1024), None),
        ] {
            assert_eq!(told(limit), (limit.name().to_owned(), bound, per_ms));
        }
        quotas.change(&Limits { file_bytes: 7, ..start });
        assert_eq!(told(Limit::FileBytes).1, Some(7));
        let error = quotas.noted(None, Code::NotFound);
        assert_eq!(error, Refusal::from(Code::NotFound), "no limit made it");
    }
}
