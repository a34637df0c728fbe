//! What grew in the course of a long run.
//!
//! Invariant: of the measured part alone, and only with enough points for a line.

use serde::{Deserialize, Serialize};

use super::series::{Point, Series, ServerPoint};

/// Fewer points make no line.
const FEWEST: usize = 8;

/// Growth by the hour of what was watched.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// Memory of all servers.
    pub server_rss_kib_per_hour: Option<f64>,
    /// Open files of all servers.
    pub server_files_per_hour: Option<f64>,
    /// Memory of the generator; its books grow with every message.
    pub generator_rss_kib_per_hour: Option<f64>,
    /// The median of the p99 of the points of the first quarter.
    pub response_p99_first_quarter_us: Option<u64>,
    /// The same of the last quarter.
    pub response_p99_last_quarter_us: Option<u64>,
}

impl Drift {
    /// Of a course; none when it is too short.
    #[must_use]
    pub fn of(series: &Series) -> Option<Self> {
        let points: Vec<&Point> = series.points.iter().filter(|point| point.phase == "measure").collect();
        if points.len() < FEWEST {
            return None;
        }
        let servers = |of: fn(&ServerPoint) -> Option<u64>| {
            slope(&points, |point| {
                let sum = point.servers.iter().map(of).sum::<Option<u64>>()?;
                (!point.servers.is_empty()).then_some(sum as f64)
            })
        };
        let quarter = points.len() / 4;
        Some(Self {
            server_rss_kib_per_hour: servers(|server| server.rss_kib),
            server_files_per_hour: servers(|server| server.files),
            generator_rss_kib_per_hour: slope(&points, |point| Some(point.generator_rss_kib? as f64)),
            response_p99_first_quarter_us: median(&points[..quarter]),
            response_p99_last_quarter_us: median(&points[points.len() - quarter..]),
        })
    }
}

/// The slope of the line with the least squares, for each hour.
fn slope(points: &[&Point], value: impl Fn(&Point) -> Option<f64>) -> Option<f64> {
    let known: Vec<(f64, f64)> =
        points.iter().filter_map(|point| Some((point.t_ms as f64 / 3.6e6, value(point)?))).collect();
    if known.len() < FEWEST {
        return None;
    }
    let count = known.len() as f64;
    let (x, y) = known.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
    let (over, under) = known.iter().fold((0.0, 0.0), |(over, under), point| {
        (over + (point.0 - x) * (point.1 - y), under + (point.0 - x).powi(2))
    });
    (under > 0.0).then(|| (over / under * 10.0).round() / 10.0)
}

fn median(points: &[&Point]) -> Option<u64> {
    let mut known: Vec<u64> = points.iter().filter_map(|point| point.response_p99_us).collect();
    known.sort_unstable();
    known.get(known.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(second: u64) -> Point {
        Point {
            t_ms: second * 1000,
            phase: "measure".to_owned(),
            response_p99_us: Some(100 + second),
            servers: vec![ServerPoint {
                pid: Some(1),
                rss_kib: Some(1000 + 2 * second),
                files: Some(9),
                ..ServerPoint::default()
            }],
            ..Point::default()
        }
    }

    #[test]
    fn a_leak_of_2_kib_a_second_is_7200_an_hour() {
        let series = Series { points: (0..40).map(point).collect(), ..Series::default() };
        let drift = Drift::of(&series).unwrap();
        assert_eq!(drift.server_rss_kib_per_hour, Some(7200.0));
        assert_eq!((drift.server_files_per_hour, drift.generator_rss_kib_per_hour), (Some(0.0), None));
        assert_eq!(drift.response_p99_first_quarter_us, Some(105));
        assert_eq!(drift.response_p99_last_quarter_us, Some(135));
        let short = Series { points: (0..7).map(point).collect(), ..Series::default() };
        assert!(Drift::of(&short).is_none());
    }
}
