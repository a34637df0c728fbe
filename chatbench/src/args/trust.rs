//! Options that say how to know a server at https.
//!
//! Invariant: what cannot be believed as asked is told before the run begins.

use std::path::PathBuf;

use chat_client::{Server, Trust};
use clap::Args as ClapArgs;

use crate::failure::Failure;

/// How to know that a server at https is the right one.
#[derive(Debug, Clone, Default, ClapArgs)]
pub struct TrustArgs {
    /// Certificates (PEM) to believe at https instead of those this host knows
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Believe any certificate at https
    #[arg(long, conflicts_with = "ca")]
    pub insecure: bool,
}

impl TrustArgs {
    /// Lets these servers be believed as asked.
    ///
    /// # Errors
    /// [`Failure::Usage`] naming the file that holds no certificates.
    pub fn apply(&self, servers: &mut [Server]) -> Result<(), Failure> {
        let trust = Trust::asked(self.ca.clone(), self.insecure);
        for server in servers {
            let believed = server.clone().trusting(trust.clone());
            *server = believed.map_err(|error| Failure::Usage(format!("--ca: {error}")))?;
        }
        Ok(())
    }
}
