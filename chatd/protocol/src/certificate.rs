//! When a certificate ends, read out of its DER.
//!
//! Invariant: what cannot be read is none, never a wrong time; nobody is let in or kept out by it.

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
/// `[0]`, the version of a certificate; the first one has none.
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The last second in which a certificate counts, in Unix time (RFC 5280 §4.1.2.5).
#[must_use]
pub fn not_after(certificate: &[u8]) -> Option<i64> {
    let (certificate, _) = inside(certificate, SEQUENCE)?;
    let (mut fields, _) = inside(certificate, SEQUENCE)?;
    if let Some((_, rest)) = inside(fields, VERSION) {
        fields = rest;
    }
    let (_, fields) = inside(fields, INTEGER)?;
    // The algorithm of the signature, and who vouches.
    let (_, fields) = inside(fields, SEQUENCE)?;
    let (_, fields) = inside(fields, SEQUENCE)?;
    let (validity, _) = inside(fields, SEQUENCE)?;
    let (_, _, last) = element(validity)?;
    let (tag, digits, _) = element(last)?;
    seconds(tag, str::from_utf8(digits).ok()?.strip_suffix('Z')?)
}

/// What stands in an element of this kind, and what stands behind it.
fn inside(bytes: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    element(bytes).filter(|(tag, ..)| *tag == wanted).map(|(_, content, rest)| (content, rest))
}

/// The first element: its kind, what stands in it, and what stands behind it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, short], rest) = bytes.split_first_chunk()?;
    let (length, rest) = match short {
        0..=0x7f => (usize::from(short), rest),
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
            (length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// A year of two digits is one from 1950 to 2049.
fn seconds(tag: u8, digits: &str) -> Option<i64> {
    let digits = match tag {
        UTC_TIME => format!("{}{digits}", if digits < "5" { "20" } else { "19" }),
        GENERALIZED_TIME => digits.to_owned(),
        _ => return None,
    };
    if digits.len() != 14 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number = |from: usize, to: usize| digits[from..to].parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(8, 10)?, number(10, 12)?, number(12, 14)?);
    let is_time = hour < 24 && minute < 60 && second < 60;
    let days = days(year, month, day).filter(|_| is_time)?;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

/// Days from 1970 to a date of the Gregorian calendar; none where there is no such date.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if is_leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before = usize::try_from(month - 1).ok().filter(|before| *before < lengths.len())?;
    if !(1..=lengths[before]).contains(&day) {
        return None;
    }
    let leaps = |year: i64| year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let years = (year - 1970) * 365 + leaps(year - 1) - leaps(1969);
    Some(years + lengths[..before].iter().sum::<i64>() + day - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_both_forms() {
        for (tag, digits, wanted) in [
            (UTC_TIME, "700101000000", Some(0)),
            (UTC_TIME, "491231235959", Some(2_524_607_999)),
            (UTC_TIME, "500101000000", Some(-631_152_000)),
            (GENERALIZED_TIME, "20500101000000", Some(2_524_608_000)),
            (GENERALIZED_TIME, "20500230000000", None),
            (GENERALIZED_TIME, "20501301000000", None),
            (GENERALIZED_TIME, "20500101240000", None),
            (GENERALIZED_TIME, "20000229235959", Some(951_868_799)),
            (GENERALIZED_TIME, "20240301000000", Some(1_709_251_200)),
            (GENERALIZED_TIME, "21000301000000", Some(4_107_542_400)),
            (GENERALIZED_TIME, "500101000000", None),
            (UTC_TIME, "70010100000é", None),
            (INTEGER, "700101000000", None),
        ] {
            assert_eq!(seconds(tag, digits), wanted, "{digits}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let whole = [
            &[SEQUENCE, 0x81, 46, SEQUENCE, 44, VERSION, 3, INTEGER, 1, 2, INTEGER, 1, 7][..],
            &[SEQUENCE, 0, SEQUENCE, 0, SEQUENCE, 30, UTC_TIME, 13],
            b"700101000000Z",
            &[UTC_TIME, 13],
            b"700101000001Z",
        ]
        .concat();
        assert_eq!(not_after(&whole), Some(1));
        for length in 0..whole.len() {
            assert_eq!(not_after(&whole[..length]), None, "{length} bytes");
        }
        assert_eq!(not_after(&[0xff; 40]), None);
    }
}
