//! The `chatd` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    chatd::app::program::run()
}
