//! Which certificate is in force, and how a new one comes into force while the node runs.
//!
//! Invariant: there is always one that works: what cannot be used changes nothing. A connection keeps the one that it began
//! with.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::ServerConfig;

use super::files::{Fingerprint, Pair, Texts};
use crate::clock::{Clock, SystemClock, utc};

/// Where the two files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The certificate, the node's own first.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// Holds the certificate in force.
pub struct Keeper {
    state: Mutex<State>,
}

struct State {
    paths: Paths,
    pair: Arc<Pair>,
    /// What the last look found and could not use.
    unfit: Option<Unfit>,
}

#[derive(Clone, Copy)]
struct Unfit {
    /// None: there was nothing to be read.
    seen: Option<Fingerprint>,
    is_told: bool,
}

/// A certificate that can come into force.
pub struct Candidate {
    paths: Paths,
    pair: Pair,
}

impl Keeper {
    /// Reads the files.
    ///
    /// # Errors
    /// A text for the operator that names the file, what is wrong with it and what to do.
    pub fn open(paths: Paths) -> Result<Arc<Self>, String> {
        let Candidate { paths, pair } = Self::candidate(paths)?;
        Ok(Arc::new(Self { state: Mutex::new(State { paths, pair: Arc::new(pair), unfit: None }) }))
    }

    /// What a new connection is served with.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        self.state.lock().pair.config.clone()
    }

    /// What a new connection is served with that speaks gRPC.
    #[must_use]
    pub fn grpc_config(&self) -> Arc<ServerConfig> {
        self.state.lock().pair.grpc.clone()
    }

    /// When the certificate in force ends, in seconds of Unix time, where that can be read.
    #[must_use]
    pub fn ends_s(&self) -> Option<i64> {
        self.state.lock().pair.ends_s
    }

    /// Reads the files at these places, which changes nothing yet. Not for a thread that serves connections.
    ///
    /// # Errors
    /// As [`Keeper::open`].
    pub fn candidate(paths: Paths) -> Result<Candidate, String> {
        let pair = Texts::read(&paths)?.pair(&paths)?;
        Ok(Candidate { paths, pair })
    }

    /// New connections are served with it from now on; the same one as before stays, with the tickets it gave.
    pub fn adopt(&self, Candidate { paths, pair }: Candidate) {
        let mut state = self.state.lock();
        let is_new = state.pair.fingerprint != pair.fingerprint;
        (state.paths, state.unfit) = (paths, None);
        if is_new {
            state.pair = Arc::new(pair);
            drop(state);
            self.tell();
        }
    }

    /// Looks whether there is something new in the files. Of two that are replaced one after the other there may be one of
    /// each for a moment, so what cannot be used is told when the next look finds the same, and once.
    pub fn look(&self) {
        let (paths, fingerprint, unfit) = {
            let state = self.state.lock();
            (state.paths.clone(), state.pair.fingerprint, state.unfit)
        };
        let texts = Texts::read(&paths);
        let seen = texts.as_ref().ok().map(Texts::fingerprint);
        let known = unfit.filter(|unfit| unfit.seen == seen);
        if seen == Some(fingerprint) {
            self.state.lock().unfit = None;
        } else if known.is_none_or(|unfit| !unfit.is_told) {
            match texts.and_then(|texts| texts.pair(&paths)) {
                Ok(pair) => self.adopt(Candidate { paths, pair }),
                Err(why) => {
                    self.state.lock().unfit = Some(Unfit { seen, is_told: known.is_some() });
                    if known.is_some() {
                        tracing::error!(why, "the certificate stays as it was");
                    }
                }
            }
        }
    }

    /// Tells the log which certificate is in force, and whether it has ended.
    pub fn tell(&self) {
        let (file, pair) = {
            let state = self.state.lock();
            (state.paths.certificate.clone(), state.pair.clone())
        };
        let sha256 = &pair.sha256;
        let ends_ms = pair.ends_s.map(|ends_s| ends_s.max(0).cast_unsigned() * 1000);
        let ends = ends_ms.map(utc);
        if ends_ms.is_some_and(|ends_ms| ends_ms < SystemClock.now_ms()) {
            tracing::warn!(
                ?file,
                sha256,
                ends,
                "the certificate has ended: clients will refuse it; have it renewed"
            );
        } else {
            tracing::info!(?file, sha256, ends, "new connections are shown this certificate");
        }
    }
}
