//! What people are told of a packet: how it stands, and that nothing is left of it.
//!
//! Invariant: only those it is for are told.

use bytes::Bytes;
use chat_protocol::red_packet::{DetailResponse, FINISHED_PUSH, Finished, Mode, State, Winner};
use chat_protocol::{AppId, PacketId, Refusal, Target, UserId};

use super::RedPackets;
use crate::model::{Conversation, Notice, Skip};
use crate::money::Terms;
use crate::money::packets::{self, PacketError};

impl RedPackets {
    /// Tells the conversation that nothing is left of a packet. Whoever misses it learns it from the detail.
    pub async fn tell_finished(&self, app: AppId, packet: &PacketId) {
        let told = async {
            let snapshot = self.packets.snapshot(app, packet).await?;
            let terms = snapshot.terms;
            if self.is_orphan(&terms).await? {
                // Whoever hears the topic now has nothing to do with it.
                return Ok(());
            }
            let lucky = terms.mode == Mode::Lucky && snapshot.state == State::Empty;
            let finished = Finished {
                target: terms.target.clone(),
                from: terms.sender.clone(),
                packet_id: terms.packet,
                state: snapshot.state,
                luckiest: snapshot.luckiest.filter(|_| lucky),
            };
            let data = Bytes::from(serde_json::to_vec(&finished).unwrap_or_default());
            for topic in Conversation::of(app, &terms.sender, &terms.target).topics() {
                let notice = Notice { cmd: FINISHED_PUSH.into(), data: data.clone(), skip: Skip::Nobody };
                self.bus.notify(&topic, notice).await?;
            }
            Ok::<(), Refusal>(())
        };
        if let Err(refusal) = told.await {
            tracing::debug!(reason = refusal.reason, "not told that a packet is finished");
        }
    }

    /// How a packet stands, with at most `limit` winners after the number `after`. Without a `user` an operator asks.
    ///
    /// # Errors
    /// Of the ports; [`Code::RefusedByRule`](chat_protocol::Code::RefusedByRule) for a user who does not belong to the packet's target.
    pub async fn detail(
        &self,
        app: AppId,
        packet: &PacketId,
        user: Option<&UserId>,
        after: u32,
        limit: u32,
    ) -> Result<DetailResponse, Refusal> {
        let snapshot = self.packets.snapshot(app, packet).await?;
        if let Some(user) = user {
            self.may_see(&snapshot.terms, user).await?;
        }
        // Whoever took a share since the snapshot was read comes with the next page or the next question.
        let limit_now = limit.min(snapshot.grabbed_count.saturating_sub(after));
        let winners = match limit_now {
            0 => Vec::new(),
            limit => self.packets.winners(app, packet, after, limit).await?,
        };
        let next = winners.last().map(|winner| winner.number).filter(|last| *last < snapshot.grabbed_count);
        let lucky = snapshot.terms.mode == Mode::Lucky && snapshot.state == State::Empty;
        let terms = snapshot.terms;
        let shown = |winner: packets::Winner| {
            let packets::Winner { number, user, amount, time_ms } = winner;
            Winner { number, user_id: user, amount: amount.unsigned(), time: time_ms }
        };
        Ok(DetailResponse {
            packet_id: terms.packet,
            from: terms.sender,
            target: terms.target,
            mode: terms.mode,
            greeting: terms.greeting,
            state: snapshot.state,
            total: terms.total.unsigned(),
            count: terms.count,
            grabbed: snapshot.grabbed.unsigned(),
            grabbed_count: snapshot.grabbed_count,
            refunded: snapshot.refunded.unsigned(),
            open: snapshot.open.unsigned(),
            created: terms.created_ms,
            expires: terms.expires_ms,
            luckiest: snapshot.luckiest.filter(|_| lucky),
            winners: winners.into_iter().map(shown).collect(),
            next,
        })
    }

    async fn may_see(&self, terms: &Terms, user: &UserId) -> Result<(), Refusal> {
        let may = *user == terms.sender
            || match &terms.target {
                Target::World => true,
                Target::Group(group) => {
                    let membership = self.groups.membership(terms.app, group, user).await?;
                    membership.member && terms.is_of(&membership)
                }
                Target::User(recipient) => user == recipient,
            };
        if may { Ok(()) } else { Err(PacketError::NotForYou.into()) }
    }
}
