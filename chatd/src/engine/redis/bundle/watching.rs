//! Watches over who has which slots of a cluster.
//!
//! Invariant: what most of the masters say counts, so one that is cut off from the others does not. A link lives for as
//! long as its server has slots.

use std::sync::Arc;
use std::time::Duration;

use redis::{AsyncConnectionConfig, RedisError, Value};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::slots::{Member, Range, SLOTS, Servers};
use crate::engine::redis::link::{Link, LinkError, OnMessage};
use crate::engine::redis::site::{Cluster, Server};

/// How often it is looked at without a reason.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Least time between two looks.
const REST: Duration = Duration::from_millis(50);
/// Longest wait for the word of one server.
const PATIENCE: Duration = Duration::from_millis(500);

type Watched = (watch::Receiver<Arc<Servers>>, Arc<Notify>, JoinHandle<()>);

/// Connects to all masters, and watches from then on.
pub(super) async fn begin(
    cluster: Arc<Cluster>,
    replicas: u32,
    on_message: OnMessage,
) -> Result<Watched, LinkError> {
    let seek = Seek { cluster, replicas, on_message };
    let nobody = Servers { ranges: Vec::new(), members: Vec::new() };
    let ranges = seek.look(&nobody).await?;
    let covered: u32 = ranges.iter().map(|range| u32::from(range.last - range.first) + 1).sum();
    if covered != u32::from(SLOTS) {
        let detail = format!("redis at {}: {covered} of {SLOTS} slots have a server", seek.cluster);
        return Err(LinkError::Unreachable(detail));
    }
    let first = seek.connect(&nobody, ranges).await?;
    let (sender, servers) = watch::channel(Arc::new(first));
    let look = Arc::new(Notify::new());
    let task = tokio::spawn(seek.keep(sender, look.clone()));
    Ok((servers, look, task))
}

struct Seek {
    cluster: Arc<Cluster>,
    replicas: u32,
    on_message: OnMessage,
}

impl Seek {
    async fn keep(self, sender: watch::Sender<Arc<Servers>>, look: Arc<Notify>) {
        loop {
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                () = look.notified() => {}
            }
            let known = sender.borrow().clone();
            match self.look(&known).await {
                Ok(ranges) if ranges != known.ranges && !ranges.is_empty() => {
                    match self.connect(&known, ranges).await {
                        Ok(servers) => {
                            let masters = servers.members.len();
                            tracing::info!(redis = %self.cluster, masters, "slots have moved");
                            sender.send_replace(Arc::new(servers));
                        }
                        Err(error) => tracing::debug!(%error, "a master that is new"),
                    }
                }
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "nobody tells of the cluster"),
            }
            sleep(REST).await;
        }
    }

    /// Asks all masters that can be reached, or else whom the settings name.
    async fn look(&self, known: &Servers) -> Result<Vec<Range>, LinkError> {
        let mut told: Vec<(Vec<Range>, usize)> = Vec::new();
        let asked = known.members.iter().map(|member| async {
            let up = member.link.watch().borrow().is_some();
            let ask = async { member.link.run::<Value>(redis::cmd("CLUSTER").arg("SLOTS")).await };
            let answer = if up { timeout(PATIENCE, ask).await.ok()?.ok()? } else { return None };
            ranges(answer, &member.at)
        });
        for ranges in futures_util::future::join_all(asked).await.into_iter().flatten() {
            match told.iter_mut().find(|(known, _)| *known == ranges) {
                Some((_, times)) => *times += 1,
                None => told.push((ranges, 1)),
            }
        }
        if let Some((ranges, _)) = told.into_iter().max_by_key(|(_, times)| *times) {
            return Ok(ranges);
        }
        let mut why = LinkError::Unreachable("no server".to_owned());
        for at in known.ranges.iter().map(|range| range.at.clone()).chain(self.cluster.seeds()) {
            match self.ask(&at).await {
                Ok(ranges) => return Ok(ranges),
                Err(error) => why = LinkError::Unreachable(format!("redis at {at}: {error}")),
            }
        }
        Err(why)
    }

    async fn ask(&self, at: &str) -> Result<Vec<Range>, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let client = self.cluster.client(at)?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        let answer = redis::cmd("CLUSTER").arg("SLOTS").query_async(&mut connection).await?;
        ranges(answer, at).ok_or_else(|| (redis::ErrorKind::Client, "it tells no slots").into())
    }

    /// Links to all that have slots: those there are, and new ones.
    async fn connect(&self, known: &Servers, ranges: Vec<Range>) -> Result<Servers, LinkError> {
        let mut members: Vec<Member> = Vec::new();
        for Range { at, .. } in &ranges {
            if members.iter().any(|member| member.at == *at) {
                continue;
            }
            let link = match known.members.iter().find(|member| member.at == *at) {
                Some(member) => member.link.clone(),
                None => {
                    let server = Server::Fixed(Box::new(self.cluster.client(at)?));
                    Link::open(&server, self.replicas, self.on_message.clone()).await?
                }
            };
            members.push(Member { at: at.clone(), link });
        }
        Ok(Servers { ranges, members })
    }
}

/// Reads what a server at `asked` says of slots: first, last, and the master first among those that have them.
fn ranges(answer: Value, asked: &str) -> Option<Vec<Range>> {
    let Value::Array(lines) = answer else { return None };
    let read = |line: Value| {
        let Value::Array(parts) = line else { return None };
        let mut parts = parts.into_iter();
        let (first, last) = (number(&parts.next()?)?, number(&parts.next()?)?);
        let Value::Array(master) = parts.next()? else { return None };
        let mut master = master.into_iter();
        // Who does not know its own name has the one by which it was asked.
        let host: String = redis::from_redis_value(master.next()?).ok().unwrap_or_default();
        let host = if host.is_empty() || host == "?" { asked.rsplit_once(':')?.0.to_owned() } else { host };
        let port = number(&master.next()?)?;
        Some(Range { first, last, at: format!("{host}:{port}") })
    };
    let mut ranges = lines.into_iter().map(read).collect::<Option<Vec<_>>>()?;
    ranges.sort_by_key(|range| range.first);
    Some(ranges)
}

fn number(value: &Value) -> Option<u16> {
    match value {
        Value::Int(number) => u16::try_from(*number).ok(),
        _ => None,
    }
}
