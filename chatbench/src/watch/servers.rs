//! The servers of a run: processes of this host, and others that tell of themselves at `/metrics`.
//!
//! Invariant: no look fails a run, and what a server does not tell is unknown, never zero.

use std::collections::BTreeSet;
use std::fmt;

use futures_util::future::join_all;
use procfs::process::Process;

use crate::failure::Failure;
use crate::net::door::Entrance;
use crate::watch::exporter::Exporter;
use crate::watch::found;
use crate::watch::process::{self, Sample};

/// Where the CPU and memory of servers are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Resources {
    /// As `Pid` where a process is found, else as `Metrics`.
    #[default]
    Auto,
    /// From the kernel, by process id.
    Pid,
    /// From what each server says at `/metrics`.
    Metrics,
}

/// One server.
#[derive(Debug, Clone)]
pub enum Server {
    /// A process of this host.
    Process(i32),
    /// One that tells of itself.
    Exporter(Exporter),
    /// One of which nobody tells.
    Unknown(chat_client::Server),
}

/// A server at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// CPU time and memory.
    pub sample: Sample,
    /// Open files; none where the kernel does not tell them of another user's process.
    pub files: Option<u64>,
    /// Tells a server from the one that was there before it.
    pub started_ms: Option<u64>,
}

/// All servers at one moment, in their order, or why one of them is unknown.
pub type Looked = Result<Vec<Seen>, String>;

/// All servers at the start and the end of what is measured; none when nothing was.
pub type Observed = Option<Result<[Vec<Seen>; 2], String>>;

/// The servers that are watched.
#[derive(Debug, Clone, Default)]
pub struct Servers(Vec<Server>);

impl Servers {
    /// Those of a run: the processes that were named, or what this host says of the addresses, each with its entrance.
    ///
    /// # Errors
    /// [`Failure`] when a process that was named is not there.
    pub fn find(
        named: &[i32],
        resources: Resources,
        addresses: &[chat_client::Server],
        entrances: &[Entrance],
    ) -> Result<Self, Failure> {
        if !named.is_empty() {
            process::samples(named)?;
            return Ok(Self(named.iter().copied().map(Server::Process).collect()));
        }
        let is_here = |entrance: &&Entrance| entrance.address.ip().is_loopback();
        let ports: Vec<u16> =
            entrances.iter().filter(is_here).map(|entrance| entrance.address.port()).collect();
        let by_port = match resources {
            Resources::Metrics => Vec::new(),
            Resources::Auto | Resources::Pid => found::listeners(&ports),
        };
        let pids: BTreeSet<i32> = by_port.iter().map(|(_, pid)| *pid).collect();
        let mut servers: Vec<Server> = pids.into_iter().map(Server::Process).collect();
        for (entrance, server) in entrances.iter().zip(addresses) {
            let port = entrance.address.port();
            let is_found = entrance.address.ip().is_loopback() && by_port.iter().any(|(at, _)| *at == port);
            if !is_found {
                // Without this one the others would be half a sum.
                servers.push(match resources {
                    Resources::Pid => Server::Unknown(server.clone()),
                    Resources::Auto | Resources::Metrics => Server::Exporter(Exporter::new(server)?),
                });
            }
        }
        Ok(Self(servers))
    }

    /// Looks at each.
    pub async fn look_each(&self) -> Vec<Result<Seen, String>> {
        join_all(self.0.iter().map(Server::look)).await
    }

    /// Looks at all.
    pub async fn look(&self) -> Looked {
        self.look_each().await.into_iter().collect()
    }

    /// The second look, behind the first.
    pub async fn look_again(&self, first: Looked) -> Observed {
        let second = self.look().await;
        Some(first.and_then(|first| {
            let second = second?;
            let mut pairs = self.0.iter().zip(first.iter().zip(&second));
            match pairs.find(|(_, (first, second))| !second.is_same(first)) {
                Some((server, _)) => Err(format!("{server} was started anew during the run")),
                None => Ok([first, second]),
            }
        }))
    }

    /// In the order of the looks.
    pub fn iter(&self) -> impl Iterator<Item = &Server> {
        self.0.iter()
    }
}

impl Server {
    async fn look(&self) -> Result<Seen, String> {
        match self {
            Server::Process(pid) => {
                let sample =
                    process::sample(*pid).map_err(|_| format!("process {pid} ended during the run"))?;
                let files = Process::new(*pid).and_then(|process| process.fd_count());
                // The kernel gives the id to another process only after a long while.
                Ok(Seen { sample, files: files.ok().map(|files| files as u64), started_ms: None })
            }
            Server::Exporter(exporter) => exporter.look().await,
            Server::Unknown(server) => Err(format!("no process on this host was found for {server}")),
        }
    }

    /// How its numbers were got.
    pub fn source(&self) -> &'static str {
        match self {
            Server::Process(_) | Server::Unknown(_) => "pid",
            Server::Exporter(_) => "metrics",
        }
    }

    /// Its process id, where that means something.
    pub fn pid(&self) -> Option<i32> {
        match self {
            Server::Process(pid) => Some(*pid),
            Server::Exporter(_) | Server::Unknown(_) => None,
        }
    }

    /// Its address, where it is watched by that.
    pub fn address(&self) -> Option<String> {
        match self {
            Server::Process(_) => None,
            Server::Exporter(exporter) => Some(exporter.server().to_string()),
            Server::Unknown(server) => Some(server.to_string()),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Server::Process(pid) => write!(f, "process {pid}"),
            Server::Exporter(exporter) => exporter.server().fmt(f),
            Server::Unknown(server) => server.fmt(f),
        }
    }
}

impl Seen {
    /// Whether it is the same process as at an earlier moment, as far as it tells.
    pub fn is_same(&self, before: &Seen) -> bool {
        self.started_ms == before.started_ms && self.sample.cpu_us >= before.sample.cpu_us
    }

    /// The CPU time since another moment; none when it was started anew in between.
    pub fn cpu_us_since(&self, before: &Seen) -> Option<u64> {
        self.is_same(before).then(|| self.sample.cpu_us - before.sample.cpu_us)
    }
}
