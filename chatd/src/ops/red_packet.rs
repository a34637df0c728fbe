//! Operations on red packets: checks the parameters; [`crate::money`] does the rest.

use std::sync::Arc;

use chat_protocol::red_packet::{
    Audit, AuditRequest, AuditResponse, Create, CreateRequest, CreateResponse, DEFAULT_PACKETS_PAGE,
    DEFAULT_WINNERS_PAGE, DeadLetter, DeadLetters, DeadLettersRequest, DeadLettersResponse, Detail,
    DetailRequest, DetailResponse, Discard, DiscardRequest, DiscardResponse, Grab, GrabRequest, GrabResponse,
    List, ListRequest, ListResponse, MAX_TOTAL, Replay, ReplayRequest, ReplayResponse,
};
use chat_protocol::wallet::NO_LEDGER;
use chat_protocol::{Code, Refusal};
use futures_util::FutureExt;

use super::Table;
use crate::model::Identity;
use crate::money::audit::Ask;
use crate::money::red_packet::Offer;
use crate::money::settlement::{Dead, Settlement, giving_up};
use crate::money::{Cents, Money};

/// Dead letters in one list when no limit is given.
const DEFAULT_DEAD_LETTERS: u32 = 100;

/// What the operations need; nothing without a ledger.
pub struct RedPacketOps {
    money: Option<Arc<Money>>,
}

/// The money, or why there is none.
pub(super) fn present(money: Option<&Arc<Money>>) -> Result<&Arc<Money>, Refusal> {
    money.ok_or_else(|| Refusal::new(Code::StoreUnreachable, NO_LEDGER))
}

/// An amount that a request names.
pub(super) fn cents(parameter: &str, amount: u64) -> Result<Cents, Refusal> {
    Cents::try_from(amount).map_err(|error| Refusal::parameter(parameter, error))
}

impl RedPacketOps {
    /// Operations on this money.
    #[must_use]
    pub fn new(money: Option<Arc<Money>>) -> Self {
        Self { money }
    }

    fn money(&self) -> Result<&Arc<Money>, Refusal> {
        present(self.money.as_ref())
    }

    async fn create(&self, request: CreateRequest) -> Result<CreateResponse, Refusal> {
        let (total, count) = (request.total, request.count);
        if !(u64::from(count)..=MAX_TOTAL).contains(&total) {
            return Err(Refusal::parameter(
                "total",
                format_args!("must be {count} (one cent a share) to {MAX_TOTAL}"),
            ));
        }
        let greeting = request.greeting.unwrap_or_default();
        let mode = request.mode.unwrap_or_default();
        let sender = Identity { app: request.app_id, user: request.user_id };
        let (target, msg_id) = (request.target, request.msg_id);
        let total = cents("total", total)?;
        let offer = Offer { sender, target, total, count, mode, greeting, msg_id };
        let offered = self.money()?.red_packets.create(offer).await?;
        let (terms, receipt) = (offered.terms, offered.sent.receipt);
        Ok(CreateResponse {
            packet_id: terms.packet,
            expires: terms.expires_ms,
            msg_id: terms.msg_id,
            offset: receipt.offset,
            epoch: receipt.epoch.to_string(),
            time: receipt.time,
            duplicate: offered.duplicate,
        })
    }

    async fn grab(&self, request: GrabRequest) -> Result<GrabResponse, Refusal> {
        let GrabRequest { app_id, user_id, packet_id } = request;
        self.money()?.red_packets.grab(app_id, &packet_id, &user_id).await
    }

    async fn detail(&self, request: DetailRequest) -> Result<DetailResponse, Refusal> {
        let limit = request.limit.unwrap_or(DEFAULT_WINNERS_PAGE);
        let (user, after) = (request.user_id.as_ref(), request.after.unwrap_or(0));
        self.money()?.red_packets.detail(request.app_id, &request.packet_id, user, after, limit).await
    }

    async fn audit(&self, request: AuditRequest) -> Result<AuditResponse, Refusal> {
        let AuditRequest { app_id, packet_id, since, cursor, limit } = request;
        let auditor = &self.money()?.auditor;
        match packet_id {
            Some(packet) => auditor.packet(app_id, &packet).await,
            None => auditor.page(app_id, &Ask { since_ms: since.unwrap_or_default(), cursor, limit }).await,
        }
    }

    async fn list(&self, request: ListRequest) -> Result<ListResponse, Refusal> {
        let limit = request.limit.unwrap_or(DEFAULT_PACKETS_PAGE);
        let before = request.cursor.as_deref().map(str::parse).transpose();
        self.money()?.register.list(request.app_id, request.state, before?, limit).await
    }

    async fn dead_letters(&self, request: DeadLettersRequest) -> Result<DeadLettersResponse, Refusal> {
        let limit = request.limit.unwrap_or(DEFAULT_DEAD_LETTERS) as usize;
        let mut dead_letters = Vec::new();
        for queue in &self.money()?.queues {
            let left = limit - dead_letters.len();
            if left > 0 {
                dead_letters.extend(queue.dead(request.app_id, left).await?.into_iter().map(shown));
            }
        }
        Ok(DeadLettersResponse { dead_letters })
    }

    async fn replay(&self, request: ReplayRequest) -> Result<ReplayResponse, Refusal> {
        let (money, app, id) = (self.money()?, request.app_id, request.id.as_deref());
        let mut replayed = 0;
        match &request.packet_id {
            Some(packet) => {
                let applied = money.sweeper.mend(app, packet).await?;
                if applied.refused > 0 {
                    let reason = format!(
                        "the ledger refuses {} payments of this packet; its audit and the log say why",
                        applied.refused
                    );
                    return Err(Refusal::new(Code::RefusedByRule, reason));
                }
                replayed += applied.now;
            }
            None => {
                for queue in &money.queues {
                    replayed += queue.replay(app, id).await?;
                }
            }
        }
        match (replayed, id) {
            (0, Some(_)) => Err(Refusal::new(Code::NotFound, "no such dead letter")),
            _ => Ok(ReplayResponse { replayed }),
        }
    }

    async fn discard(&self, request: DiscardRequest) -> Result<DiscardResponse, Refusal> {
        let (money, DiscardRequest { app_id, id, reason }) = (self.money()?, request);
        match giving_up::discard(&money.queues, &*money.archive, app_id, &id, &reason).await? {
            0 => Err(Refusal::new(Code::NotFound, "no such dead letter")),
            discarded => Ok(DiscardResponse { discarded }),
        }
    }
}

fn shown(dead: Dead) -> DeadLetter {
    let settlement: Option<Settlement> = serde_json::from_slice(&dead.body).ok();
    DeadLetter {
        id: dead.id,
        reason: dead.reason,
        transfer_id: settlement.as_ref().map(Settlement::transfer_id),
        packet_id: settlement.as_ref().map(|settlement| settlement.packet.clone()),
        amount: settlement.as_ref().map(|settlement| settlement.amount.unsigned()),
        user_id: settlement.map(|settlement| settlement.user),
    }
}

/// Puts the operations into the table.
pub fn bind(table: &mut Table, ops: &Arc<RedPacketOps>) {
    table.bind::<Create, _>(ops, |ops, _, request| ops.create(request).boxed());
    table.bind::<Grab, _>(ops, |ops, _, request| ops.grab(request).boxed());
    table.bind::<Detail, _>(ops, |ops, _, request| ops.detail(request).boxed());
    table.bind::<List, _>(ops, |ops, _, request| ops.list(request).boxed());
    table.bind::<Audit, _>(ops, |ops, _, request| ops.audit(request).boxed());
    table.bind::<DeadLetters, _>(ops, |ops, _, request| ops.dead_letters(request).boxed());
    table.bind::<Discard, _>(ops, |ops, _, request| ops.discard(request).boxed());
    table.bind::<Replay, _>(ops, |ops, _, request| ops.replay(request).boxed());
}
