//! What a run is asked for, whoever asks.
//!
//! Invariant: with the identity of the run it decides who sends what to whom and when; a worker that reads it again does
//! the same.

use std::path::PathBuf;
use std::time::Duration;

use chat_client::context::Context;
use chat_client::{Server, Trust};
use chat_protocol::secret;
use chatbench_result::threshold::Threshold;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::ledger::plan::timetable::{Arrival, Leg, Stages, Timetable};
use crate::ledger::plan::trouble::{Chaos, Trouble};
use crate::net::sources::Sources;
use crate::phases::text;
use crate::watch::Address;
use crate::watch::servers::Resources;

/// The port of a server for gRPC, where none is named.
pub const GRPC_PORT: u16 = 50_051;

/// What every run is asked for. What is for the conductor alone is not written for the workers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Common {
    /// The servers; clients are spread over several.
    #[serde(with = "servers")]
    pub servers: Vec<Server>,
    /// Certificates to believe at https instead of those this host knows.
    pub ca: Option<PathBuf>,
    /// Whether to believe any certificate at https.
    pub insecure: bool,
    /// Where the key is that the servers are shown.
    pub token_file: Option<PathBuf>,
    /// The context that stands for the servers, and for what they are shown.
    pub context: Option<Context>,
    /// The app; none for one that nobody else uses.
    #[serde(skip)]
    pub app: Option<u32>,
    /// Clients that receive.
    pub clients: u32,
    /// Processes the clients are divided among; none for as many as the limit on open files asks for.
    #[serde(skip)]
    pub workers: Option<u32>,
    /// Addresses to connect from; none for those that are needed.
    #[serde(with = "text")]
    pub sources: Option<Sources>,
    /// New connections per second; none for as fast as possible.
    #[serde(with = "text")]
    pub connect_rate: Option<f64>,
    /// How often each connection says that it lives.
    pub heartbeat: Duration,
    /// Processes of the servers on this host; none for those that listen on their addresses.
    #[serde(skip)]
    pub pids: Vec<i32>,
    /// Where the CPU and memory of the servers are read.
    #[serde(skip)]
    pub resources: Resources,
    /// Redis to watch.
    #[serde(skip)]
    pub redis: Option<Address>,
    /// What must hold at the end.
    #[serde(skip)]
    pub thresholds: Vec<Threshold>,
    /// The seed; none for a random one.
    #[serde(skip)]
    pub seed: Option<u64>,
}

/// How messages travel to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Via {
    /// WebSocket, on the sender's own connection.
    Ws,
    /// HTTP POST; the senders are not connected.
    Http,
    /// Calls of gRPC over a few connections that all senders share.
    Grpc,
}

/// Where calls of gRPC go.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Calls {
    /// As `host:port`, in the order of the servers; none for [`GRPC_PORT`] of each.
    pub addresses: Vec<String>,
    /// Connections of this process to each.
    pub connections: u32,
}

/// When senders send.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Pace {
    /// So many messages a second, of all together, whatever the answers do.
    Rate(#[serde(with = "text::one")] f64),
    /// At rates one after the other, likewise.
    Stages(#[serde(with = "text::one")] Stages),
    /// Each the next message when the last one is answered, after a pause.
    Closed {
        /// The pause.
        think: Duration,
    },
}

/// What a run is asked for that sends messages.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Traffic {
    /// What every run is asked for.
    pub common: Common,
    /// Senders beside the clients; none for as many as the scenario has by itself.
    pub senders: Option<u32>,
    /// When they send.
    pub pace: Pace,
    /// How messages are spread at a rate.
    pub arrival: Arrival,
    /// Time that is measured, after the warm-up; stages have their own.
    pub duration: Duration,
    /// Messages a sender may have unanswered before its schedule waits.
    pub window: u32,
    /// Bytes of text in each message.
    pub payload: usize,
    /// How the messages are sent.
    pub via: Via,
    /// Where to, when they are calls.
    pub calls: Calls,
    /// Time at the start whose messages are counted apart and not timed.
    pub warmup: Duration,
    /// Longest wait for deliveries and answers after the last message was sent.
    pub drain: Duration,
    /// A delivery later than this after the intended send counts as late.
    pub late: Duration,
    /// Whether connections that the server closes break nothing.
    pub allow_disconnects: bool,
    /// Trouble for the receiving clients.
    #[serde(with = "text")]
    pub chaos: Vec<Chaos>,
}

impl Via {
    /// As `--via` names it.
    pub fn word(self) -> &'static str {
        match self {
            Via::Ws => "ws",
            Via::Http => "http",
            Via::Grpc => "grpc",
        }
    }
}

impl Calls {
    /// The ports for gRPC of these servers, believed and shown what the servers are.
    ///
    /// # Errors
    /// [`Failure::Usage`] when an address is none.
    pub fn of(&self, servers: &[Server]) -> Result<Vec<Server>, Failure> {
        let usual = |server: &Server| {
            let authority = server.authority();
            let host = authority.rsplit_once(':').map_or(authority.as_str(), |(host, _)| host);
            server.elsewhere(&format!("{host}:{GRPC_PORT}"))
        };
        let named = self.addresses.iter().zip(servers.iter().cycle());
        let found: Result<Vec<_>, _> = match self.addresses.is_empty() {
            true => servers.iter().map(usual).collect(),
            false => named.map(|(address, server)| server.elsewhere(address)).collect(),
        };
        found.map_err(|error| Failure::Usage(format!("--grpc-server: {error}")))
    }
}

impl Common {
    /// The servers for a reader.
    pub fn servers_text(&self) -> String {
        self.servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    /// The servers, believed as asked and shown the key.
    ///
    /// # Errors
    /// [`Failure::Usage`] naming the file that holds no certificates or no key, or that there is no server.
    pub fn believed(&self) -> Result<Vec<Server>, Failure> {
        if self.servers.is_empty() {
            return Err(Failure::Usage("--server: name at least one".to_owned()));
        }
        if let Some(context) = &self.context {
            let bad = |error: chat_client::Error| Failure::Usage(format!("--context: {error}"));
            return context.server(&|name| std::env::var_os(name)).map(|server| vec![server]).map_err(bad);
        }
        let trust = Trust::asked(self.ca.clone(), self.insecure);
        let servers = self.servers.iter().map(|server| server.clone().trusting(trust.clone()));
        let servers: Result<Vec<_>, _> = servers.collect();
        let servers = servers.map_err(|error| Failure::Usage(format!("--ca: {error}")))?;
        let Some(file) = &self.token_file else { return Ok(servers) };
        let name = file.to_string_lossy();
        let name = secret::file(&name);
        let bad = |why: String| Failure::Usage(format!("--token-file: {name}: {why}"));
        let token = std::fs::read_to_string(file).map_err(|error| bad(error.to_string()))?;
        let shown = servers.into_iter().map(|server| server.showing(token.trim()));
        shown.collect::<Result<_, _>>().map_err(|error| bad(error.to_string()))
    }
}

impl Traffic {
    /// How long is measured.
    pub fn time(&self) -> Duration {
        if let Pace::Stages(stages) = &self.pace { stages.time() } else { self.duration }
    }

    /// Whether senders wait for answers instead of a time.
    pub fn is_closed(&self) -> bool {
        matches!(self.pace, Pace::Closed { .. })
    }

    /// When the messages of a run with this seed are due.
    ///
    /// # Errors
    /// [`Failure::Usage`] when there are too many.
    pub fn timetable(&self, seed: u64) -> Result<Timetable, Failure> {
        let legs = match &self.pace {
            Pace::Closed { think } => return Ok(Timetable::Closed { think: *think }),
            Pace::Rate(rate) => vec![Leg { from: *rate, to: *rate, time: self.warmup + self.duration }],
            Pace::Stages(stages) => {
                let first = stages.0.first().map_or(0.0, |leg| leg.from);
                let warmup = Leg { from: first, to: first, time: self.warmup };
                std::iter::once(warmup).chain(stages.0.iter().copied()).collect()
            }
        };
        Timetable::new(&legs, self.arrival, seed)
            .map_err(|error| Failure::Usage(format!("--stages: {error}")))
    }

    /// All trouble together.
    ///
    /// # Errors
    /// [`Failure::Usage`] when two kinds of it contradict each other.
    pub fn trouble(&self) -> Result<Trouble, Failure> {
        trouble(&self.chaos, self.time())
    }

    /// Checks what no single option can see, for so many receivers.
    ///
    /// # Errors
    /// [`Failure::Usage`] with the option's name.
    pub fn check(&self, receivers: u64) -> Result<(), Failure> {
        let usage = |text: &str| Err(Failure::Usage(text.to_owned()));
        let trouble = self.trouble()?;
        if self.time().is_zero() {
            return usage("--duration: must be above zero");
        }
        if trouble.slow_permille > 0 && receivers * u64::from(trouble.slow_permille) < 1000 {
            return usage("--chaos slow-reader: this share of the clients is not one client");
        }
        if trouble.offline() >= self.drain {
            return usage("--chaos: who is cut at the end must be back before --drain is over");
        }
        Ok(())
    }
}

/// All trouble of a run that takes so long.
///
/// # Errors
/// [`Failure::Usage`] when two kinds of it contradict each other, or one comes too late.
pub fn trouble(chaos: &[Chaos], time: Duration) -> Result<Trouble, Failure> {
    let trouble = Trouble::new(chaos).map_err(|error| Failure::Usage(format!("--chaos: {error}")))?;
    match trouble.cuts {
        Some(Chaos::Avalanche { at: Some(at), .. }) if at >= time => {
            Err(Failure::Usage("--chaos avalanche: comes after --duration".to_owned()))
        }
        _ => Ok(trouble),
    }
}

/// Servers with their secrets: what is written goes to a worker's standard input, and nowhere where it could be seen.
mod servers {
    use chat_client::Server;
    use serde::{Deserializer, Serializer};

    use crate::phases::text;

    pub fn serialize<S: Serializer>(servers: &[Server], output: S) -> Result<S::Ok, S::Error> {
        output.collect_seq(servers.iter().map(Server::with_secrets))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<Server>, D::Error> {
        text::deserialize(input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_go_to_the_usual_port_of_each_server_or_where_they_are_told_to() {
        let servers = ["http://a:8080", "https://[::1]:8081/im"].map(|text| text.parse::<Server>().unwrap());
        let servers = servers.map(|server| server.showing("key").unwrap());
        let of = |addresses: &[&str]| {
            let addresses = addresses.iter().map(|address| (*address).to_owned()).collect();
            Calls { addresses, connections: 1 }.of(&servers)
        };
        let told = |addresses: &[&str]| -> Vec<String> {
            of(addresses).unwrap().iter().map(ToString::to_string).collect()
        };
        assert_eq!(told(&[]), ["http://a:50051", "https://[::1]:50051"]);
        assert_eq!(told(&["b:1", "c:2", "d:3"]), ["http://b:1", "https://c:2", "http://d:3"]);
        assert!(of(&["b:1"]).unwrap().iter().all(|server| server.token() == Some("key")));
        assert!(of(&["b:99999"]).is_err());
    }
}
