//! Distributions as text: HdrHistogram V2, deflated, in base64, as every HdrHistogram tool reads it.
//!
//! Invariant: what is decoded equals what was encoded, bucket by bucket.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer as Input, Serializer as Output};

const MAX_US: u64 = 60_000_000;

/// An empty histogram: 1 µs to 60 s, three digits. Larger values count as 60 s.
#[must_use]
pub fn histogram() -> Histogram<u64> {
    // The bounds are constants that fit.
    Histogram::new_with_bounds(1, MAX_US, 3).unwrap_or_else(|_| unreachable!("constant bounds"))
}

/// The text of a histogram.
///
/// # Errors
/// When the histogram cannot be written, which no histogram of this program is.
pub fn encode(histogram: &Histogram<u64>) -> Result<String, String> {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new().serialize(histogram, &mut bytes).map_err(|error| error.to_string())?;
    Ok(STANDARD.encode(bytes))
}

/// The histogram of a text.
///
/// # Errors
/// When the text is no base64, or no histogram.
pub fn decode(text: &str) -> Result<Histogram<u64>, String> {
    let bytes = STANDARD.decode(text).map_err(|error| format!("no base64: {error}"))?;
    let read = Deserializer::new().deserialize(&mut bytes.as_slice());
    read.map_err(|error| format!("no histogram: {error}"))
}

/// For `#[serde(with = "hdr")]`.
///
/// # Errors
/// As [`encode`].
pub fn serialize<S: Output>(histogram: &Histogram<u64>, output: S) -> Result<S::Ok, S::Error> {
    output.serialize_str(&encode(histogram).map_err(serde::ser::Error::custom)?)
}

/// For `#[serde(with = "hdr")]`.
///
/// # Errors
/// As [`decode`].
pub fn deserialize<'de, D: Input<'de>>(input: D) -> Result<Histogram<u64>, D::Error> {
    decode(&String::deserialize(input)?).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_on_the_way() {
        let mut times = histogram();
        for us in (1..60_000_000).step_by(31_337) {
            times.saturating_record(us);
        }
        assert_eq!(decode(&encode(&times).unwrap()).unwrap(), times);
        let empty = histogram();
        assert_eq!(decode(&encode(&empty).unwrap()).unwrap().len(), 0);
        assert!(encode(&times).unwrap().starts_with("HISTFAAA"), "the cookie of V2 deflated");
        for bad in ["", "HISTFAAA", "no base64!", "AAAA"] {
            assert!(decode(bad).is_err(), "{bad}");
        }
    }
}
