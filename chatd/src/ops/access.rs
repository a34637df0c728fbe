//! Operations on who may be here: kick, ban, unban, bans.
//!
//! Invariant: whoever is banned is sent away after the ban is stored, so that no log-in slips through between.

use std::sync::Arc;

use chat_protocol::access::{
    Ban, BanRequest, Banned, Bans, BansRequest, BansResponse, Kick, KickRequest, KickResponse, MAX_BANS_PAGE,
    Unban, UnbanRequest, UnbanResponse,
};
use chat_protocol::{AppId, Refusal, UserId};
use futures_util::FutureExt;

use super::Table;
use crate::bans::{self, sending_away};
use crate::broker::Bus;
use crate::clock::Clock;
use crate::model::{Notice, Topic};
use crate::presence::Presence;

/// What the operations need.
pub struct Access {
    bans: Arc<dyn bans::Bans>,
    bus: Arc<dyn Bus>,
    presence: Arc<dyn Presence>,
    clock: Arc<dyn Clock>,
}

impl Access {
    /// Operations on these services.
    #[must_use]
    pub fn new(
        bans: Arc<dyn bans::Bans>,
        bus: Arc<dyn Bus>,
        presence: Arc<dyn Presence>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { bans, bus, presence, clock }
    }

    async fn kick(&self, request: KickRequest) -> Result<KickResponse, Refusal> {
        let KickRequest { app_id, user_id, reason } = request;
        let online = self.presence.is_online(app_id, &user_id).await?;
        self.send_away(app_id, &user_id, sending_away(reason.as_deref().unwrap_or_default())).await?;
        tracing::info!(app = app_id, user = user_id.as_str(), reason, "kicked");
        Ok(KickResponse { user_id, online })
    }

    async fn ban(&self, request: BanRequest) -> Result<Banned, Refusal> {
        let BanRequest { app_id, user_id, seconds, reason } = request;
        let since = self.clock.now_ms();
        let until = since + u64::from(seconds) * 1000;
        let ban = bans::Ban { until, since, reason: reason.clone().unwrap_or_default() };
        self.bans.ban(app_id, &user_id, &ban).await?;
        self.send_away(app_id, &user_id, sending_away(&ban.close().reason)).await?;
        tracing::info!(app = app_id, user = user_id.as_str(), seconds, reason, "banned");
        Ok(Banned { user_id, until, since, reason })
    }

    async fn unban(&self, request: UnbanRequest) -> Result<UnbanResponse, Refusal> {
        let UnbanRequest { app_id, user_id } = request;
        let changed = self.bans.unban(app_id, &user_id).await?;
        tracing::info!(app = app_id, user = user_id.as_str(), changed, "unbanned");
        Ok(UnbanResponse { user_id, changed })
    }

    async fn bans(&self, request: BansRequest) -> Result<BansResponse, Refusal> {
        let limit = request.limit.unwrap_or(MAX_BANS_PAGE) as usize;
        let page = self.bans.list(request.app_id, request.cursor.as_ref(), limit).await?;
        let banned = |(user_id, ban): (UserId, bans::Ban)| {
            let bans::Ban { until, since, reason } = ban;
            Banned { user_id, until, since, reason: Some(reason).filter(|reason| !reason.is_empty()) }
        };
        Ok(BansResponse { bans: page.bans.into_iter().map(banned).collect(), cursor: page.more })
    }

    /// Every node that holds a connection of the user hears this.
    async fn send_away(&self, app: AppId, user: &UserId, notice: Notice) -> Result<(), Refusal> {
        Ok(self.bus.notify(&Topic::Inbox(app, user.clone()), notice).await?)
    }
}

/// Puts the operations into the table.
pub fn bind(table: &mut Table, access: &Arc<Access>) {
    table.bind::<Kick, _>(access, |access, _, request| access.kick(request).boxed());
    table.bind::<Ban, _>(access, |access, _, request| access.ban(request).boxed());
    table.bind::<Unban, _>(access, |access, _, request| access.unban(request).boxed());
    table.bind::<Bans, _>(access, |access, _, request| access.bans(request).boxed());
}
