//! How many connections there is room for.
//!
//! Invariant: stores, files, operators and health checks keep their part, whatever is asked for.

/// Files that are not client connections: stores, listeners, the log.
const RESERVED_FILES: u64 = 256;
/// Places that WebSockets do not take.
const KEPT_PLACES: usize = 32;

/// How many connections the limit of open files leaves room for.
pub(super) fn room_for_connections() -> usize {
    let files = match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) => files,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files could not be raised");
            1024
        }
    };
    let reserved = RESERVED_FILES.min(files / 2);
    usize::try_from(files - reserved).unwrap_or(usize::MAX).max(1)
}

/// As many as asked for, or all there is room for: some places stay for operators and health checks.
pub(super) fn max_connections(asked: usize, room: usize) -> usize {
    let most = (room - KEPT_PLACES.min(room / 4)).max(1);
    let max = if asked == 0 { most } else { asked.min(most) };
    if asked > max {
        tracing::warn!(
            asked,
            max_connections = max,
            "the limit of open files has no room for more connections"
        );
    }
    tracing::info!(room, max_connections = max, "limits");
    max
}
