//! Events in a fixed piece of memory: the newest ones, as many as fit.
//!
//! Invariant: nothing is allocated once the ring is there; what is put in takes the place of the oldest. An event is whole
//! or gone.

/// Bytes of an event before its texts: its length, then numbers.
const HEAD: usize = 2 + 8 + 1 + 4 + 8 + 3 * 4 + 1;
/// Longest text of an event, in bytes; what is longer is cut.
pub(super) const MAX_TEXT: usize = 255;

/// An event as it is put in.
pub(super) struct Written<'a> {
    pub time: u64,
    pub kind: u8,
    pub app: u32,
    pub number: u64,
    pub counts: [u32; 3],
    /// Pieces of the first text.
    pub subject: &'a [&'a str],
    /// Pieces of the second text.
    pub detail: &'a [&'a str],
}

/// An event as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Read {
    pub time: u64,
    pub kind: u8,
    pub app: u32,
    pub number: u64,
    pub counts: [u32; 3],
    pub subject: String,
    pub detail: String,
}

/// The ring.
#[derive(Debug)]
pub(super) struct Ring {
    bytes: Box<[u8]>,
    /// Where the oldest event begins, and how many bytes all of them have.
    start: usize,
    used: usize,
    /// Whether some have gone.
    is_full: bool,
}

impl Ring {
    /// With room for so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self { bytes: vec![0; bytes].into(), start: 0, used: 0, is_full: false }
    }

    /// Puts an event in.
    pub fn put(&mut self, event: &Written<'_>) {
        let (subject, detail) = (length(event.subject), length(event.detail));
        let length = HEAD + subject + detail;
        if length > self.bytes.len() {
            return;
        }
        while self.bytes.len() - self.used < length {
            self.forget();
        }
        let mut at = self.within(self.start + self.used);
        #[expect(clippy::cast_possible_truncation, reason = "a head and two texts of 255 bytes")]
        let (whole, first) = (length as u16, subject as u8);
        let mut head = [0; HEAD];
        head[..2].copy_from_slice(&whole.to_le_bytes());
        head[2..10].copy_from_slice(&event.time.to_le_bytes());
        head[10] = event.kind;
        head[11..15].copy_from_slice(&event.app.to_le_bytes());
        head[15..23].copy_from_slice(&event.number.to_le_bytes());
        for (place, count) in head[23..35].chunks_exact_mut(4).zip(event.counts) {
            place.copy_from_slice(&count.to_le_bytes());
        }
        head[35] = first;
        self.write(&mut at, &head);
        for (pieces, mut left) in [(event.subject, subject), (event.detail, detail)] {
            for piece in pieces {
                let part = &piece.as_bytes()[..piece.len().min(left)];
                self.write(&mut at, part);
                left -= part.len();
            }
        }
        self.used += length;
    }

    /// All events as they lie, the oldest first.
    pub fn copy(&self) -> Vec<u8> {
        let first = self.used.min(self.bytes.len() - self.start);
        let mut copy = Vec::with_capacity(self.used);
        copy.extend_from_slice(&self.bytes[self.start..self.start + first]);
        copy.extend_from_slice(&self.bytes[..self.used - first]);
        copy
    }

    /// Whether some have gone.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    fn forget(&mut self) {
        self.is_full = true;
        let second = self.within(self.start + 1);
        let length = usize::from(u16::from_le_bytes([self.bytes[self.start], self.bytes[second]]));
        self.start = self.within(self.start + length);
        self.used -= length;
    }

    fn write(&mut self, at: &mut usize, part: &[u8]) {
        let first = part.len().min(self.bytes.len() - *at);
        self.bytes[*at..*at + first].copy_from_slice(&part[..first]);
        if first < part.len() {
            self.bytes[..part.len() - first].copy_from_slice(&part[first..]);
        }
        *at = self.within(*at + part.len());
    }

    /// A place that is behind the end by less than the ring.
    fn within(&self, at: usize) -> usize {
        if at < self.bytes.len() { at } else { at - self.bytes.len() }
    }
}

/// Bytes that a text will have.
fn length(pieces: &[&str]) -> usize {
    pieces.iter().map(|piece| piece.len()).sum::<usize>().min(MAX_TEXT)
}

/// The events in a copy.
pub(super) fn read(copy: &[u8]) -> impl Iterator<Item = Read> {
    let mut rest = copy;
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_le_bytes(*rest.first_chunk()?));
        let (event, others) = rest.split_at_checked(length)?;
        rest = others;
        one(event.get(2..)?)
    })
}

fn one(mut bytes: &[u8]) -> Option<Read> {
    fn number<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
        let (number, rest) = bytes.split_first_chunk()?;
        *bytes = rest;
        Some(*number)
    }
    let time = u64::from_le_bytes(number(&mut bytes)?);
    let [kind] = number(&mut bytes)?;
    let app = u32::from_le_bytes(number(&mut bytes)?);
    let of = u64::from_le_bytes(number(&mut bytes)?);
    let mut counts = [0; 3];
    for count in &mut counts {
        *count = u32::from_le_bytes(number(&mut bytes)?);
    }
    let [first] = number(&mut bytes)?;
    let (subject, detail) = bytes.split_at_checked(first.into())?;
    // A cut may fall within a letter.
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\u{fffd}').to_owned();
    Some(Read { time, kind, app, number: of, counts, subject: text(subject), detail: text(detail) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event<'a>(number: u64, subject: &'a [&'a str], detail: &'a [&'a str]) -> Written<'a> {
        Written { time: number + 7, kind: 3, app: 9, number, counts: [1, 2, 3], subject, detail }
    }

    #[test]
    fn the_newest_stay_whole_and_in_order_however_many_come() {
        let mut ring = Ring::new(10_000);
        let long = "帝".repeat(100);
        for number in 0..100_000 {
            let text = &long[..3 * (number as usize % 90)];
            ring.put(&event(number, &["a", text], &[text]));
        }
        assert_eq!(ring.bytes.len(), 10_000);
        let kept: Vec<_> = read(&ring.copy()).collect();
        let first = 100_000 - kept.len() as u64;
        assert!(kept.len() > 15 && ring.used > 9_000, "{} events", kept.len());
        for (event, number) in kept.iter().zip(first..) {
            let text = &long[..3 * (number as usize % 90)];
            assert_eq!((event.number, event.time), (number, number + 7));
            assert_eq!((event.kind, event.app, event.counts), (3, 9, [1, 2, 3]));
            assert_eq!(event.subject, format!("a{}", &text[..text.len().min(252)]));
            assert_eq!(event.detail, text[..text.len().min(255)]);
        }
    }

    #[test]
    fn what_can_never_fit_is_left_out() {
        let mut ring = Ring::new(HEAD + 3);
        ring.put(&event(1, &["four"], &[]));
        assert_eq!(read(&ring.copy()).count(), 0);
        ring.put(&event(2, &["abc"], &[]));
        ring.put(&event(3, &[], &["xyz"]));
        assert_eq!(read(&ring.copy()).map(|event| event.number).collect::<Vec<_>>(), [3]);
    }
}
