//! How fast a connection asks, and its user over all of theirs here.
//!
//! Invariant: without a limit nothing is kept and one thing is compared. What is refused is answered, and nothing of it is
//! done. Operators who log in with their key have no limit as users.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chat_protocol::Refusal;
use chat_protocol::session::{HEARTBEAT, PING};

use super::Session;
use crate::journal::What;
use crate::membership::subscriptions::Membership;
use crate::quota::{Bucket, Device, User};

/// What a connection has asked for of late.
#[derive(Default)]
pub(super) struct Pace {
    requests: Bucket,
    user: Option<Arc<User>>,
    /// It as one of the user's.
    device: Option<Device>,
    /// When it was last noted that it asks too fast.
    noted: Option<Instant>,
}

/// One that asks too fast is noted once in so long.
const NOTED_EVERY: Duration = Duration::from_secs(10);

impl Session {
    /// Whether a request with this command, or one that cannot be read, is not one too many.
    pub(super) fn check_pace(&mut self, cmd: Option<&str>, now: Instant) -> Result<(), Refusal> {
        match self.shared.quotas.paces_sessions() {
            true => self.take(cmd, now).inspect_err(|refusal| self.note_pace(refusal, now)),
            false => Ok(()),
        }
    }

    /// Notes that it asks too fast.
    fn note_pace(&mut self, refusal: &Refusal, now: Instant) {
        let identity = self.membership.as_ref().map(Membership::identity);
        let (Some(journal), Some(identity)) = (self.shared.hub.journal(), identity) else { return };
        let noted = &mut self.seldom.get_or_insert_default().pace.noted;
        if noted.is_none_or(|noted| now.saturating_duration_since(noted) >= NOTED_EVERY) {
            *noted = Some(now);
            let (app, user) = (identity.app, identity.user.as_str());
            let counts = [refusal.code.number().into(), 0, 0];
            journal.user(What::Limited, (app, user), self.connection.id.number, counts, &[&refusal.reason]);
        }
    }

    /// It counts as a connection of its user from now on.
    pub(super) fn counts(&mut self, device: Device) {
        self.seldom.get_or_insert_default().pace.device = Some(device);
    }

    /// It is no connection of its user any more.
    pub(super) fn counts_no_more(&mut self) {
        if let Some(seldom) = &mut self.seldom {
            seldom.pace.device = None;
        }
    }

    fn take(&mut self, cmd: Option<&str>, now: Instant) -> Result<(), Refusal> {
        let (quotas, pace) = (&*self.shared.quotas, &mut self.seldom.get_or_insert_default().pace);
        quotas.connection_asks(&pace.requests, now)?;
        let is_of_user = cmd.is_some_and(|cmd| ![HEARTBEAT, PING].contains(&cmd));
        let is_limited = self.scopes.is_none() || self.shared.auth.is_open();
        let Some(identity) = self.membership.as_ref().map(Membership::identity) else { return Ok(()) };
        if !(quotas.paces_users() && is_of_user && is_limited) {
            return Ok(());
        }
        let user = pace.user.get_or_insert_with(|| quotas.user(identity, now));
        quotas.user_asks(user, now)
    }
}
