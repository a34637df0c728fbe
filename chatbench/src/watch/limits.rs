//! Whether this process may open as many sockets as the run needs.
//!
//! Invariant: a run that cannot fit is refused before its first connection.

use crate::failure::Failure;

/// Descriptors beside the load connections: standard streams, epoll, the HTTP client, files read from /proc.
const RESERVED: u64 = 64;
/// Most processes of a run.
pub const MOST_WORKERS: u32 = 64;

/// Raises the limit on open files as far as allowed and gives it.
///
/// # Errors
/// [`Failure::Usage`] when `connections` do not fit; [`Failure::CouldNotRun`] when the limit cannot be read.
pub fn open_files_for(connections: u64) -> Result<u64, Failure> {
    check(connections, "ask for")
}

fn check(connections: u64, advice: &str) -> Result<u64, Failure> {
    let limit = rlimit::increase_nofile_limit(u64::MAX).map_err(|error| {
        Failure::could_not_run(format!("the limit on open files is unreadable: {error}"), "check `ulimit -n`")
    })?;
    if connections + RESERVED > limit {
        return Err(Failure::Usage(format!(
            "{connections} connections do not fit: this process may open {limit} files and keeps {RESERVED} for \
             itself, which leaves room for {}; {advice} fewer --clients, or raise the hard limit (ulimit -Hn)",
            limit.saturating_sub(RESERVED)
        )));
    }
    Ok(limit)
}

/// How many processes the clients of a run are divided among; 1 means this one alone. `asked` is the operator's wish,
/// `largest` gives the most connections that one of so many processes has.
///
/// # Errors
/// As [`open_files_for`], for the largest share.
pub fn workers_for(asked: Option<u32>, largest: impl Fn(u32) -> u64) -> Result<u32, Failure> {
    let room = open_files_for(0)?.saturating_sub(RESERVED);
    let enough = || (1..MOST_WORKERS).find(|workers| largest(*workers) <= room);
    let workers = asked.or_else(enough).unwrap_or(MOST_WORKERS);
    check(largest(workers), "ask for more --workers,")?;
    Ok(workers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_connections_are_refused_with_the_numbers() {
        let limit = open_files_for(1).unwrap();
        let refused = open_files_for(limit).unwrap_err();
        assert_eq!(refused.exit_code(), 2);
        assert!(refused.to_string().contains(&limit.to_string()), "{refused}");
    }
}
