//! The command line.
//!
//! Invariant: every value here is in its bounds; what depends on two options is checked in `check`.

mod churn;
mod examples;
pub mod gate;
mod idle;
mod named;
mod plain;
pub mod redpacket;
pub mod report;
mod traffic;
mod words;

use std::path::PathBuf;
use std::time::Duration;

use chat_protocol::Span;
use clap::{Args as ClapArgs, Parser, Subcommand};

use crate::failure::Failure;
use crate::net::sources::Sources;
use crate::phases::identity::MAX_SEED;
use crate::watch::Address;
use crate::watch::limits::MOST_WORKERS;
use crate::watch::servers::Resources;
use chatbench_result::output::format::Format;
use chatbench_result::threshold::Threshold;
use chatbench_result::units;
pub use churn::ChurnArgs;
use gate::{AbArgs, CapacityArgs, CompareArgs, GateArgs};
pub use idle::IdleArgs;
pub use named::Named;
use redpacket::RedPacketArgs;
use report::ReportArgs;
pub use traffic::TrafficArgs;
use traffic::payload_bytes;

/// Puts load on a chatd, measures it, and counts every message.
#[derive(Debug, Parser)]
#[command(name = "chatbench", version, after_help = examples::text())]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// A run, or several of the same.
    #[command(flatten)]
    Scenario(Box<Scenario>),
    /// Compares the rounds of two sides: better, worse, unchanged, or not to be told
    Compare(CompareArgs),
    /// Shows results as CSV, HDR logs, JUnit XML, Markdown or HTML with charts
    Report(ReportArgs),
    /// Measures two servers in turns and compares them
    Ab(AbArgs),
    /// Finds the highest rate or number of clients that meets the thresholds
    Capacity(CapacityArgs),
}

/// One scenario with its options.
#[derive(Debug, Clone, Subcommand)]
pub enum Scenario {
    /// Connects and logs in, measures both, closes in order
    Connect(ConnectArgs),
    /// Holds connections without traffic: memory, CPU, unexpected closes
    Idle(IdleArgs),
    /// Sends world messages to every client of one app
    Broadcast(TrafficArgs),
    /// Sends one-to-one messages between pairs of clients
    Unicast(TrafficArgs),
    /// Sends messages to groups whose members are online
    Group(GroupArgs),
    /// World, groups and pairs at once: half of the clients and 10 % of the rate in the world, a quarter and 30 % in
    /// groups, a quarter and 60 % in pairs
    Mixed(MixedArgs),
    /// As broadcast, while clients leave and come back all the time
    Churn(ChurnArgs),
    /// As broadcast, for hours: tells whether memory, open files or response times grow
    Soak(TrafficArgs),
    /// Pages through a conversation in both directions while it is written to
    History(HistoryArgs),
    /// Grabs red packets all at once, and compares every client's books with the server's to the cent
    Redpacket(RedPacketArgs),
}

/// Options of every scenario.
#[derive(Debug, Clone, ClapArgs)]
pub struct CommonArgs {
    /// Addresses of chatd; clients are spread over several, and go on to the next one when they reconnect
    #[arg(
        long,
        env = "CHATBENCH_SERVER",
        hide_env_values = true,
        value_name = "URL[,URL…]",
        default_value = "http://127.0.0.1:8080",
        value_delimiter = ','
    )]
    pub server: Vec<chat_client::Server>,
    /// Certificates (PEM) to believe at https instead of those this host knows
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Believe any certificate at https
    #[arg(long, conflicts_with = "ca")]
    pub insecure: bool,
    /// File with an operator's key, which logs in as every client: it needs read and send, for red packets money
    #[arg(long, env = "CHATBENCH_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// A context of chatctl in place of --server, --ca, --insecure and --token-file, and of --app unless that is given
    #[arg(long, value_name = "NAME", value_parser = Named::find,
          conflicts_with_all = ["server", "ca", "insecure", "token_file"])]
    pub context: Option<Named>,
    /// App to use; by default a random one, so that runs do not disturb each other
    #[arg(long)]
    pub app: Option<u32>,
    /// Clients that receive, 100 by default; group: --groups times --members
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub clients: Option<u32>,
    /// Processes the clients are divided among; by default as many as the limit on open files asks for; history and
    /// redpacket run in one
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_WORKERS)))]
    pub workers: Option<u32>,
    /// Run the same against a relay that only writes, half before and half after, and tell how far the server is from it
    #[arg(long)]
    pub floor: bool,
    /// Addresses to connect from, such as 127.0.0.2-127.0.0.9; by default further loopback addresses where one has too
    /// few ports
    #[arg(long, value_name = "FROM-TO[,…]")]
    pub source_ips: Option<Sources>,
    /// New connections per second, such as 500/s; by default as fast as possible
    #[arg(long, value_parser = units::rate)]
    pub connect_rate: Option<f64>,
    /// How often each connection says that it lives
    #[arg(long, default_value = "60s", value_parser = Span::duration)]
    pub heartbeat: Duration,
    /// Process id of a chatd on this host whose CPU and memory to report (repeatable); by default those that listen on
    /// the loopback addresses of --server
    #[arg(long, visible_alias = "server-pid")]
    pub pid: Vec<i32>,
    /// Where the CPU and memory of the servers are read
    #[arg(long, value_enum, default_value = "auto")]
    pub resources: Resources,
    /// Redis to watch: its commands, memory and CPU go into the time series
    #[arg(long, value_name = "redis://HOST:PORT")]
    pub redis: Option<Address>,
    /// Condition that must hold at the end, such as 'e2e_time:p(99)<50ms' (repeatable)
    #[arg(long = "threshold")]
    pub thresholds: Vec<Threshold>,
    /// Write the result to this file: .json, .csv, .hgrm, .hlog, .junit.xml, .md or .html (repeatable); see chatbench
    /// report --help
    #[arg(long, value_name = "FILE")]
    pub out: Vec<PathBuf>,
    /// Seed of the message texts and of --chaos, below 2^53, so that every reader of JSON keeps it; by default a random
    /// one
    #[arg(long, value_parser = clap::value_parser!(u64).range(..=MAX_SEED))]
    pub seed: Option<u64>,
    /// Print the verdict only, and no progress
    #[arg(short, long)]
    pub quiet: bool,
    /// No progress on the terminal
    #[arg(long)]
    pub no_progress: bool,
    /// Of runs that are repeated or compared.
    #[command(flatten)]
    pub gate: GateArgs,
}

/// Options of `connect`.
#[derive(Debug, Clone, ClapArgs)]
pub struct ConnectArgs {
    /// The common ones.
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Options of `group`.
#[derive(Debug, Clone, ClapArgs)]
pub struct GroupArgs {
    /// Groups to create
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub groups: u32,
    /// Members of each group who are online and receive, beside its senders
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub members: u32,
    /// Those of all scenarios that send.
    #[command(flatten)]
    pub traffic: TrafficArgs,
}

/// Options of `mixed`.
#[derive(Debug, Clone, ClapArgs)]
pub struct MixedArgs {
    /// Members of each group
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub members: u32,
    /// Those of all scenarios that send.
    #[command(flatten)]
    pub traffic: TrafficArgs,
}

/// Options of `history`.
#[derive(Debug, Clone, ClapArgs)]
pub struct HistoryArgs {
    /// The common ones; --clients is how many read.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Messages in the conversation before the reading begins
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub messages: u32,
    /// Messages per second written meanwhile
    #[arg(long, default_value = "50/s", value_parser = units::rate)]
    pub rate: f64,
    /// Messages in a page
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub page: u32,
    /// Bytes of text in each message
    #[arg(long, default_value_t = 200, value_parser = payload_bytes)]
    pub payload: usize,
    /// How long to read; a walk that has begun is finished
    #[arg(long, default_value = "10s", value_parser = Span::duration)]
    pub duration: Duration,
}

/// Refuses names of files whose format is not known.
///
/// # Errors
/// [`Failure::Usage`] with the known endings.
pub fn check_names(paths: &[PathBuf]) -> Result<(), Failure> {
    let unknown = paths.iter().find_map(|path| Format::of(path).err());
    unknown.map_or(Ok(()), |unknown| Err(Failure::Usage(format!("--out: {unknown}"))))
}

impl CommonArgs {
    /// Clients that receive.
    pub fn clients(&self) -> u32 {
        self.clients.unwrap_or(100)
    }
}

impl Scenario {
    /// The options every scenario has.
    pub fn common(&self) -> &CommonArgs {
        match self {
            Scenario::Connect(args) => &args.common,
            Scenario::Idle(args) => &args.common,
            Scenario::Broadcast(args) | Scenario::Unicast(args) | Scenario::Soak(args) => &args.common,
            Scenario::Churn(ChurnArgs { traffic, .. }) | Scenario::Mixed(MixedArgs { traffic, .. }) => {
                &traffic.common
            }
            Scenario::Group(args) => &args.traffic.common,
            Scenario::History(args) => &args.common,
            Scenario::Redpacket(args) => &args.common,
        }
    }

    /// As [`Scenario::common`], to change them.
    pub fn common_mut(&mut self) -> &mut CommonArgs {
        match self {
            Scenario::Connect(args) => &mut args.common,
            Scenario::Idle(args) => &mut args.common,
            Scenario::Broadcast(args) | Scenario::Unicast(args) | Scenario::Soak(args) => &mut args.common,
            Scenario::Churn(ChurnArgs { traffic, .. }) | Scenario::Mixed(MixedArgs { traffic, .. }) => {
                &mut traffic.common
            }
            Scenario::Group(args) => &mut args.traffic.common,
            Scenario::History(args) => &mut args.common,
            Scenario::Redpacket(args) => &mut args.common,
        }
    }

    /// Whether it cannot be divided among processes.
    pub fn is_single(&self) -> bool {
        matches!(self, Scenario::History(_) | Scenario::Redpacket(_))
    }

    /// Checks what no single option can see.
    ///
    /// # Errors
    /// [`Failure::Usage`] with the option's name.
    pub fn check(&self) -> Result<(), Failure> {
        let usage = |text: &str| Err(Failure::Usage(text.to_owned()));
        if self.common().heartbeat < Duration::from_millis(100) {
            return usage("--heartbeat: must be at least 100ms");
        }
        if self.common().resources == Resources::Metrics && !self.common().pid.is_empty() {
            return usage("--pid: with --resources metrics no process is looked at; leave one of them out");
        }
        check_names(&self.common().out)?;
        self.check_via()?;
        if self.is_single() && self.common().workers > Some(1) {
            return usage(&format!(
                "--workers: {} runs in one process; leave the option out",
                self.plain().name()
            ));
        }
        match self {
            Scenario::Unicast(args)
                if args.senders.is_some_and(|senders| senders != args.common.clients()) =>
            {
                usage("--senders: unicast has one sender for each of --clients; leave the option out")
            }
            Scenario::Mixed(args) if args.traffic.stages.is_some() || args.traffic.senders.is_some() => {
                usage("--stages, --senders: mixed divides --clients and --rate itself; leave them out")
            }
            Scenario::Mixed(args) => args.traffic.plain().check(u64::from(args.traffic.common.clients()) / 2),
            Scenario::Churn(args) if args.away >= args.traffic.drain => {
                usage("--away: who left at the end must be back before --drain is over")
            }
            Scenario::Churn(args) => {
                args.plain().trouble()?;
                args.traffic.plain().check(u64::from(args.traffic.common.clients()))
            }
            Scenario::Idle(args) => args.plain().trouble().map(drop),
            Scenario::Broadcast(args) | Scenario::Unicast(args) | Scenario::Soak(args) => {
                args.plain().check(u64::from(args.common.clients()))
            }
            Scenario::Group(args) if args.traffic.common.clients.is_some() => {
                usage("--clients: a group run has --groups times --members clients; leave the option out")
            }
            Scenario::Group(args) => {
                let receivers = u64::from(args.groups) * u64::from(args.members);
                let users = u64::from(args.groups) * u64::from(args.traffic.senders.unwrap_or(1)) + receivers;
                if users > 1_000_000 {
                    return usage("--groups: more than 1000000 users; lower it, or --members, or --senders");
                }
                args.traffic.plain().check(receivers)
            }
            Scenario::Redpacket(args) => args.plain().check(),
            Scenario::History(args) if args.duration.is_zero() => usage("--duration: must be above zero"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn impossible_combinations_are_refused() {
        for line in [
            "chatbench unicast --clients 10 --senders 3",
            "chatbench group --via grpc",
            "chatbench unicast --grpc-connections 2",
            "chatbench unicast --via grpc --server http://a:1,http://b:1 --grpc-server a:2",
            "chatbench unicast --via grpc --server http://a:1 --grpc-server a:2,b:2",
            "chatbench idle --heartbeat 1ms",
            "chatbench idle --pid 1 --resources metrics",
            "chatbench broadcast --out result.xlsx",
            "chatbench broadcast --duration 0s",
            "chatbench broadcast --chaos jitter --chaos avalanche",
            "chatbench broadcast --clients 5 --chaos slow-reader=10%",
            "chatbench broadcast --chaos jitter:1,20",
            "chatbench broadcast --chaos avalanche:10,1",
            "chatbench idle --chaos slow-reader",
            "chatbench idle --chaos avalanche:20",
            "chatbench churn --chaos jitter",
            "chatbench churn --chaos slow-reader --chaos churn:5",
            "chatbench history --workers 2",
            "chatbench redpacket --workers 2",
            "chatbench group --clients 5",
            "chatbench redpacket --count 10 --total 9",
            "chatbench redpacket --total 20000001",
            "chatbench redpacket --packets 100000 --total 20000000",
            "chatbench redpacket --via http --reconnect-during",
            "chatbench redpacket --rate 5 --duration 0s",
        ] {
            let args = Args::try_parse_from(line.split(' ')).unwrap();
            let Command::Scenario(scenario) = args.command else { panic!("{line}") };
            assert_eq!(scenario.check().unwrap_err().exit_code(), 2, "{line}");
        }
        for line in [
            "chatbench broadcast --rate 5 --closed",
            "chatbench broadcast --payload 3",
            "chatbench redpacket --rate 5 --hot",
            "chatbench connect --chaos jitter",
            "chatbench history --chaos jitter",
            "chatbench redpacket --chaos jitter",
        ] {
            assert!(Args::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
