//! The program: gives the process's streams, environment and Ctrl-C to [`chatctl::run`].
//!
//! Invariant: no decision is made here, so that a test of the library is a test of the program.

use std::process::ExitCode;

use chatctl::surroundings::Surroundings;

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            eprintln!("  if too many files are open: raise the limit with `ulimit -n 64`");
            return ExitCode::FAILURE;
        }
    };
    let exit = runtime.block_on(chatctl::run(std::env::args_os(), Surroundings::of_process()));
    // A read of the terminal that still waits for a line must not hold the exit up.
    runtime.shutdown_background();
    ExitCode::from(exit)
}
