//! What the run cost the server's processes and the generator.
//!
//! Invariant: CPU is that of the measured part, drain included, on both sides alike.

use serde::{Deserialize, Serialize};

use super::series::Series;

/// The kernel counts what it keeps ready for its cores as in use: some hundred objects that fewer connections than these
/// cannot be told from.
const FEWEST_TO_TELL: u64 = 500;

/// CPU and memory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Processes {
    /// Time between the two looks at the CPU.
    pub observed_ms: u64,
    /// This process, together with its workers.
    pub generator: Usage,
    /// Processes of the generator.
    #[serde(default = "one")]
    pub generator_processes: u32,
    /// The watched servers; none when one of them could not be read each time.
    pub servers: Vec<Usage>,
    /// CPU time of the servers for each delivery.
    pub server_cpu_us_per_delivery: Option<f64>,
    /// Memory that the connections added to the servers, for each one.
    pub server_kib_per_connection: Option<f64>,
    /// Memory of the kernel's objects in use that the connections added to this host, for each one: socket, inode, file,
    /// directory entry and place in an epoll, without buffers; both ends if both are here. Other sockets that were opened
    /// or closed meanwhile count as well. Null for too few connections to tell, and where the kernel does not let read it.
    pub kernel_kib_per_connection: Option<f64>,
    /// Commands of Redis for each accepted message.
    pub redis_commands_per_message: Option<f64>,
    /// CPU time of the generator for each delivery.
    pub generator_cpu_us_per_delivery: Option<f64>,
}

/// One process.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Where it was read: `pid` (from the kernel) or `metrics` (from what it says there).
    #[serde(default = "from_kernel")]
    pub source: String,
    /// Its id, when it was read by that.
    pub pid: Option<i64>,
    /// Its address, when it was read there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// User and system time while observed.
    pub cpu_us: u64,
    /// The same as a share of one core.
    pub cpu_percent: Option<f64>,
    /// Memory before the first connection.
    pub rss_before_bytes: u64,
    /// Memory when all connections were open, at the start of the observation.
    pub rss_connected_bytes: u64,
    /// Memory at the end of the observation.
    pub rss_after_bytes: u64,
}

fn from_kernel() -> String {
    "pid".to_owned()
}

fn one() -> u32 {
    1
}

impl Processes {
    /// Divides the CPU time by a number of deliveries.
    pub fn per_delivery(&mut self, deliveries: u64) {
        let per = |cpu_us: u64| {
            (deliveries > 0).then(|| (cpu_us as f64 / deliveries as f64 * 1000.0).round() / 1000.0)
        };
        if !self.servers.is_empty() {
            self.server_cpu_us_per_delivery = per(self.servers.iter().map(|server| server.cpu_us).sum());
        }
        self.generator_cpu_us_per_delivery = per(self.generator.cpu_us);
    }

    /// Works out what follows from the course of the run.
    pub fn derive(&mut self, series: &Series, connections: u64) {
        let hundredths = |value: f64| (value * 100.0).round() / 100.0;
        self.server_kib_per_connection =
            self.server_growth(connections).map(|bytes| hundredths(bytes / 1024.0));
        let connected = series.points.iter().rfind(|point| point.phase != "close" && point.clients > 0);
        let objects = connected.and_then(|point| point.host.socket_objects_kib);
        if let (Some(before), Some(now)) = (series.host_before.socket_objects_kib, objects)
            && connections >= FEWEST_TO_TELL
        {
            let grown = now as f64 - before as f64;
            self.kernel_kib_per_connection = Some(hundredths(grown / connections as f64));
        }
        let working =
            series.points.iter().filter(|point| ["measure", "drain"].contains(&point.phase.as_str()));
        let (commands, messages) = working.fold((0, 0), |(commands, messages), point| {
            let more = point.redis.map_or(0, |redis| redis.commands);
            (commands + more, messages + point.accepted)
        });
        if commands > 0 && messages > 0 {
            self.redis_commands_per_message = Some(hundredths(commands as f64 / messages as f64));
        }
    }

    /// What the connections added to the generator's memory, for each one.
    #[must_use]
    pub fn own_growth(&self, connections: u64) -> Option<f64> {
        growth(std::slice::from_ref(&self.generator), connections)
    }

    /// What the connections added to the servers' memory, for each one.
    #[must_use]
    pub fn server_growth(&self, connections: u64) -> Option<f64> {
        growth(&self.servers, connections)
    }
}

impl Usage {
    /// For a reader.
    #[must_use]
    pub fn name(&self) -> String {
        match (&self.server, self.pid) {
            (Some(server), _) => server.clone(),
            (None, pid) => format!("process {}", pid.unwrap_or_default()),
        }
    }
}

fn growth(processes: &[Usage], connections: u64) -> Option<f64> {
    if processes.is_empty() || connections == 0 {
        return None;
    }
    let bytes: f64 =
        processes.iter().map(|usage| usage.rss_connected_bytes as f64 - usage.rss_before_bytes as f64).sum();
    Some((bytes / connections as f64).round())
}
