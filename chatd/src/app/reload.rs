//! What is read again while the node runs: keys, the filter of the log, hosts and origins.
//!
//! Invariant: all of it or nothing: nothing is taken over before everything was read and found good.

use std::sync::Arc;

use chat_protocol::{Code, Refusal};

use super::App;
use crate::auth::{Auth, Known};
use crate::config::Config;
use crate::http::door::Door;
use crate::log::{self, Filter};
use crate::ops::system::Again;

/// Reads the settings as they are now.
pub type Reread = Arc<dyn Fn() -> Result<Config, String> + Send + Sync>;

/// What the operation and the signal do.
pub(super) fn again(reread: Reread, auth: Arc<Auth>, door: Arc<Door>) -> Again {
    let again = move || {
        let refused = |why: String| Refusal::new(Code::RefusedByRule, why);
        let config = reread().map_err(refused)?;
        let filter = Filter::parse(&config.serve.log).map_err(|why| refused(format!("log: {why}")))?;
        let (origins, hosts) =
            (config.allowed_origins().map_err(refused)?, config.allowed_hosts().map_err(refused)?);
        let known = auth.reload(&config.auth)?;
        door.relist(origins, hosts);
        log::refilter(filter);
        Ok(known)
    };
    Arc::new(again)
}

impl App {
    /// Reads the settings again.
    ///
    /// # Errors
    /// Why everything stays as it was.
    pub(super) async fn reload(&self) -> Result<Known, Refusal> {
        self.system.read_again().await
    }
}
