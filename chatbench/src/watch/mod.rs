//! The processes around a run, looked at again and again: servers, Redis, the kernel.
//!
//! Invariant: looking never fails a run; what cannot be read is left out of the point.

pub mod found;
mod host;
mod queues;
mod redis;
mod slab;

use std::collections::BTreeMap;
use std::time::Duration;

use procfs::process::Process;

use crate::process::{self, Sample};
use crate::report::series::{HostPoint, RedisPoint, ServerPoint};
use queues::Queues;
pub use redis::{Address, Redis};

/// What to look at.
#[derive(Debug)]
pub struct Watch {
    pids: Vec<i32>,
    queues: Queues,
    redis: Option<Redis>,
    before: BTreeMap<i32, Sample>,
    redis_before: Option<redis::Info>,
}

/// What was seen in one look.
#[derive(Debug)]
pub struct Sight {
    /// The servers that could be read.
    pub servers: Vec<ServerPoint>,
    /// Redis.
    pub redis: Option<RedisPoint>,
    /// The kernel.
    pub host: HostPoint,
}

impl Watch {
    /// Looks at these processes, which listen on these ports, and at this Redis.
    pub fn new(pids: &[i32], ports: Vec<u16>, redis: Option<Redis>) -> Self {
        // What several servers have in their queues together is not told apart.
        let queues = Queues::new(if pids.len() == 1 { ports } else { Vec::new() });
        Self { pids: pids.to_vec(), queues, redis, before: BTreeMap::new(), redis_before: None }
    }

    /// Looks; `since` the last time.
    pub async fn look(&mut self, since: Duration) -> Sight {
        let mut servers = Vec::with_capacity(self.pids.len());
        for &pid in &self.pids {
            let Ok(now) = process::sample(pid) else { continue };
            let files = Process::new(pid).and_then(|process| process.fd_count()).unwrap_or(0);
            let before = self.before.insert(pid, now);
            servers.push(ServerPoint {
                pid,
                cpu_percent: before.map(|before| percent(now.cpu_us.saturating_sub(before.cpu_us), since)),
                rss_kib: now.rss_bytes / 1024,
                files: files as u64,
                sockets_kib: None,
            });
        }
        // It may take a while, and the CPU time is that of the moment before.
        let queued = self.queues.look().await;
        for server in &mut servers {
            server.sockets_kib = queued.map(|bytes| bytes.div_ceil(1024));
        }
        let redis = match &mut self.redis {
            Some(redis) => redis.info().await,
            None => None,
        };
        let before = std::mem::replace(&mut self.redis_before, redis);
        let redis = redis.zip(before).map(|(now, before)| RedisPoint {
            // One of them was the question itself.
            commands: now.commands.saturating_sub(before.commands + 1),
            clients: now.clients,
            used_memory_kib: now.used_memory / 1024,
            cpu_percent: Some(percent(now.cpu_us.saturating_sub(before.cpu_us), since)),
        });
        Sight { servers, redis, host: host::now() }
    }
}

/// CPU time as a share of one core, with two decimals.
pub fn percent(cpu_us: u64, time: Duration) -> f64 {
    let share = cpu_us as f64 / (time.as_secs_f64() * 1e6).max(1.0);
    (share * 10_000.0).round() / 100.0
}
