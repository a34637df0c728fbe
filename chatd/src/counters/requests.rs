//! Requests by what they asked for, how they were answered, and how long that took.
//!
//! Invariant: what a client makes up is told as [`OTHER`], so that there are as many lines as there are operations, and
//! no more. What nobody ever asked for takes no memory.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use chat_protocol::observe::OBSERVE;
use chat_protocol::session::{HEARTBEAT, LOGIN, MSG, PING, REFRESH, TYPING, WATCH};
use chat_protocol::table::{ALL, ROUTES, route};

use super::histogram::{Histogram, Snapshot};
use super::sharded::Sharded;

/// An operation nobody knows, or a request that cannot be read.
pub const OTHER: &str = "other";

/// What is asked over WebSocket beside operations.
const COMMANDS: [&str; 8] = [HEARTBEAT, LOGIN, MSG, OBSERVE, PING, REFRESH, TYPING, WATCH];

/// What is asked over gRPC beside operations.
const SERVICES: [&str; 2] = ["health", "reflection"];

/// Codes of answers; HTTP statuses where an answer has no code, which are below 1000. 0 stands for all others.
pub const CODES: [u16; 27] = [
    0, 101, 200, 204, 206, 304, 307, 400, 404, 405, 413, 416, 500, 503, 1000, 1001, 1002, 1003, 1004, 1005,
    1009, 1010, 1011, 1012, 1013, 1014, 1015,
];

/// Over all ways.
#[derive(Debug)]
pub struct Requests {
    /// By path, see [`operation`].
    pub http: Tallies,
    /// By command.
    pub websocket: Tallies,
    /// By the operation that does it.
    pub grpc: Tallies,
}

/// Requests over one way.
#[derive(Debug)]
pub struct Tallies(Box<[Tally]>);

/// Requests for one thing.
#[derive(Debug)]
pub struct Tally {
    /// What they asked for: an operation without its leading slash, a command, or [`OTHER`].
    pub name: &'static str,
    kept: OnceLock<Box<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    codes: Sharded<[AtomicU64; CODES.len()]>,
    times: Histogram,
}

impl Default for Requests {
    fn default() -> Self {
        let routes: Vec<_> = ROUTES.iter().map(|route| route.name).collect();
        Self {
            http: Tallies::new(&routes),
            websocket: Tallies::new(&COMMANDS),
            grpc: Tallies::new(&SERVICES),
        }
    }
}

/// What a request for this path asks for: the name of its route, or the path of an operation without its leading slash.
#[must_use]
pub fn operation(path: &str) -> &str {
    match route(path) {
        Some(route) => route.name,
        None => path.strip_prefix('/').unwrap_or(OTHER),
    }
}

impl Tallies {
    fn new(further: &[&'static str]) -> Self {
        let operations = ALL.iter().map(|operation| operation.path.trim_start_matches('/'));
        let mut names: Vec<_> = operations.chain(further.iter().copied()).chain([OTHER]).collect();
        names.sort_unstable();
        // Several routes share one.
        names.dedup();
        Self(names.into_iter().map(|name| Tally { name, kept: OnceLock::new() }).collect())
    }

    /// Those for this; [`OTHER`] for a name that nobody knows.
    #[must_use]
    pub fn of(&self, name: &str) -> &Tally {
        &self.0[self.place(name)]
    }

    /// Where those for this stand, for [`Tallies::at`].
    #[must_use]
    pub fn place(&self, name: &str) -> usize {
        let find = |name: &str| self.0.binary_search_by(|tally| tally.name.cmp(name)).ok();
        find(name).or_else(|| find(OTHER)).unwrap_or(0)
    }

    /// Those at a place that [`Tallies::place`] gave.
    #[must_use]
    pub fn at(&self, place: usize) -> &Tally {
        &self.0[place]
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Tally> {
        self.0.iter()
    }

    /// How many were answered with this code, whatever they asked for.
    #[must_use]
    pub fn answered(&self, code: u16) -> u64 {
        self.iter().map(|tally| tally.answered(code)).sum()
    }
}

impl Tally {
    /// Counts a request that was answered with this code after so long.
    pub fn count(&self, code: u16, took: Duration) {
        let kept = self.kept.get_or_init(Box::default);
        kept.codes.own()[CODES.binary_search(&code).unwrap_or(0)].fetch_add(1, Relaxed);
        kept.times.record(took);
    }

    /// How many were answered with this code.
    #[must_use]
    pub fn answered(&self, code: u16) -> u64 {
        let Some(kept) = self.kept.get() else { return 0 };
        let place = CODES.binary_search(&code).unwrap_or(0);
        kept.codes.iter().map(|codes| codes[place].load(Relaxed)).sum()
    }

    /// How long they took; none when there was none.
    #[must_use]
    pub fn times(&self) -> Option<Snapshot> {
        self.kept.get().map(|kept| kept.times.snapshot())
    }
}

#[cfg(test)]
mod tests {
    use chat_protocol::Code;

    use super::*;

    #[test]
    fn every_operation_and_code_is_told_apart_and_what_clients_make_up_is_not() {
        assert!(CODES.is_sorted());
        let requests = Requests::default();
        for tallies in [&requests.http, &requests.websocket, &requests.grpc] {
            for operation in ALL {
                let name = operation.path.strip_prefix('/').expect("a path");
                tallies.of(name).count(200, Duration::ZERO);
                assert_eq!((tallies.of(name).name, tallies.of(name).answered(200)), (name, 1));
            }
            for code in Code::ALL.into_iter().map(Code::number).filter(|code| *code != 200) {
                tallies.of("user/list").count(code, Duration::ZERO);
                assert_eq!(tallies.answered(code), 1, "{code}");
            }
            for name in ["", "nonsense", "user/listen", "\u{0}", "zzz"] {
                tallies.of(name).count(999, Duration::ZERO);
            }
            assert_eq!(tallies.of(OTHER).answered(0), 5);
            let lines = tallies.iter().filter(|tally| tally.times().is_some()).count();
            assert_eq!(lines, ALL.len() + 1, "what nobody asked for has no times");
        }
    }

    #[test]
    fn paths_of_the_page_are_one_and_every_route_has_its_name() {
        let requests = Requests::default();
        for route in ROUTES {
            assert_eq!(requests.http.of(operation(route.path)).name, route.name, "{}", route.path);
        }
        for (path, name) in [
            ("/", "home"),
            ("/home/index", "home"),
            ("/home/chat.js", "home"),
            ("/home/ab12/chat.js", "home"),
            ("/file/ab12", "file"),
            ("/file/upload", "file/upload"),
            ("/file/url", "file/url"),
            ("/acc", "acc"),
            ("/user/list", "user/list"),
            ("/user/list/", OTHER),
            ("*", OTHER),
            ("", OTHER),
        ] {
            assert_eq!(requests.http.of(operation(path)).name, name, "{path}");
        }
    }
}
