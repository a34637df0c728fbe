//! The program `chatbench`: starts the runtime and hands the command line to the library.
//!
//! Invariant: the exit code is the one the library decided.

use std::process::ExitCode;

fn main() -> ExitCode {
    let runtime = match chatbench::runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("chatbench: the runtime does not start: {error}");
            return ExitCode::from(1);
        }
    };
    let code =
        runtime.block_on(chatbench::run(std::env::args_os(), &mut std::io::stdout(), &mut std::io::stderr()));
    // A name lookup may still block a thread; nothing it could bring is wanted any more.
    runtime.shutdown_background();
    ExitCode::from(code)
}
