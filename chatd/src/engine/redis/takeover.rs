//! Takes over what an earlier version of chatd wrote in another way, before anything is read or written.
//!
//! Invariant: the layout is noted when all is done, and each part goes as it is taken over; so a node that dies meanwhile
//! is followed by the next one that starts. Nodes of the earlier version would go on writing in their way: while one
//! lives, nothing is begun.

use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use redis::{FromRedisValue, Value};
use tokio::time::{Instant, sleep};

use super::bundle::Bundle;
use super::keys::Keys;
use super::link::{LinkError, Script};
use super::log::{Cursor, Logs};
use crate::model::Conversation;

/// How chatd writes by now.
const LAYOUT: u64 = 2;
/// Entries moved, or users noted, by one call: Redis serves others between two of them.
const CHUNK: usize = 250;
/// How long another node may be without a sign while it takes over.
const LEASE_MS: u64 = 30_000;
const PAUSE: Duration = Duration::from_millis(200);
/// How often a running node notes the layout anew, for a Redis that came back empty.
const NOTE_EVERY: Duration = Duration::from_secs(3);
/// How often is told how far it is.
const TELL_EVERY: Duration = Duration::from_secs(10);

static TAKEOVER: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("log.lua"), include_str!("takeover.lua"))));

/// Returns once everything is as this version writes it.
///
/// # Errors
/// When a later version wrote it, when a node of the earlier one lives, or when Redis does not answer.
pub(super) async fn run(logs: &Logs) -> Result<(), LinkError> {
    let (link, keys) = (&logs.others, &logs.keys);
    loop {
        let layout: Option<u64> = command(link, &["GET", &keys.layout()]).await?;
        match layout {
            Some(LAYOUT) => return Ok(()),
            Some(other) => {
                return Err(LinkError::Unreachable(format!(
                    "the data in Redis are of layout {other}, written by a later version of chatd; this one knows {LAYOUT}"
                )));
            }
            None => {}
        }
        let lease: Option<Value> =
            command(link, &["SET", &keys.takeover(), "1", "NX", "PX", &LEASE_MS.to_string()]).await?;
        if lease.is_some() {
            let done = take_over(logs).await;
            command::<Value>(link, &["DEL", &keys.takeover()]).await?;
            return done;
        }
        // Another node is at it.
        sleep(PAUSE).await;
    }
}

/// Keeps the layout noted, also in a Redis that lost it with all else: so a node that starts knows those that run for
/// nodes of this version.
pub(super) async fn keep_noted(link: Bundle, key: String) {
    loop {
        sleep(NOTE_EVERY).await;
        let noted = command::<Value>(&link, &["SET", &key, &LAYOUT.to_string(), "NX"]).await;
        if let Err(error) = noted {
            tracing::debug!(%error, "the layout is noted later");
        }
    }
}

async fn take_over(logs: &Logs) -> Result<(), LinkError> {
    let (link, keys) = (&logs.others, &logs.keys);
    refuse_while_others_live(link, keys).await?;
    let [heads, peers] = keys.former();
    let mut progress = Progress { last: Instant::now(), logs: 0 };
    let servers = link.servers();
    let patterns = [heads, peers];
    // All heads first: a set of users is read with the logs of their pairs.
    let parts =
        patterns.iter().flat_map(|pattern| servers.members.iter().map(move |member| (pattern, member)));
    for (pattern, member) in parts {
        let mut cursor = "0".to_owned();
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(&cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(1000);
            let (next, found): (String, Vec<Bytes>) = member.link.run(&scan).await?;
            // All that chatd writes is UTF-8.
            for key in found.iter().filter_map(|key| std::str::from_utf8(key).ok()) {
                match one(logs, key).await {
                    Err(LinkError::Corrupt(error)) => tracing::error!(key, error, "damaged; left as it is"),
                    done => done?,
                }
                progress.logs += 1;
                command::<Value>(link, &["PEXPIRE", &keys.takeover(), &LEASE_MS.to_string()]).await?;
                progress.tell();
            }
            if next == "0" {
                break;
            }
            cursor = next;
        }
    }
    command::<Value>(link, &["SET", &keys.layout(), &LAYOUT.to_string()]).await?;
    if progress.logs > 0 {
        tracing::info!(keys = progress.logs, "took over what an earlier version wrote");
    }
    Ok(())
}

/// What was done so far.
struct Progress {
    last: Instant,
    logs: u64,
}

impl Progress {
    fn tell(&mut self) {
        if self.last.elapsed() >= TELL_EVERY {
            self.last = Instant::now();
            tracing::info!(keys = self.logs, "taking over what an earlier version wrote");
        }
    }
}

async fn refuse_while_others_live(link: &Bundle, keys: &Keys) -> Result<(), LinkError> {
    let time = redis::cmd("TIME");
    let (seconds, _): (u64, u64) = link.run_at(Some(keys.leases().as_bytes()), &time).await?;
    let now = (seconds * 1000).to_string();
    let alive: u64 = command(link, &["ZCOUNT", &keys.leases(), &now, "+inf"]).await?;
    if alive == 0 {
        return Ok(());
    }
    Err(LinkError::Unreachable(format!(
        "{alive} nodes of an earlier version of chatd use this Redis, or were killed a moment ago; stop them all, then \
         start this version, which takes their data over"
    )))
}

async fn one(logs: &Logs, key: &str) -> Result<(), LinkError> {
    if let Some((stream, stubs, list)) = logs.keys.beside_former_head(key) {
        let Some(list) = list else {
            // Places in an inbox are of use only while a node is cut off.
            return command::<Value>(&logs.others, &["UNLINK", &stream, key, &stubs]).await.map(drop);
        };
        let mut call = TAKEOVER.call(&[stream, key.to_owned(), stubs, list]);
        call.arg(CHUNK);
        while logs.others.call::<bool>(&TAKEOVER, &call).await? {}
    }
    let Some((app, user)) = logs.keys.owner_of_former_peers(key) else { return Ok(()) };
    loop {
        let some: Vec<Bytes> = command(&logs.others, &["SRANDMEMBER", key, &CHUNK.to_string()]).await?;
        if some.is_empty() {
            return Ok(());
        }
        let names = some.iter().filter_map(|name| std::str::from_utf8(name).ok());
        let (names, pairs): (Vec<&str>, Vec<Conversation>) =
            names.filter_map(|name| Some((name, super::pairs::pair(app, &user, name)?))).unzip();
        let ends = logs.ends(&pairs).await?;
        let ends = ends.into_iter().map(|end| end.unwrap_or_else(|_| Cursor::start()));
        logs.note_pairs(app, &user, names.into_iter().zip(ends)).await?;
        let mut done = redis::cmd("SREM");
        done.arg(key).arg(some.iter().map(|name| &name[..]).collect::<Vec<_>>());
        logs.others.run::<Value>(&done).await?;
    }
}

async fn command<T: FromRedisValue>(link: &Bundle, words: &[&str]) -> Result<T, LinkError> {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    link.run(&command).await
}
