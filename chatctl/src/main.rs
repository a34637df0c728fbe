//! The program: gives the process's streams, environment and Ctrl-C to [`chatctl::run`].
//!
//! Invariant: no decision is made here, so that a test of the library is a test of the program.

use std::process::ExitCode;

use chatctl::failure::plain;
use chatctl::surroundings::{Surroundings, room_for_files};
use tokio::runtime::Builder;

fn main() -> ExitCode {
    let built = room_for_files().and_then(|()| Builder::new_current_thread().enable_all().build());
    let runtime = match built {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {}", plain(&error.to_string()));
            eprintln!("  a run needs a dozen open files: raise the limit with `ulimit -n 64`");
            return ExitCode::FAILURE;
        }
    };
    let exit = runtime.block_on(chatctl::run(std::env::args_os(), Surroundings::of_process()));
    // A read of the terminal that still waits for a line must not hold the exit up.
    runtime.shutdown_background();
    ExitCode::from(exit)
}
