//! The load generator of chatd: it measures how long messages take and counts every single one.
//!
//! Invariant: a run says "pass" only when every expected delivery was seen, once and in order; and it never says a time
//! that the generator itself spoilt without saying so.
//!
//! The folders are floors. Each stands on those below it and knows none above:
//!
//! ```text
//!   cli        the command line, the terminal, files, several runs compared
//!    │
//!   scenario   what a run is: ten of them, and the result that is made of what they bring in
//!    │
//!   phases     the steps of a run: check, connect, settle, send, drain, close; in one process or several
//!    ├──────────┐
//!   chaos      watch      trouble on purpose │ the course of a run, second by second
//!    ├──────────┘
//!   ledger     who should get what, who got it, and when
//!    │
//!   net        sockets, frames, the text inside them, the way in
//! ```
//!
//! | module | holds |
//! |---|---|
//! | `cli` | `args`, `gate`, `output`, `screen`: all that knows of options, files and exit codes |
//! | `scenario` | one implementation each of what a scenario is; `floor`, the same against a relay; `report`, the result |
//! | `phases` | `spec`, what a run is asked for; `stage`, `crowd`, `course`, `traffic`, its steps; `client`, who takes them; `lockstep`, `crew`, the same in several processes |
//! | `chaos` | the one task that cuts connections and lets clients stop reading |
//! | `watch` | `sampler`, `pulse`, the time series; `servers`, `process`, `limits`; `probe`, whether the generator keeps up |
//! | `ledger` | `plan`, who sends what to whom and when; `flow`, what is so far; `sender`, `receiver`, the books of one client; `expected`, `times`, those of all |
//! | `net` | `socket`, `frames`, `door`: one lean client for all scenarios; `calls`, the same messages over gRPC |
//! | `clock`, `failure` | below all floors: the clocks of this host; why a run did not take place |

mod chaos;
mod cli;
mod clock;
mod failure;
mod ledger;
mod net;
mod phases;
mod scenario;
mod watch;

pub use cli::{run, run_until};

/// The runtime of the program: half of the cores work, so that a server on the same machine has the other half.
/// `TOKIO_WORKER_THREADS` sets another number.
///
/// # Errors
/// When the system gives no threads.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if std::env::var_os("TOKIO_WORKER_THREADS").is_none() {
        builder
            .worker_threads(std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)));
    }
    builder.enable_all().build()
}
