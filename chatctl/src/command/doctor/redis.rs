//! What a Redis says of its policy: whether it may throw messages away, and what a power cut costs.
//!
//! Invariant: two commands that read, over a connection of its own; a password is sent and never told.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Finding, Health};

/// What is read of an answer at most.
const MAX_BYTES: usize = 64 * 1024;

/// Asks the Redis at this address.
pub async fn look(address: &str, password: Option<&str>, timeout: Duration) -> Finding {
    let what = "redis";
    match tokio::time::timeout(timeout, info(address, password)).await {
        Ok(Ok(info)) => policy(&info),
        Ok(Err(error)) => Finding::of(
            what,
            Health::Unknown,
            format!("{address} does not tell: {}", crate::failure::plain(&error.to_string())),
            "check --redis, and CHATCTL_REDIS_PASSWORD where it asks for one",
        ),
        Err(_) => Finding::of(what, Health::Unknown, format!("{address} does not answer"), "check --redis"),
    }
}

async fn info(address: &str, password: Option<&str>) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    if let Some(password) = password {
        let auth = format!("*2\r\n$4\r\nAUTH\r\n${}\r\n{password}\r\n", password.len());
        stream.write_all(auth.as_bytes()).await?;
    }
    stream.write_all(b"INFO\r\nQUIT\r\n").await?;
    let mut text = Vec::new();
    // It closes after the last answer.
    stream.take(MAX_BYTES as u64).read_to_end(&mut text).await?;
    let text = String::from_utf8_lossy(&text).into_owned();
    match text.lines().find(|line| line.starts_with('-')) {
        Some(refusal) => Err(std::io::Error::other(refusal.trim_start_matches('-').to_owned())),
        None => Ok(text),
    }
}

fn policy(info: &str) -> Finding {
    let of = |name: &str| {
        let found = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        found.map(str::trim).unwrap_or_default()
    };
    let (version, policy, limit) = (of("redis_version"), of("maxmemory_policy"), of("maxmemory"));
    if !["", "noeviction"].contains(&policy) && limit != "0" {
        return Finding::of(
            "redis",
            Health::Bad,
            format!(
                "Redis {version} drops keys when it is full (maxmemory-policy {policy}): messages and money would go"
            ),
            "redis-cli config set maxmemory-policy noeviction; then config rewrite",
        );
    }
    if of("aof_enabled") != "1" {
        return Finding::of(
            "redis",
            Health::Warning,
            format!(
                "Redis {version} keeps no append-only file: what came since its last snapshot goes with it"
            ),
            "redis-cli config set appendonly yes; then config rewrite",
        );
    }
    if of("aof_last_write_status") == "err" || of("rdb_last_bgsave_status") == "err" {
        return Finding::of(
            "redis",
            Health::Bad,
            format!("Redis {version} cannot write to its disk"),
            "look at its log and at the room on its disk",
        );
    }
    Finding::fine("redis", format!("Redis {version}, policy {policy}, with an append-only file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_loses_messages_is_bad_and_one_without_a_file_a_warning() {
        let info = |policy: &str, limit: &str, aof: &str| {
            format!(
                "redis_version:7.0\r\nmaxmemory:{limit}\r\nmaxmemory_policy:{policy}\r\naof_enabled:{aof}\r\n"
            )
        };
        let health = |policy, limit, aof| super::policy(&info(policy, limit, aof)).health;
        assert_eq!(health("allkeys-lru", "1000", "1"), Health::Bad);
        assert_eq!(health("allkeys-lru", "0", "1"), Health::Fine, "it is never full");
        assert_eq!(health("noeviction", "1000", "0"), Health::Warning);
        assert_eq!(health("noeviction", "1000", "1"), Health::Fine);
    }
}
