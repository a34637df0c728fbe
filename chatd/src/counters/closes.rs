//! How WebSocket connections ended, by close code.
//!
//! Invariant: a client may send any code, and makes no new line of the metrics by it.

use super::Counter;

/// Codes that are told apart: those of RFC 6455 §7.4.1, ours, and 0 for all others.
const CODES: [u16; 20] = [
    0, 1000, 1001, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1011, 1012, 1013, 4000, 4001, 4002, 4003, 4004,
    4500, 4501,
];

/// Ends by code.
#[derive(Debug, Default)]
pub struct Closes([Counter; CODES.len()]);

impl Closes {
    /// Counts the end of a connection.
    pub fn add(&self, code: u16) {
        self.0[place(code)].add(1);
    }

    /// How many ended with this code.
    #[must_use]
    pub fn of(&self, code: u16) -> u64 {
        self.0[place(code)].get()
    }

    /// Each code with how many ended so; 0 stands for all others.
    pub fn iter(&self) -> impl Iterator<Item = (u16, u64)> {
        CODES.into_iter().zip(self.0.iter().map(Counter::get))
    }
}

fn place(code: u16) -> usize {
    CODES.binary_search(&code).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_protocol::code::close;

    #[test]
    fn our_codes_are_told_apart_and_what_clients_make_up_is_not() {
        assert!(CODES.is_sorted());
        let closes = Closes::default();
        for code in [close::GOING_AWAY, close::DRAIN, close::KICKED, close::TOKEN_INVALID] {
            closes.add(code);
            assert_eq!(closes.of(code), 1, "{code}");
        }
        for code in [3000, 4999, u16::MAX] {
            closes.add(code);
        }
        assert_eq!((closes.of(0), closes.iter().map(|(_, count)| count).sum()), (3, 7_u64));
    }
}
