//! What a run with red packets is asked for.
//!
//! Invariant: what follows from several of its numbers is worked out here and nowhere else.

use std::time::Duration;

use chat_protocol::red_packet::{MAX_TOTAL, Mode};
use chat_protocol::wallet::MAX_DEPOSIT;
use serde::Serialize;

use crate::failure::Failure;
use crate::phases::spec::{Common, Via};

/// How the shares of the packets are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Shares {
    /// By chance.
    Lucky,
    /// All the same.
    Equal,
    /// Every other packet lucky, the others equal.
    Mixed,
}

/// Who grabs how much how often.
#[derive(Debug, Clone, Serialize)]
pub struct Grabbing {
    /// What every run is asked for; the clients grab.
    pub common: Common,
    /// Packets to create.
    pub packets: u32,
    /// Shares of each packet.
    pub count: u32,
    /// Cents in each packet.
    pub total: u64,
    /// How the shares are made.
    pub shares: Shares,
    /// Users who give the packets in turn, beside the clients.
    pub senders: u32,
    /// How often each client grabs each packet.
    pub grabs: u32,
    /// Whether everybody grabs the packets in the same order.
    pub hot: bool,
    /// How grabs are sent.
    pub via: Via,
    /// Whether each client is cut once between a grab and its answer.
    pub reconnect_during: bool,
    /// Grabs per second of all clients together; none for all at once.
    pub rate: Option<f64>,
    /// How long grabs are sent at a rate.
    pub duration: Duration,
    /// Longest wait until what nobody took is back with the senders; none for no wait.
    pub await_refund: Option<Duration>,
    /// Longest wait until the ledger has settled everything.
    pub drain: Duration,
}

impl Grabbing {
    /// How packet number `packet` is shared out.
    pub fn mode(&self, packet: u32) -> Mode {
        match self.shares {
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
        let (total, packets) = (self.total, u64::from(self.packets));
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
