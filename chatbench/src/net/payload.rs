//! The text of a load message: who sent it, its number, when it was due, how late it went out, then filler up to the wanted size.
//!
//! Invariant: a text that reads back as ours is whole, byte for byte.

use std::fmt::Write;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Smallest size: the longest head fits.
pub const MIN_BYTES: usize = 80;
/// Largest size: what chatd takes as one message.
pub const MAX_BYTES: usize = chat_protocol::content::MAX_CONTENT_BYTES;

const MARK: &str = "cb1 ";

/// What the head of a text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Which sender, from 0.
    pub sender: u32,
    /// Which of its messages, from 0.
    pub sequence: u32,
    /// When it was due, in nanoseconds of [`crate::clock`].
    pub intended_ns: u64,
    /// How much later it was handed to the connection, in microseconds.
    pub lag_us: u32,
}

/// What a text turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// A message of this run, whole.
    Ours(Stamp),
    /// The mark of this run with something else than what was sent.
    Corrupt,
    /// Not of this run.
    Foreign,
}

/// Writes and reads the texts of one run.
#[derive(Debug)]
pub struct Payload {
    mark: String,
    filler: String,
    bytes: usize,
}

impl Payload {
    /// Texts of `bytes` bytes for the run named `run`, their filler made from `seed`.
    pub fn new(run: &str, bytes: usize, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let filler = (0..bytes).map(|_| char::from(random.random_range(b'a'..=b'z'))).collect();
        Self { mark: format!("{MARK}{run} "), filler, bytes }
    }

    /// Size of every text, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends the text of a message.
    pub fn write(&self, stamp: &Stamp, into: &mut String) {
        let start = into.len();
        into.push_str(&self.mark);
        // Writing to a string cannot fail.
        let _ = write!(into, "{} {} ", stamp.sender, stamp.sequence);
        let _ = write!(into, "{} {} ", stamp.intended_ns, stamp.lag_us);
        let head = into.len() - start;
        into.push_str(&self.filler[..self.bytes.saturating_sub(head)]);
    }

    /// Reads a text.
    pub fn read(&self, text: &[u8]) -> Reading {
        let Some(rest) = text.strip_prefix(self.mark.as_bytes()) else {
            return Reading::Foreign;
        };
        self.read_rest(text.len(), rest).map_or(Reading::Corrupt, Reading::Ours)
    }

    fn read_rest(&self, whole: usize, rest: &[u8]) -> Option<Stamp> {
        let (sender, rest) = number(rest)?;
        let (sequence, rest) = number(rest)?;
        let (intended_ns, rest) = number(rest)?;
        let (lag_us, rest) = number(rest)?;
        let stamp = Stamp {
            sender: sender.try_into().ok()?,
            sequence: sequence.try_into().ok()?,
            intended_ns,
            lag_us: lag_us.try_into().ok()?,
        };
        let complete = whole == self.bytes && rest == &self.filler.as_bytes()[..rest.len()];
        complete.then_some(stamp)
    }
}

/// The number before the next space, and what follows the space.
fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let end = text.iter().take(21).position(|&byte| byte == b' ')?;
    let digits = &text[..end];
    if digits.is_empty() {
        return None;
    }
    let mut value = 0_u64;
    for digit in digits {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        value = value.checked_mul(10)?.checked_add(digit)?;
    }
    Some((value, &text[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_reads_back() {
        for bytes in [MIN_BYTES, 81, 200, MAX_BYTES] {
            let payload = Payload::new("00112233445566ff", bytes, 7);
            for stamp in [
                Stamp { sender: 0, sequence: 0, intended_ns: 0, lag_us: 0 },
                Stamp { sender: u32::MAX, sequence: u32::MAX, intended_ns: u64::MAX, lag_us: u32::MAX },
            ] {
                let mut text = String::new();
                payload.write(&stamp, &mut text);
                assert_eq!(text.len(), bytes);
                assert_eq!(payload.read(text.as_bytes()), Reading::Ours(stamp));
            }
        }
    }

    #[test]
    fn a_changed_text_is_corrupt_and_another_run_is_foreign() {
        let payload = Payload::new("00112233445566ff", 100, 7);
        let mut text = String::new();
        payload.write(&Stamp { sender: 3, sequence: 4, intended_ns: 5, lag_us: 6 }, &mut text);
        let shorter = &text[..text.len() - 1];
        let swapped = format!("{shorter}!");
        assert_eq!(payload.read(shorter.as_bytes()), Reading::Corrupt);
        assert_eq!(payload.read(swapped.as_bytes()), Reading::Corrupt);
        assert_eq!(payload.read(text.replace(" 4 ", " x ").as_bytes()), Reading::Corrupt);
        assert_eq!(payload.read(text.replace("00112233", "99112233").as_bytes()), Reading::Foreign);
        assert_eq!(payload.read(b"hello"), Reading::Foreign);
    }
}
