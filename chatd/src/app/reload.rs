//! What is read again while the node runs: keys, limits, the filter of the log, hosts and origins, and the certificate;
//! and the audit log is opened again.
//!
//! Invariant: all of it or nothing: nothing is taken over before everything was read and found good.

use std::sync::Arc;

use chat_protocol::system::ReloadResponse;
use chat_protocol::{Code, Refusal};

use super::App;
use crate::audit::Audit;
use crate::auth::Auth;
use crate::config::{Config, Serve};
use crate::files::Files;
use crate::http::door::Door;
use crate::log::{self, Filter};
use crate::ops::system::Again;
use crate::quota::{Changes, Quotas};
use crate::tls::{Candidate, Keeper, Paths};

/// Reads the settings as they are now.
pub type Reread = Arc<dyn Fn() -> Result<Config, String> + Send + Sync>;

/// Where the certificate is, on a node that speaks TLS.
pub(super) fn paths(config: &Config) -> Option<Paths> {
    let Serve { tls_cert, tls_key, .. } = &config.serve;
    // They come together, as the settings were checked.
    (!tls_cert.as_os_str().is_empty()).then(|| Paths { certificate: tls_cert.clone(), key: tls_key.clone() })
}

/// A new certificate for the node that has this one, if any.
fn candidate(keeper: Option<&Arc<Keeper>>, config: &Config) -> Result<Option<Candidate>, String> {
    match (keeper, paths(config)) {
        (Some(_), Some(paths)) => Keeper::candidate(paths).map(Some),
        (None, None) => Ok(None),
        (None, Some(_)) => {
            Err("tls_cert: this node speaks no TLS since its start; start it again".to_owned())
        }
        (Some(_), None) => Err("tls_cert: this node speaks TLS since its start; start it again".to_owned()),
    }
}

/// What takes over what was read.
pub(super) struct Held {
    pub(super) auth: Arc<Auth>,
    pub(super) quotas: Arc<Quotas>,
    pub(super) door: Arc<Door>,
    pub(super) audit: Option<Arc<Audit>>,
    pub(super) keeper: Option<Arc<Keeper>>,
    pub(super) files: Arc<Files>,
}

/// What the operation and the signal do.
pub(super) fn again(reread: Reread, held: Held) -> Again {
    let Held { auth, quotas, door, audit, keeper, files } = held;
    let again = move || {
        let refused = |why: String| Refusal::new(Code::RefusedByRule, why);
        let config = reread().map_err(refused)?;
        let filter = Filter::parse(&config.serve.log).map_err(|why| refused(format!("log: {why}")))?;
        let (origins, hosts) =
            (config.allowed_origins().map_err(refused)?, config.allowed_hosts().map_err(refused)?);
        let secrets = config.file_secrets().map_err(refused)?;
        let media = config.media_origins().map_err(refused)?;
        let candidate = candidate(keeper.as_ref(), &config).map_err(refused)?;
        if let Some(audit) = &audit {
            let why = |error| refused(format!("the audit log cannot be opened again: {error}"));
            audit.reopen().map_err(why)?;
        }
        let known = auth.reload(&config.auth)?;
        if let Some((keeper, candidate)) = keeper.as_ref().zip(candidate) {
            keeper.adopt(candidate);
        }
        door.relist(origins, hosts);
        files.signs_with(secrets);
        files.relist(media);
        log::refilter(filter);
        let Changes { now, restart } = quotas.change(&config.limits);
        Ok(ReloadResponse { keys: known.names, token_keys: known.token_keys as u64, limits: now, restart })
    };
    Arc::new(again)
}

impl App {
    /// Reads the settings again.
    ///
    /// # Errors
    /// Why everything stays as it was.
    pub(super) async fn reload(&self) -> Result<ReloadResponse, Refusal> {
        self.system.read_again().await
    }
}
