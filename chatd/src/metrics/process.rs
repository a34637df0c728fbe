//! What the kernel says of this process.
//!
//! Invariant: all of it or nothing: a number that cannot be read is left out, never zero.

use procfs::ProcResult;
use procfs::process;
use rlimit::Resource;

/// This process.
#[derive(Debug)]
pub struct Process {
    /// Unix time in seconds; asked once, because the kernel tells it along with all interrupts.
    booted_s: Option<u64>,
}

/// What it has and has used.
#[derive(Debug)]
pub struct Usage {
    /// User and system time, in steps of the kernel's clock (10 ms).
    pub cpu_s: f64,
    /// Resident memory.
    pub resident_bytes: u64,
    /// Address space.
    pub virtual_bytes: u64,
    /// Threads.
    pub threads: i64,
    /// File descriptors.
    pub open_files: usize,
    /// The limit on them.
    pub max_files: u64,
    /// Unix time.
    pub started_s: f64,
}

impl Default for Process {
    fn default() -> Self {
        Self { booted_s: procfs::boot_time_secs().ok() }
    }
}

impl Process {
    /// Now.
    pub fn usage(&self) -> Option<Usage> {
        let read = || -> ProcResult<Option<Usage>> {
            let process = process::Process::myself()?;
            let (stat, open_files) = (process.stat()?, process.fd_count()?);
            // No limit is one no process reaches, in a number that fits.
            let max_files = Resource::NOFILE.get_soft()?.min(i64::MAX.cast_unsigned());
            let seconds = |ticks: u64| ticks as f64 / procfs::ticks_per_second() as f64;
            Ok(self.booted_s.map(|booted_s| Usage {
                cpu_s: seconds(stat.utime + stat.stime),
                resident_bytes: stat.rss * procfs::page_size(),
                virtual_bytes: stat.vsize,
                threads: stat.num_threads,
                open_files,
                max_files,
                started_s: booted_s as f64 + seconds(stat.starttime),
            }))
        };
        read().ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let usage = Process::default().usage().expect("a /proc");
        assert!(usage.resident_bytes > 0 && usage.started_s > 0.0, "{usage:?}");
        let file = std::fs::File::open("/proc/self/stat").expect("a file");
        let more = Process::default().usage().expect("a /proc");
        assert!(more.open_files > 0 && more.max_files >= more.open_files as u64, "{more:?}");
        assert!(more.cpu_s >= usage.cpu_s);
        drop(file);
    }
}
