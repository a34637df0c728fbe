//! What the log tells of a connection: who logged in, who was refused, and how it ended.
//!
//! Invariant: whatever is told of a connection names it by number and address; each end is told once.

use std::net::SocketAddr;
use std::sync::Arc;

use chat_protocol::Refusal;
use chat_protocol::envelope::Request;
use chat_protocol::session::Recovered;
use tracing::Span;

use crate::hub::Connection;
use crate::hub::outbox::Close;
use crate::journal::{Journal, What};
use crate::log::CONNECTION;
use crate::model::Identity;
use crate::transport::ending::{End, LOST, Traffic, Waiting, unsaid};

/// What lines about a connection repeat.
pub struct Told {
    connection: Arc<Connection>,
    /// Milliseconds of the hub: half of what an instant takes.
    opened_ms: u64,
    ended: Option<Box<Ended>>,
    /// The connection, then its session; nothing unless debugging is logged, because it costs memory while it lives.
    span: Option<Box<Span>>,
}

/// What is known of a connection on its way to its end.
#[derive(Default)]
struct Ended {
    /// Who spoke on it.
    identity: Option<Identity>,
    /// What it was not given any more.
    dropped: Waiting,
}

/// Why a connection ended.
pub struct Why<'a> {
    /// Close code.
    pub code: u16,
    /// In our words.
    pub reason: &'a str,
    /// In those of the client or of the system.
    pub detail: &'a str,
}

impl<'a> Why<'a> {
    /// What came first: an end of the client's side, or ours.
    pub fn of(end: Option<&'a End>, closing: Option<&'a Close>) -> Self {
        match (end, closing) {
            (Some(end), _) => Self { code: end.code, reason: end.reason, detail: &end.detail },
            (None, Some(close)) => Self { code: close.code, reason: &close.reason, detail: "" },
            // The client's side ends or ours does; there is no third way.
            (None, None) => Self { code: unsaid::NO_CLOSE, reason: LOST, detail: "" },
        }
    }
}

impl Told {
    /// A connection that begins at this time of the hub.
    pub fn new(connection: Arc<Connection>, opened_ms: u64) -> Self {
        let (number, peer) = (connection.id.number, connection.peer());
        let span = tracing::debug_span!("connection", number, %peer);
        let told = Self { connection, opened_ms, ended: None, span: kept(span) };
        told.span().in_scope(|| tracing::debug!("opened"));
        told
    }

    /// What lines about it stand in.
    pub fn span(&self) -> Span {
        self.span.as_deref().cloned().unwrap_or_else(Span::none)
    }

    /// What lines about one of its requests stand in.
    pub fn request(&self, request: &Request<'_>) -> Span {
        let parent = self.span.as_deref().and_then(Span::id);
        tracing::debug_span!(parent: parent, "request", cmd = &*request.cmd, seq = &*request.seq)
    }

    /// It speaks for somebody from now on.
    pub fn logged_in(
        &mut self,
        Identity { app, user }: &Identity,
        recovered: &[Recovered],
        journal: Option<&Journal>,
    ) {
        let ((number, peer), user) = (self.address(), user.as_str());
        if let Some(journal) = journal {
            let whole = recovered.iter().filter(|recovered| recovered.complete).count();
            let counts = [whole, recovered.len() - whole, 0];
            let counts = counts.map(|count| u32::try_from(count).unwrap_or(u32::MAX));
            journal.user(What::LoggedIn, (*app, user), number, counts, &[&peer.to_string()]);
        }
        if let Some(span) = &self.span {
            self.span = kept(tracing::debug_span!(parent: &**span, "session", app, user));
        }
        tracing::info!(target: CONNECTION, connection = number, %peer, app, user, "logged in");
    }

    /// It reads along in so many conversations from now on.
    pub fn observes(&self, conversations: usize) {
        let (number, peer) = self.address();
        tracing::info!(target: CONNECTION, connection = number, %peer, conversations, "observes");
    }

    /// It asked to speak for somebody and was refused.
    pub fn refused(&self, identity: Option<&Identity>, refusal: &Refusal, journal: Option<&Journal>) {
        refused(self.address(), identity, refusal, journal);
    }

    /// Its number and address.
    pub fn address(&self) -> (u64, SocketAddr) {
        (self.connection.id.number, self.connection.peer())
    }

    /// It ends, and this is whose it was.
    pub fn speaks_for(&mut self, identity: &Identity) {
        self.ended.get_or_insert_default().identity = Some(identity.clone());
    }

    /// This was taken to be written and will not be.
    pub fn drops(&mut self, dropped: Waiting) {
        self.ended.get_or_insert_default().dropped = dropped;
    }

    /// It is over at this time of the hub.
    pub fn ended(
        &self,
        now_ms: u64,
        why: &Why<'_>,
        traffic: Traffic,
        left: Waiting,
        journal: Option<&Journal>,
    ) {
        let (number, peer) = self.address();
        let identity = self.ended.as_ref().and_then(|ended| ended.identity.as_ref());
        let left = left + self.ended.as_ref().map_or_else(Waiting::default, |ended| ended.dropped);
        let detail = Some(why.detail).filter(|detail| !detail.is_empty());
        if let (Some(journal), Some(Identity { app, user })) = (journal, identity) {
            let seconds = now_ms.saturating_sub(self.opened_ms) / 1000;
            let counts = [u64::from(why.code), left.bytes as u64, seconds];
            let counts = counts.map(|count| u32::try_from(count).unwrap_or(u32::MAX));
            let gap = if detail.is_some() { ": " } else { "" };
            journal.user(What::Ended, (*app, user.as_str()), number, counts, &[why.reason, gap, why.detail]);
        }
        tracing::info!(
            target: CONNECTION,
            connection = number,
            %peer,
            app = identity.map(|identity| identity.app),
            user = identity.map(|identity| identity.user.as_str()),
            code = why.code,
            reason = why.reason,
            detail,
            seconds = now_ms.saturating_sub(self.opened_ms) as f64 / 1e3,
            bytes_in = traffic.bytes_in,
            bytes_out = traffic.bytes_out,
            frames_out = traffic.frames_out,
            queued_frames = left.frames,
            queued_bytes = left.bytes,
            "ended"
        );
    }
}

/// A log-in on the connection with this number and address was refused.
pub fn refused(
    (number, peer): (u64, SocketAddr),
    identity: Option<&Identity>,
    refusal: &Refusal,
    journal: Option<&Journal>,
) {
    if let (Some(journal), Some(Identity { app, user })) = (journal, identity) {
        let counts = [refusal.code.number().into(), 0, 0];
        let detail = [refusal.reason.as_str(), " (from ", &peer.to_string(), ")"];
        journal.user(What::LoginRefused, (*app, user.as_str()), number, counts, &detail);
    }
    tracing::info!(
        code = refusal.code.number(),
        reason = refusal.reason,
        app = identity.map(|identity| identity.app),
        user = identity.map(|identity| identity.user.as_str()),
        connection = number,
        %peer,
        "refused a log-in"
    );
}

fn kept(span: Span) -> Option<Box<Span>> {
    (!span.is_disabled()).then(|| Box::new(span))
}
