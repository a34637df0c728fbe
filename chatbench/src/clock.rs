//! The clocks of this host: the monotonic one, by which everything is measured, and the time of day.
//!
//! Invariant: monotonic values from two processes of one host can be compared. Only this file asks for the time of day,
//! and nothing is measured by it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds since an unnamed moment before the host's start.
pub fn now_ns() -> u64 {
    read_ns(ClockId::CLOCK_MONOTONIC)
}

/// The time of day in Unix milliseconds, for people.
pub fn unix_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}

/// CPU time of this thread, in nanoseconds.
pub fn thread_ns() -> u64 {
    read_ns(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

fn read_ns(clock: ClockId) -> u64 {
    // Only an unknown clock id fails, and these always exist on Linux.
    clock_gettime(clock).map_or(0, |time| {
        let (seconds, rest) = (time.tv_sec().unsigned_abs(), time.tv_nsec().unsigned_abs());
        seconds * 1_000_000_000 + rest
    })
}

/// The whole microseconds from `earlier` to `later`, both in nanoseconds; 0 when the order is the other way.
pub fn micros_between(earlier: u64, later: u64) -> u64 {
    later.saturating_sub(earlier) / 1000
}

/// The moment `time_ns` for timers of the runtime; now when it is past.
pub fn until(time_ns: u64) -> tokio::time::Instant {
    tokio::time::Instant::now() + Duration::from_nanos(time_ns.saturating_sub(now_ns()))
}

/// A duration in nanoseconds.
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A duration in microseconds.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
