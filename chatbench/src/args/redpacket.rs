//! The options of `redpacket`.

use std::time::Duration;

use chat_protocol::Span;
use chat_protocol::red_packet::{MAX_COUNT, MAX_TOTAL, Mode};
use chat_protocol::wallet::MAX_DEPOSIT;
use clap::{Args as ClapArgs, ValueEnum};

use crate::args::{CommonArgs, Via};
use crate::failure::Failure;
use chatbench_result::units;

/// How the shares of the packets are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shares {
    /// By chance
    Lucky,
    /// All the same
    Equal,
    /// Every other packet lucky, the others equal
    Mixed,
}

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
    #[arg(long, value_enum, default_value_t = Via::Ws)]
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

impl RedPacketArgs {
    /// Cents in each packet.
    pub fn total(&self) -> u64 {
        self.total.unwrap_or(u64::from(self.count) * 100)
    }

    /// How packet number `packet` is shared out.
    pub fn mode(&self, packet: u32) -> Mode {
        match self.mode {
            Shares::Lucky => Mode::Lucky,
            Shares::Equal => Mode::Equal,
            Shares::Mixed if packet.is_multiple_of(2) => Mode::Lucky,
            Shares::Mixed => Mode::Equal,
        }
    }

    /// Checks what no single option can see.
    ///
    /// # Errors
    /// [`Failure::Usage`] with the option's name.
    pub fn check(&self) -> Result<(), Failure> {
        let usage = |text: String| Err(Failure::Usage(text));
        let (total, packets) = (self.total(), u64::from(self.packets));
        if total < u64::from(self.count) {
            return usage(format!("--total: {} shares need at least {} cents", self.count, self.count));
        }
        if total > MAX_TOTAL {
            return usage(format!("--total: a packet holds at most {MAX_TOTAL} cents"));
        }
        if total * (packets + 1) > MAX_DEPOSIT {
            return usage(format!("--packets: more than {MAX_DEPOSIT} cents in all"));
        }
        if self.reconnect_during && self.via == Via::Http {
            return usage("--reconnect-during: clients have no connection with --via http".to_owned());
        }
        if self.duration.is_zero() {
            return usage("--duration: must be above zero".to_owned());
        }
        Ok(())
    }
}
