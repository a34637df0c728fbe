//! The options of the scenarios that send messages.
//!
//! Invariant: what follows from several of them is worked out in [`crate::phases::spec`] and nowhere else.

use std::time::Duration;

use chat_protocol::Span;
use clap::Args as ClapArgs;

use crate::cli::args::{ChurnArgs, CommonArgs, GroupArgs, MixedArgs, Scenario};
use crate::failure::Failure;
use crate::ledger::plan::timetable::{Arrival, Stages};
use crate::ledger::plan::trouble::Chaos;
use crate::net::payload;
use crate::phases::spec::{Calls, GRPC_PORT, Via};
use chatbench_result::units;

/// Connections to each server, unless another number is given.
const GRPC_CONNECTIONS: u32 = 4;

/// What `--help` says of `--chaos`. No documentation comment, which would take the brackets for links.
const CHAOS: &str = "Trouble for the receiving clients (repeatable): jitter[:MEAN_S,OFFLINE_S] cuts each at \
                     random (15,2), avalanche[:AT_S,OFFLINE_S] cuts all at once, churn:RATE[,OFFLINE_S] lets them \
                     leave in turn, slow-reader=10% makes some stop reading, reconnect cuts nobody; with any of \
                     them clients come back and recover";

/// Options of the scenarios that send messages.
#[derive(Debug, Clone, ClapArgs)]
pub struct TrafficArgs {
    /// The common ones.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Senders, beside the clients. broadcast: 1 by default; group: 1 in each by default; unicast: one per client
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub senders: Option<u32>,
    /// Messages per second of all senders together, sent on time whatever the answers do
    #[arg(long, default_value = "100/s", value_parser = units::rate, conflicts_with = "closed")]
    pub rate: f64,
    /// Rates one after the other instead of --rate and --duration, such as 0..500@30s,500@2m: from none to 500/s in
    /// 30 s, then 500/s for 2 min; the warm-up runs at the first rate
    #[arg(long, value_name = "FROM..TO@TIME,…", conflicts_with_all = ["rate", "duration", "closed"])]
    pub stages: Option<Stages>,
    /// How messages are spread at a rate
    #[arg(long, value_enum, default_value_t = Arrival::Constant, conflicts_with = "closed")]
    pub arrival: Arrival,
    /// Each sender sends its next message when the last one is answered, instead of at a rate
    #[arg(long)]
    pub closed: bool,
    /// Pause of a sender between an answer and its next message
    #[arg(long, default_value = "0s", value_parser = Span::duration, requires = "closed")]
    pub think_time: Duration,
    /// Messages a sender may have unanswered before its schedule, or with --closed its next message, waits; with
    /// --via http and grpc at most 64 [default: 1024, with --closed 1]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub window: Option<u32>,
    /// Bytes of text in each message
    #[arg(long, default_value_t = 200, value_parser = payload_bytes)]
    pub payload: usize,
    /// How the messages are sent
    #[arg(long, value_enum, default_value_t = Via::Ws)]
    pub via: Via,
    /// Where chatd takes gRPC (its --grpc-listen), one for each --server; over TLS where that is https [default: port
    /// 50051 of each --server]
    #[arg(long, value_name = "HOST:PORT[,…]", value_delimiter = ',', value_parser = host_and_port)]
    pub grpc_server: Vec<String>,
    /// Connections of each process to each --grpc-server, tried before the first client logs in, those of worker processes
    /// made with their first message; a node takes 100 calls at a time on each [default: 4]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub grpc_connections: Option<u32>,
    /// Time at the start whose messages are counted apart and not timed
    #[arg(long, default_value = "2s", value_parser = Span::duration)]
    pub warmup: Duration,
    /// Time that is measured, after the warm-up
    #[arg(long, default_value = "10s", value_parser = Span::duration)]
    pub duration: Duration,
    /// Longest wait for deliveries and answers after the last message was sent
    #[arg(long, default_value = "10s", value_parser = Span::duration)]
    pub drain: Duration,
    /// A delivery later than this after the intended send counts as late
    #[arg(long, default_value = "1s", value_parser = Span::duration)]
    pub late: Duration,
    /// Do not fail when the server closes connections
    #[arg(long)]
    pub allow_disconnects: bool,
    /// Trouble for the receiving clients.
    #[arg(long, value_name = "KIND", help = CHAOS)]
    pub chaos: Vec<Chaos>,
}

impl TrafficArgs {
    /// Where calls of gRPC go.
    pub fn calls(&self) -> Calls {
        let connections = self.grpc_connections.unwrap_or(GRPC_CONNECTIONS);
        Calls { addresses: self.grpc_server.clone(), connections }
    }
}

impl Scenario {
    /// Checks that messages can go the way that is asked for.
    ///
    /// # Errors
    /// [`Failure::Usage`] with the option's name.
    pub(super) fn check_via(&self) -> Result<(), Failure> {
        let (args, has_groups) = match self {
            Scenario::Broadcast(args) | Scenario::Unicast(args) | Scenario::Soak(args) => (args, false),
            Scenario::Churn(ChurnArgs { traffic, .. }) => (traffic, false),
            Scenario::Group(GroupArgs { traffic, .. }) | Scenario::Mixed(MixedArgs { traffic, .. }) => {
                (traffic, true)
            }
            _ => return Ok(()),
        };
        let is_grpc = args.via == Via::Grpc;
        let (named, servers) = (args.grpc_server.len(), args.plain().common.servers.len());
        let why = match (is_grpc, has_groups) {
            (true, true) => "--via grpc: no call of gRPC sends to a group; use ws or http".to_owned(),
            (false, _) if named > 0 || args.grpc_connections.is_some() => {
                "--grpc-server, --grpc-connections: for --via grpc; leave them out".to_owned()
            }
            (true, false) if named > 0 && named != servers => format!(
                "--grpc-server: {named} for {servers} of --server; name one for each, in the same order, or leave it out"
            ),
            _ => return Ok(()),
        };
        Err(Failure::Usage(why))
    }
}

/// Reads an address without a scheme, which is that of the server.
fn host_and_port(text: &str) -> Result<String, String> {
    let is_one = |(host, port): (&str, &str)| !host.is_empty() && port.parse::<u16>().is_ok();
    match text.rsplit_once(':').is_some_and(is_one) && !text.contains('/') {
        true => Ok(text.to_owned()),
        false => Err(format!("{text:?} is no address; write for example 127.0.0.1:{GRPC_PORT}")),
    }
}

/// Reads the size of a text.
///
/// # Errors
/// A sentence with the bounds.
pub fn payload_bytes(text: &str) -> Result<usize, String> {
    let bytes: usize = text.parse().map_err(|_| format!("{text:?} is no number of bytes"))?;
    if (payload::MIN_BYTES..=payload::MAX_BYTES).contains(&bytes) {
        return Ok(bytes);
    }
    Err(format!(
        "must be {} to {} bytes: the head alone takes {}",
        payload::MIN_BYTES,
        payload::MAX_BYTES,
        payload::MIN_BYTES
    ))
}

#[cfg(test)]
mod tests {
    use chatbench_result::threshold::Threshold;

    use super::*;

    /// Thresholds are read in a crate that knows no [`Span`].
    #[test]
    fn flags_and_thresholds_read_times_alike() {
        let good = ["250us", "500ms", "1.5s", "0.25ms", "2m", "1h"];
        let bad = [".5s", "1.s", "+5s", "1e3s", "5S", "5sec", "1d", "-1s", "NaNs", "infs"];
        for (text, is_good) in good.map(|text| (text, true)).into_iter().chain(bad.map(|text| (text, false)))
        {
            let threshold = format!("e2e_time:p(99)<{text}").parse::<Threshold>();
            assert_eq!((Span::duration(text).is_ok(), threshold.is_ok()), (is_good, is_good), "{text}");
        }
    }
}
