//! CPU time and memory of processes on this host, from /proc.
//!
//! Invariant: a process that cannot be read is reported as such before the run, and never as zero.

use std::ops::Add;

use procfs::process::Process;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// CPU time and memory of a process at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// User and system time since its start, in microseconds.
    pub cpu_us: u64,
    /// Resident memory in bytes.
    pub rss_bytes: u64,
}

impl Add for Sample {
    type Output = Sample;

    fn add(self, other: Sample) -> Sample {
        Sample { cpu_us: self.cpu_us + other.cpu_us, rss_bytes: self.rss_bytes + other.rss_bytes }
    }
}

/// The sample of one process.
///
/// # Errors
/// [`Failure::CouldNotRun`] when there is no such process.
pub fn sample(pid: i32) -> Result<Sample, Failure> {
    let read = || {
        let process = Process::new(pid)?;
        let (stat, status) = (process.stat()?, process.status()?);
        let ticks = stat.utime + stat.stime;
        let cpu_us = ticks * 1_000_000 / procfs::ticks_per_second();
        // One that has ended and waits for its parent still has an entry, without memory.
        let rss_kib = status.vmrss.ok_or(procfs::ProcError::NotFound(None))?;
        Ok::<_, procfs::ProcError>(Sample { cpu_us, rss_bytes: rss_kib * 1024 })
    };
    read().map_err(|error| {
        Failure::could_not_run(
            format!("process {pid} cannot be read: {error}"),
            "give --pid the id of a running process on this host",
        )
    })
}

/// The samples of several processes.
///
/// # Errors
/// As [`sample`].
pub fn samples(pids: &[i32]) -> Result<Vec<Sample>, Failure> {
    pids.iter().map(|&pid| sample(pid)).collect()
}

/// The sample of this process.
///
/// # Errors
/// As [`sample`].
pub fn own() -> Result<Sample, Failure> {
    sample(i32::try_from(std::process::id()).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_no_process_has_a_name() {
        assert!(own().unwrap().rss_bytes > 0);
        let error = sample(i32::MAX).unwrap_err();
        assert!(error.to_string().contains("--pid"), "{error}");
    }
}
