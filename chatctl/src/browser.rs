//! Opens a page in the browser of whoever asks.
//!
//! Invariant: no shell reads the address, and the run does not wait for a browser that stays.

use std::ffi::{OsStr, OsString};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Names the program that shows pages.
pub const VARIABLE: &str = "BROWSER";

/// What opens pages on a desktop.
const OPENERS: [&str; 2] = ["xdg-open", "open"];
/// One that is still there after so long shows the page.
const LONG_ENOUGH: Duration = Duration::from_secs(2);
/// Pause between two looks at it.
const PAUSE: Duration = Duration::from_millis(20);

/// Opens an address with the program that is wanted, or with what the system has for that.
///
/// # Errors
/// Why none did.
pub async fn open(url: &str, wanted: Option<&OsStr>) -> Result<(), String> {
    let wanted = wanted.filter(|wanted| !wanted.is_empty()).map(OsString::from);
    let programs = wanted.map_or_else(|| OPENERS.map(OsString::from).to_vec(), |wanted| vec![wanted]);
    let mut why = Vec::new();
    for program in programs {
        let name = program.to_string_lossy().into_owned();
        match start(&program, url).await {
            Ok(()) => return Ok(()),
            Err(error) => why.push(format!("{name}: {error}")),
        }
    }
    Err(why.join(", "))
}

async fn start(program: &OsStr, url: &str) -> Result<(), String> {
    let mut command = Command::new(program);
    // What it says belongs to nobody here.
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let until = Instant::now() + LONG_ENOUGH;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(status.to_string()),
            Ok(None) if Instant::now() < until => tokio::time::sleep(PAUSE).await,
            Ok(None) => return Ok(()),
            Err(error) => return Err(error.to_string()),
        }
    }
}
