//! How a Redis server treats what it is given: whether it drops keys when it is full, and whether it keeps them over a
//! restart of its own.
//!
//! Invariant: what is not known, because Redis does not permit to ask, is never taken for good.

use std::time::Duration;

use redis::Value;

use super::bundle::Bundle;
use super::link::{Link, LinkError};

/// How often a running server is looked at again.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What a Redis says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manner {
    /// `maxmemory-policy`; None where INFO is not permitted.
    policy: Option<String>,
    /// Whether `maxmemory` is set.
    limited: bool,
    /// Whether it writes an AOF or snapshots; None where that cannot be asked.
    keeps: Option<bool>,
}

impl Manner {
    /// Asks each server; what one of them does, all do.
    pub(super) async fn of(bundle: &Bundle) -> Result<Self, LinkError> {
        let mut worst: Option<Self> = None;
        for member in &bundle.servers().members {
            let own = Self::of_one(&member.link).await?;
            let is_better = worst.as_ref().is_some_and(|worst| worst.cares_no_less_than(&own));
            worst = if is_better { worst } else { Some(own) };
        }
        worst.ok_or_else(|| LinkError::Unreachable("no server".to_owned()))
    }

    /// Whether an operator must know this before the other.
    fn cares_no_less_than(&self, other: &Self) -> bool {
        let care =
            |manner: &Self| (manner.drops().is_some(), manner.policy.is_none(), manner.keeps == Some(false));
        care(self) >= care(other)
    }

    async fn of_one(link: &Link) -> Result<Self, LinkError> {
        let memory = info(link, "memory").await?;
        let persistence = info(link, "persistence").await?;
        if field(&persistence, "loading") == Some("1") {
            return Err(LinkError::Unreachable("it is loading its data".to_owned()));
        }
        let keeps = match field(&persistence, "aof_enabled") {
            Some("1") => Some(true),
            _ => saves(link).await?,
        };
        Ok(Self {
            policy: field(&memory, "maxmemory_policy").map(str::to_owned),
            limited: field(&memory, "maxmemory").is_some_and(|bytes| bytes != "0"),
            keeps,
        })
    }

    /// The policy by which messages, and the ids that keep them from being doubled, go without a word.
    #[must_use]
    pub fn drops(&self) -> Option<&str> {
        self.policy.as_deref().filter(|policy| self.limited && *policy != "noeviction")
    }

    /// Says what an operator must know of it.
    pub fn warn(&self) {
        match (&self.policy, self.drops()) {
            (None, _) => tracing::warn!(
                "Redis does not permit INFO; see to it that its maxmemory-policy is noeviction"
            ),
            (_, Some(policy)) => {
                tracing::warn!(policy, "Redis drops keys when it is full: messages will go without a word");
            }
            (Some(policy), None) if policy != "noeviction" => {
                tracing::warn!(
                    policy,
                    "Redis will drop keys once it is given a maxmemory; set maxmemory-policy noeviction"
                );
            }
            _ => {}
        }
        if self.keeps == Some(false) {
            tracing::warn!("Redis keeps nothing over a restart of its own: neither AOF nor snapshots are on");
        }
    }
}

/// Looks again and again; says what changed.
pub(super) async fn watch(link: Bundle, mut known: Manner) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        // Whether Redis is there is told by the link.
        let Ok(now) = Manner::of(&link).await else { continue };
        if now != known {
            tracing::info!(
                policy = now.policy,
                limited = now.limited,
                keeps = now.keeps,
                "the settings of Redis changed"
            );
            now.warn();
            known = now;
        }
    }
}

async fn info(link: &Link, section: &str) -> Result<String, LinkError> {
    match link.run::<String>(redis::cmd("INFO").arg(section)).await {
        Err(error) if error.is_forbidden() => Ok(String::new()),
        // A command that was renamed away.
        Err(LinkError::Corrupt(_)) => Ok(String::new()),
        answer => answer,
    }
}

/// Whether snapshots are written; None where CONFIG is not permitted.
async fn saves(link: &Link) -> Result<Option<bool>, LinkError> {
    let answer = link.run::<Value>(redis::cmd("CONFIG").arg("GET").arg("save")).await;
    let settings = match answer {
        Ok(answer) => redis::from_redis_value::<Vec<(String, String)>>(answer).unwrap_or_default(),
        Err(error @ LinkError::Unreachable(_)) if !error.is_forbidden() => return Err(error),
        Err(_) => return Ok(None),
    };
    Ok(settings.first().map(|(_, save)| !save.is_empty()))
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_dropped_only_by_a_full_server_with_such_a_policy() {
        let manner = |policy: &str, limited| Manner { policy: Some(policy.to_owned()), limited, keeps: None };
        assert_eq!(manner("noeviction", true).drops(), None);
        assert_eq!(manner("allkeys-lru", false).drops(), None);
        for policy in ["allkeys-lru", "volatile-ttl"] {
            assert_eq!(manner(policy, true).drops(), Some(policy));
        }
        assert_eq!(Manner::default().drops(), None);
        assert_eq!(field("# Memory\r\nmaxmemory:7\r\nmaxmemory_policy:x\r\n", "maxmemory_policy"), Some("x"));
    }
}
