//! From a value to its place on an axis, and the ticks of the axis.
//!
//! Invariant: every value between the ends has a place from 0 to 1, whatever the values are.

use crate::units::{count_text, micros_text};

/// What an axis counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// Microseconds.
    Micros,
    /// Things per second.
    PerSecond,
    /// Percent of a core.
    Percent,
    /// Memory.
    Mebibytes,
    /// A number of things.
    Count,
}

/// One axis.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    low: f64,
    high: f64,
    is_log: bool,
}

impl Quantity {
    /// A value with its unit.
    #[must_use]
    pub fn text(self, value: f64) -> String {
        match self {
            Quantity::Micros => micros_text(value as u64),
            Quantity::PerSecond => format!("{}/s", plain(value)),
            Quantity::Percent => format!("{value:.1} %"),
            Quantity::Mebibytes => format!("{value:.1} MiB"),
            Quantity::Count => plain(value),
        }
    }

    /// As short as a tick can be.
    #[must_use]
    pub fn tick(self, value: f64) -> String {
        match self {
            Quantity::Micros if value >= 1e6 => format!("{} s", short(value / 1e6)),
            Quantity::Micros if value >= 1e3 => format!("{} ms", short(value / 1e3)),
            Quantity::Micros => format!("{} µs", short(value)),
            Quantity::PerSecond if value >= 1e4 => format!("{}k/s", short(value / 1e3)),
            Quantity::PerSecond => format!("{}/s", short(value)),
            Quantity::Percent => format!("{} %", short(value)),
            Quantity::Mebibytes => format!("{} MiB", short(value)),
            Quantity::Count if value >= 1e4 => format!("{}k", short(value / 1e3)),
            Quantity::Count => short(value),
        }
    }
}

fn plain(value: f64) -> String {
    if value.fract() == 0.0 && value >= 0.0 { count_text(value as u64) } else { format!("{value:.1}") }
}

/// Without zeros at the end.
fn short(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Scale {
    /// From 0 to above the largest value.
    #[must_use]
    pub fn linear(values: impl Iterator<Item = f64>) -> Self {
        let high = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
        let high = if high > 0.0 { high } else { 1.0 };
        let step = step(high);
        Self { low: 0.0, high: (high * 1.02 / step).ceil() * step, is_log: false }
    }

    /// From below the smallest to above the largest value; what is not above 0 counts as 1.
    #[must_use]
    pub fn log(values: impl Iterator<Item = f64>) -> Self {
        let values = values.filter(|value| value.is_finite()).map(|value| value.max(1.0));
        let (low, high) =
            values.fold((f64::MAX, 1.0), |(low, high), value| (value.min(low), value.max(high)));
        let low = low.min(high);
        let round = |value: f64, up: bool| {
            let decade = 10_f64.powf(value.log10().floor());
            let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * decade);
            let found = if up {
                steps.iter().find(|step| **step >= value)
            } else {
                steps.iter().rfind(|step| **step <= value)
            };
            found.copied().unwrap_or(decade)
        };
        let (low, mut high) = (round(low, false), round(high, true));
        if high <= low {
            high = low * 10.0;
        }
        Self { low, high, is_log: true }
    }

    /// The logarithms of these ends.
    #[must_use]
    pub fn ratio(low: f64, high: f64) -> Self {
        Self { low, high, is_log: true }
    }

    /// The place of a value; outside of the ends it is at the nearer one.
    #[must_use]
    pub fn place(self, value: f64) -> f64 {
        let place = if self.is_log {
            (value.max(f64::MIN_POSITIVE) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        if place.is_finite() { place.clamp(0.0, 1.0) } else { 0.0 }
    }

    /// Values worth a line.
    #[must_use]
    pub fn ticks(self) -> Vec<f64> {
        if !self.is_log {
            let step = step(self.high);
            let steps = (self.high / step).round().min(20.0) as u32;
            return (0..=steps).map(|number| f64::from(number) * step).collect();
        }
        let decades = (self.high / self.low).log10();
        let digits: &[f64] = if decades < 3.2 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let first = self.low.log10().floor() as i32;
        let last = self.high.log10().ceil() as i32;
        let all =
            (first..=last).flat_map(|decade| digits.iter().map(move |digit| digit * 10_f64.powi(decade)));
        all.filter(|tick| *tick >= self.low * 0.999 && *tick <= self.high * 1.001).collect()
    }
}

/// 1, 2 or 5 of a decade, so that about four fit.
fn step(high: f64) -> f64 {
    let raw = high / 4.0;
    let decade = 10_f64.powf(raw.log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|step| step * decade).into_iter().find(|step| *step >= raw).unwrap_or(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_round_and_ticks_between_them() {
        let linear = Scale::linear([3.0, 47.0].into_iter());
        assert_eq!(linear.ticks(), [0.0, 20.0, 40.0, 60.0]);
        assert_eq!((linear.place(30.0), linear.place(-5.0), linear.place(99.0)), (0.5, 0.0, 1.0));
        let log = Scale::log([300.0, 4_000.0].into_iter());
        assert_eq!(log.ticks(), [200.0, 500.0, 1_000.0, 2_000.0, 5_000.0]);
        assert!((log.place(1_000.0) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn strange_values_have_a_place() {
        for values in
            [vec![], vec![0.0], vec![f64::NAN, f64::INFINITY], vec![1.0, 1.0], vec![1e300], vec![1e-300]]
        {
            for scale in [Scale::linear(values.iter().copied()), Scale::log(values.iter().copied())] {
                let ticks = scale.ticks();
                assert!((2..=22).contains(&ticks.len()) || values == [1e300], "{values:?}: {ticks:?}");
                assert!(values.iter().all(|value| (0.0..=1.0).contains(&scale.place(*value))), "{values:?}");
            }
        }
    }

    #[test]
    fn ticks_are_short() {
        assert_eq!(Quantity::Micros.tick(2_500.0), "2.5 ms");
        assert_eq!(Quantity::Micros.tick(20_000_000.0), "20 s");
        assert_eq!(Quantity::PerSecond.tick(20_000.0), "20k/s");
        assert_eq!(Quantity::Percent.tick(0.0), "0 %");
        assert_eq!(Quantity::PerSecond.text(1_234.0), "1 234/s");
    }
}
