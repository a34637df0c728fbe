//! Other limits while the node serves.
//!
//! Invariant: what is shown is what is in force; a limit that only a start can change stays as it was and is named.

use super::Quotas;
use crate::config::Limits;

/// What became of settings that were read again, by their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// In force from now on.
    pub now: Vec<String>,
    /// In force from the next start on.
    pub restart: Vec<String>,
}

impl Quotas {
    /// Takes over from these limits what can be.
    pub fn change(&self, settings: &Limits) -> Changes {
        let old = self.settings();
        let taken = Limits {
            connections_per_address: settings.connections_per_address,
            connect_rate_per_address: settings.connect_rate_per_address,
            connect_burst_per_address: settings.connect_burst_per_address,
            http_rate_per_address: settings.http_rate_per_address,
            http_burst_per_address: settings.http_burst_per_address,
            rate_per_connection: settings.rate_per_connection,
            burst_per_connection: settings.burst_per_connection,
            rate_per_user: settings.rate_per_user,
            burst_per_user: settings.burst_per_user,
            connections_per_user: settings.connections_per_user,
            open_red_packets_per_user: settings.open_red_packets_per_user,
            max_apps: settings.max_apps,
            file_bytes: settings.file_bytes,
            file_types: settings.file_types.clone(),
            file_bytes_per_user: settings.file_bytes_per_user,
            file_bytes_per_app: settings.file_bytes_per_app,
            uploads_per_user: settings.uploads_per_user,
            picture_pixels: settings.picture_pixels,
            ..Limits::clone(&old)
        };
        self.set(&taken);
        let named = |keys: Vec<&str>| keys.into_iter().map(str::to_owned).collect();
        // What was derived at the start is no change.
        let asked = match settings.max_connections {
            0 => Limits { max_connections: old.max_connections, ..settings.clone() },
            _ => settings.clone(),
        };
        Changes { now: named(old.differs(&taken)), restart: named(taken.differs(&asked)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn what_only_a_start_can_change_stays_and_is_named() {
        let start = Limits { max_connections: 77, ..Config::default().limits };
        let quotas = Quotas::new(&start, Default::default());
        let nothing = Changes { now: Vec::new(), restart: Vec::new() };
        assert_eq!(quotas.change(&Config::default().limits), nothing);
        let other = Limits {
            rate_per_user: "5/s".parse().unwrap(),
            connections_per_user: 3,
            groups_per_user: 9,
            ..Config::default().limits
        };
        let changes = quotas.change(&other);
        assert_eq!(
            (changes.now, changes.restart),
            (
                vec!["rate_per_user".to_owned(), "connections_per_user".to_owned()],
                vec!["groups_per_user".to_owned()],
            )
        );
        let settings = quotas.settings();
        assert_eq!(
            (settings.connections_per_user, settings.groups_per_user, settings.max_connections),
            (3, 2_000, 77)
        );
        assert!(quotas.paces_users() && quotas.counts_connections());
        quotas.change(&Config::default().limits);
        assert!(!quotas.paces_sessions() && !quotas.counts_connections());
    }
}
