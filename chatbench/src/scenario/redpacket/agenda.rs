//! Which client grabs which packet, and when.
//!
//! Invariant: the agenda of a client is known before the run from options and number alone.

use crate::scenario::redpacket::wanted::Grabbing;

/// The order of all grabs.
#[derive(Debug, Clone, Copy)]
pub enum Agenda {
    /// All clients begin at once; each grabs each packet so often, one grab after the other.
    Burst {
        /// How often.
        grabs: u32,
        /// Whether all begin with the same packet.
        hot: bool,
    },
    /// Grabs at a rate: the clients take turns.
    Open {
        /// Grabs in all.
        total: u64,
        /// Nanoseconds between two of them.
        period_ns: f64,
    },
}

/// One grab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// Number of the packet.
    pub packet: u32,
    /// Nanoseconds after the start when it is due; none: when the one before it is answered.
    pub due_ns: Option<u64>,
}

impl Agenda {
    /// As the options say.
    pub fn new(wanted: &Grabbing) -> Self {
        match wanted.rate {
            None => Agenda::Burst { grabs: wanted.grabs, hot: wanted.hot },
            Some(rate) => Agenda::Open {
                total: (rate * wanted.duration.as_secs_f64() - 1e-6).ceil() as u64,
                period_ns: 1e9 / rate,
            },
        }
    }

    /// Grab number `position` of client `number` of `clients`; none behind the last.
    pub fn item(self, number: u32, clients: u32, packets: u32, position: u32) -> Option<Item> {
        match self {
            Agenda::Burst { grabs, hot } => {
                let round = position / grabs;
                let first = if hot { 0 } else { number % packets };
                (round < packets).then(|| Item { packet: (first + round) % packets, due_ns: None })
            }
            Agenda::Open { total, period_ns } => {
                let index = u64::from(position) * u64::from(clients) + u64::from(number);
                let packet = (u64::from(number) + u64::from(position)) % u64::from(packets);
                // Runs last hours, not centuries: the product stays far below 2^53.
                let due_ns = Some((index as f64 * period_ns) as u64);
                (index < total).then(|| Item { packet: u32::try_from(packet).unwrap_or(0), due_ns })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(agenda: Agenda, number: u32) -> Vec<u32> {
        (0..).map_while(|position| agenda.item(number, 4, 3, position)).map(|item| item.packet).collect()
    }

    #[test]
    fn every_client_grabs_every_packet_so_often() {
        let spread = Agenda::Burst { grabs: 2, hot: false };
        assert_eq!(
            (packets(spread, 0), packets(spread, 2)),
            (vec![0, 0, 1, 1, 2, 2], vec![2, 2, 0, 0, 1, 1])
        );
        let hot = Agenda::Burst { grabs: 1, hot: true };
        assert_eq!((packets(hot, 0), packets(hot, 2)), (vec![0, 1, 2], vec![0, 1, 2]));
    }

    #[test]
    fn at_a_rate_the_clients_take_turns() {
        let open = Agenda::Open { total: 10, period_ns: 5.0 };
        let due = |number, position| open.item(number, 4, 3, position).and_then(|item| item.due_ns);
        assert_eq!([due(0, 0), due(1, 0), due(0, 1), due(1, 2)], [Some(0), Some(5), Some(20), Some(45)]);
        assert_eq!([due(2, 2), due(0, 3)], [None, None]);
        assert_eq!(packets(open, 1), [1, 2, 0]);
    }
}
