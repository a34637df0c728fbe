//! What is around a run and how it goes, looked at again and again: clients, servers, Redis, the kernel, the generator.
//!
//! Invariant: looking never fails a run; what cannot be read is unknown in the point.

mod exporter;
mod found;
mod host;
pub mod limits;
pub mod probe;
pub mod process;
pub mod pulse;
mod queues;
mod redis;
pub mod sampler;
pub mod servers;
mod slab;

use std::time::Duration;

use tokio::time::Instant;

use chatbench_result::model::{HostPoint, RedisPoint, ServerPoint};
use queues::Queues;
pub use redis::{Address, Redis};
use servers::{Seen, Server, Servers};

/// What to look at.
#[derive(Debug)]
pub struct Watch {
    servers: Servers,
    queues: Queues,
    redis: Option<Redis>,
    /// When each server was last seen, and how.
    before: Vec<Option<(Instant, Seen)>>,
    redis_before: Option<redis::Info>,
}

/// What was seen in one look.
#[derive(Debug)]
pub struct Sight {
    /// The servers, in their order.
    pub servers: Vec<ServerPoint>,
    /// Redis.
    pub redis: Option<RedisPoint>,
    /// The kernel.
    pub host: HostPoint,
}

impl Watch {
    /// Looks at these servers, whose processes on this host listen on these ports, and at this Redis.
    pub fn new(servers: Servers, ports: Vec<u16>, redis: Option<Redis>) -> Self {
        // What several servers have in their queues together is not told apart, nor what the other end has from them.
        let is_one =
            ports.len() == 1 && matches!(servers.iter().collect::<Vec<_>>()[..], [Server::Process(_)]);
        let queues = Queues::new(if is_one { ports } else { Vec::new() });
        Self { before: vec![None; servers.iter().count()], servers, queues, redis, redis_before: None }
    }

    /// Looks; `since` the last time. `is_calm`: no connections come and go in great numbers.
    pub async fn look(&mut self, since: Duration, is_calm: bool) -> Sight {
        let host = host::now();
        let told = async {
            match &mut self.redis {
                Some(redis) => redis.info().await,
                None => None,
            }
        };
        let (seen, redis) = tokio::join!(self.servers.look_each(), told);
        let now = Instant::now();
        // It may take a while, and the CPU time is that of the moment before. Who walks through the table of sockets works
        // off what reaches them meanwhile, which would make the pause behind a look long for nothing.
        let queued = if is_calm { self.queues.look().await } else { None };
        let servers = seen.into_iter().zip(&mut self.before).zip(self.servers.iter());
        let servers = servers.map(|((seen, before), server)| {
            let seen = seen.ok();
            let cpu_percent = seen
                .zip(*before)
                .and_then(|(seen, (then, before))| Some(percent(seen.cpu_us_since(&before)?, now - then)));
            *before = seen.map(|seen| (now, seen)).or(*before);
            ServerPoint {
                pid: server.pid(),
                server: server.address(),
                cpu_percent,
                rss_kib: seen.map(|seen| seen.sample.rss_bytes / 1024),
                files: seen.and_then(|seen| seen.files),
                sockets_kib: queued.map(|bytes| bytes.div_ceil(1024)),
            }
        });
        let servers = servers.collect();
        let before = std::mem::replace(&mut self.redis_before, redis);
        let redis = redis.zip(before).map(|(now, before)| RedisPoint {
            // One of them was the question itself.
            commands: now.commands.saturating_sub(before.commands + 1),
            clients: now.clients,
            used_memory_kib: now.used_memory / 1024,
            cpu_percent: Some(percent(now.cpu_us.saturating_sub(before.cpu_us), since)),
        });
        Sight { servers, redis, host }
    }
}

/// CPU time as a share of one core, with two decimals.
pub fn percent(cpu_us: u64, time: Duration) -> f64 {
    let share = cpu_us as f64 / (time.as_secs_f64() * 1e6).max(1.0);
    (share * 10_000.0).round() / 100.0
}
