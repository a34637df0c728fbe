//! Node, in which programs in JavaScript run without a browser.
//!
//! Invariant: it has a WebSocket of its own, as the reference client asks; of one that has none, none is given.

use std::process::Command;

/// Node where the machine has one that knows WebSockets: 22, or newer, and the two before it, which have to be told.
#[must_use]
pub fn node() -> Option<Command> {
    let version = Command::new("node").arg("--version").output().ok()?;
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let major: u32 = version.trim_start_matches('v').split('.').next()?.parse().ok()?;
    let mut node = Command::new("node");
    if major < 22 {
        node.args(["--experimental-websocket", "--no-warnings"]);
    }
    (major >= 20).then_some(node)
}
