//! Rates as people write them, and numbers as people read them.
//!
//! Invariant: nothing that lacks a meaning (no number, a negative one, an unknown unit) is read as zero.

/// Reads `100/s`, `6000/m`; a bare number is per second. The result is per second and above zero.
///
/// # Errors
/// A sentence that says how to write it.
pub fn rate(text: &str) -> Result<f64, String> {
    let bad = || format!("{text:?} is no rate above zero; write for example 100/s or 0.5/s");
    let (number, unit) = text.split_once('/').unwrap_or((text, "s"));
    let seconds = match unit {
        "s" => 1.0,
        "m" => 60.0,
        _ => return Err(bad()),
    };
    let number: f64 = number.parse().map_err(|_| bad())?;
    let per_second = number / seconds;
    // Once in three years at least: what is rarer is a slip, and no clock can wait for it.
    if per_second.is_finite() && per_second > 1e-8 { Ok(per_second) } else { Err(bad()) }
}

/// Microseconds for a reader: `812 µs`, `1.23 ms`, `2.50 s`.
#[must_use]
pub fn micros_text(us: u64) -> String {
    let value = us as f64;
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{:.2} ms", value / 1e3),
        _ => format!("{:.2} s", value / 1e6),
    }
}

/// Bytes for a reader: `812 B`, `3.1 KiB`, `12.0 MiB`.
#[must_use]
pub fn bytes_text(bytes: f64) -> String {
    match bytes.abs() {
        ..1024.0 => format!("{bytes:.0} B"),
        ..1_048_576.0 => format!("{:.1} KiB", bytes / 1024.0),
        _ => format!("{:.1} MiB", bytes / 1_048_576.0),
    }
}

/// A whole number with its thousands apart: `1 234 567`.
#[must_use]
pub fn count_text(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_per_second_and_above_zero() {
        assert_eq!(rate("100/s"), Ok(100.0));
        assert_eq!(rate("100"), Ok(100.0));
        assert_eq!(rate("30/m"), Ok(0.5));
        for bad in ["", "0/s", "-1", "5/h", "NaN", "inf", "x/s", "1e-30/s"] {
            assert!(rate(bad).unwrap_err().contains("write for example"), "{bad}");
        }
    }

    #[test]
    fn numbers_for_readers() {
        assert_eq!(micros_text(812), "812 µs");
        assert_eq!(micros_text(1_234), "1.23 ms");
        assert_eq!(micros_text(2_500_000), "2.50 s");
        assert_eq!(count_text(5), "5");
        assert_eq!(count_text(1_234_567), "1 234 567");
        assert_eq!(bytes_text(2048.0), "2.0 KiB");
    }
}
