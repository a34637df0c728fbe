//! The options of `redpacket`.

use std::time::Duration;

use chat_protocol::Span;
use chat_protocol::red_packet::MAX_COUNT;
use clap::Args as ClapArgs;

use crate::cli::args::CommonArgs;
use crate::cli::args::words::via_of_grabs;
use crate::phases::spec::Via;
use crate::scenario::redpacket::wanted::Shares;
use chatbench_result::units;

/// Options of `redpacket`.
#[derive(Debug, Clone, ClapArgs)]
pub struct RedPacketArgs {
    /// The common ones; --clients is how many grab.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Packets to create
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub packets: u32,
    /// Shares of each packet
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_COUNT)))]
    pub count: u32,
    /// Cents in each packet; by default 100 a share
    #[arg(long, value_name = "CENTS")]
    pub total: Option<u64>,
    /// How the shares are made
    #[arg(long, value_enum, default_value_t = Shares::Mixed)]
    pub mode: Shares,
    /// Users who give the packets in turn, beside the clients
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub senders: u32,
    /// How often each client grabs each packet; from the second time on it must hear the same again
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1000), conflicts_with = "rate")]
    pub grabs: u32,
    /// Everybody grabs the packets in the same order, all the same packet first; otherwise each begins with another
    #[arg(long, conflicts_with = "rate")]
    pub hot: bool,
    /// How grabs are sent
    #[arg(long, value_parser = via_of_grabs(), default_value = "ws")]
    pub via: Via,
    /// Cut each client once between a grab and its answer; it repeats the grab at the next server
    #[arg(long, conflicts_with = "rate")]
    pub reconnect_during: bool,
    /// Grabs per second of all clients together, sent on time whatever the answers do, instead of all at once
    #[arg(long, value_parser = units::rate)]
    pub rate: Option<f64>,
    /// How long grabs are sent at --rate
    #[arg(long, default_value = "10s", value_parser = Span::duration, requires = "rate")]
    pub duration: Duration,
    /// Wait until what nobody took is back with the senders, at most so long; the server must be set to such an expiry
    #[arg(long, value_name = "DURATION", value_parser = Span::duration)]
    pub await_refund: Option<Duration>,
    /// Longest wait until the ledger has settled everything
    #[arg(long, default_value = "30s", value_parser = Span::duration)]
    pub drain: Duration,
}
