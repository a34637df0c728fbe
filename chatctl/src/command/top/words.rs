//! Numbers in few letters, for columns of a fixed width.
//!
//! Invariant: no more than six letters, whatever the number.

/// `0`, `9.5`, `999`, `12k`, `1.2M`.
#[must_use]
pub fn count(number: f64) -> String {
    let units = ["", "k", "M", "G", "T", "P", "E"];
    let (mut number, mut unit) = (number.max(0.0), 0);
    while number >= 999.5 && unit + 1 < units.len() {
        (number, unit) = (number / 1000.0, unit + 1);
    }
    let is_whole = unit == 0 && number.fract() == 0.0;
    match number < 9.95 && !is_whole {
        true => format!("{number:.1}{}", units[unit]),
        false => format!("{number:.0}{}", units[unit]),
    }
}

/// `0.8ms`, `12ms`, `1.2s`, `3m`, of seconds.
#[must_use]
pub fn duration(seconds: f64) -> String {
    match seconds.max(0.0) {
        s if s < 0.00995 => format!("{:.1}ms", s * 1e3),
        s if s < 0.9995 => format!("{:.0}ms", s * 1e3),
        s if s < 9.95 => format!("{s:.1}s"),
        s if s < 99.5 => format!("{s:.0}s"),
        s if s < 99.5 * 60.0 => format!("{:.0}m", s / 60.0),
        s if s < 99.5 * 3600.0 => format!("{:.0}h", s / 3600.0),
        s => format!("{:.0}d", (s / 86_400.0).min(99_999.0)),
    }
}

/// `0`, `900B`, `1.2K`, `12M`, of bytes, in powers of 1024.
#[must_use]
pub fn bytes(number: f64) -> String {
    let units = ["B", "K", "M", "G", "T", "P", "E"];
    let (mut number, mut unit) = (number.max(0.0), 0);
    while number >= 999.5 && unit + 1 < units.len() {
        (number, unit) = (number / 1024.0, unit + 1);
    }
    match (number == 0.0, unit > 0 && number < 9.95) {
        (true, _) => "0".to_owned(),
        (false, true) => format!("{number:.1}{}", units[unit]),
        (false, false) => format!("{number:.0}{}", units[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_two_or_three_digits() {
        let counts = [0.0, 0.25, 9.5, 12.0, 999.0, 999.7, 12_345.0, 1_234_567.0].map(count);
        assert_eq!(counts, ["0", "0.2", "9.5", "12", "999", "1.0k", "12k", "1.2M"]);
        let times = [0.0, 0.000_8, 0.012, 1.24, 75.0, 600.0, 7200.0, 864_000.0].map(duration);
        assert_eq!(times, ["0.0ms", "0.8ms", "12ms", "1.2s", "75s", "10m", "2h", "10d"]);
        let sizes = [0.0, 900.0, 1300.0, 12.0 * 1_048_576.0].map(bytes);
        assert_eq!(sizes, ["0", "900B", "1.3K", "12M"]);
    }

    #[test]
    fn none_is_wider_than_its_column() {
        for power in 0..18 {
            let number = 9.99 * 10_f64.powi(power);
            for text in [count(number), duration(number), bytes(number)] {
                assert!(text.len() <= 6, "{number}: {text}");
            }
        }
    }
}
