//! What a server says of its process at `/metrics`, in the text format of Prometheus.
//!
//! Invariant: a server that does not answer, or with something else, costs half a second and no more, and is asked
//! again at the next look.

use std::time::Duration;

use chat_client::Http;

use crate::failure::Failure;
use crate::watch::process::Sample;
use crate::watch::servers::Seen;

const PATH: &str = "/metrics";
const PATIENCE: Duration = Duration::from_millis(500);
/// More than any server says.
const MOST_BYTES: usize = 1024 * 1024;
/// Larger values are none of a process: bytes, and seconds of CPU time.
const MOST: f64 = 1e15;
const MOST_CPU_S: f64 = 1e9;

/// Asks one exporter of Prometheus metrics.
#[derive(Debug, Clone)]
pub struct Exporter(Http);

impl Exporter {
    /// Of this server.
    ///
    /// # Errors
    /// [`Failure`] when the system's HTTP settings are unusable.
    pub fn new(server: &chat_client::Server) -> Result<Self, Failure> {
        let http = Http::new(server.clone(), PATIENCE);
        http.map(Self).map_err(|error| Failure::could_not_run(error, "check the system's HTTP settings"))
    }

    /// The server.
    pub fn server(&self) -> &chat_client::Server {
        self.0.server()
    }

    /// Asks.
    ///
    /// # Errors
    /// Why its CPU and memory are unknown, in words.
    pub async fn look(&self) -> Result<Seen, String> {
        let answer = self.0.get_at_most(PATH, MOST_BYTES).await;
        let (status, text) = answer.map_err(|error| format!("{PATH}: {error}"))?;
        let server = self.server();
        if status != 200 {
            return Err(format!("{PATH} of {server}: HTTP status {status}"));
        }
        read(&text).ok_or_else(|| format!("{PATH} of {server} does not say what its process uses"))
    }
}

fn read(text: &str) -> Option<Seen> {
    let (memory, files) = (sample(text, "process_resident_memory_bytes")?, sample(text, "process_open_fds")?);
    let cpu_s = sample(text, "process_cpu_seconds_total").filter(|seconds| *seconds <= MOST_CPU_S)?;
    let cpu_us = (cpu_s * 1e6).round() as u64;
    let started_ms = sample(text, "process_start_time_seconds").map(|seconds| (seconds * 1e3) as u64);
    Some(Seen { sample: Sample { cpu_us, rss_bytes: memory as u64 }, files: Some(files as u64), started_ms })
}

/// The first sample of this name, whatever its labels.
fn sample(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| {
        let rest = line.strip_prefix(name)?;
        let rest = match rest.strip_prefix('{') {
            Some(labelled) => labelled.split_once('}')?.1,
            None => rest,
        };
        let value: f64 = rest.strip_prefix([' ', '\t'])?.split_ascii_whitespace().next()?.parse().ok()?;
        (0.0..=MOST).contains(&value).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP process_cpu_seconds_total User and system CPU time spent.\n\
                        # TYPE process_cpu_seconds_total counter\n\
                        process_cpu_seconds_total_of_another 9\n\
                        process_cpu_seconds_total{job=\"chatd\"} 12.345678 1395066363000\n\
                        process_resident_memory_bytes 2.097152e+06\n\
                        process_open_fds 7\n\
                        process_start_time_seconds 1700000000.25\n";

    #[test]
    fn a_process_is_read_from_the_text() {
        let seen = Seen {
            sample: Sample { cpu_us: 12_345_678, rss_bytes: 2_097_152 },
            files: Some(7),
            started_ms: Some(1_700_000_000_250),
        };
        assert_eq!(read(TEXT), Some(seen));
        let young = TEXT.replace("start_time", "other_time");
        assert_eq!(read(&young), Some(Seen { started_ms: None, ..seen }));
    }

    #[test]
    fn what_is_no_number_of_a_process_is_none() {
        for (value, other) in
            [("12.345678", "NaN"), ("12.345678", "-1"), ("12.345678", "+Inf"), ("12.345678", "1e10")]
        {
            assert_eq!(read(&TEXT.replace(value, other)), None, "{other}");
        }
        for name in ["process_cpu_seconds_total{", "process_resident_memory_bytes", "process_open_fds"] {
            assert_eq!(read(&TEXT.replace(name, "nothing")), None, "{name}");
        }
        for garbage in ["", "\0\0", "process_cpu_seconds_total", "process_cpu_seconds_total{", "{} 5"] {
            assert_eq!(read(garbage), None, "{garbage:?}");
        }
    }
}
