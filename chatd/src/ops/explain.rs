//! The operation that tells why: explain.

use std::sync::Arc;

use chat_protocol::explain::{Explain, ExplainRequest, ExplainResponse};
use chat_protocol::operation::{Rights, Scope};
use chat_protocol::{Code, Refusal};
use futures_util::FutureExt;

use super::Table;
use super::red_packet::present;
use super::system::check_node;
use crate::auth::Caller;
use crate::explain::{Explainer, MAX_EVENTS, Told};
use crate::model::Identity;
use crate::money::Money;

/// What the operation needs.
pub struct ExplainOps {
    explainer: Explainer,
    /// None without a ledger.
    money: Option<Arc<Money>>,
}

impl ExplainOps {
    /// Asks this one, and this money.
    #[must_use]
    pub fn new(explainer: Explainer, money: Option<Arc<Money>>) -> Self {
        Self { explainer, money }
    }

    async fn explain(&self, caller: Caller, request: ExplainRequest) -> Result<ExplainResponse, Refusal> {
        let ExplainRequest { app_id, user_id, target, offset, msg_id, packet_id, node } = request;
        let explainer = &self.explainer;
        check_node(explainer.node_id(), node.as_deref())?;
        let is_placed = offset.is_some() || msg_id.is_some();
        let told = match (user_id, target, packet_id) {
            (None, None, Some(packet)) => {
                caller.may(Rights::Operator(Scope::Money))?;
                explainer.packet(present(self.money.as_ref())?, app_id, &packet).await?
            }
            (user, Some(target), _) if is_placed => {
                explainer.message(app_id, user.as_ref(), &target, offset, msg_id.as_ref()).await?
            }
            (_, Some(_), _) => {
                return Err(Refusal::parameter("offset", "missing: which message, by offset or msgId"));
            }
            (Some(user), None, _) if !is_placed => explainer.user(&Identity { app: app_id, user }).await?,
            _ => {
                let reason = "give userId, target with offset or msgId, or packetId";
                return Err(Refusal::new(Code::BadParameter, reason));
            }
        };
        let Told { mut events, now, mut next, since } = told;
        events.sort_by_key(|event| event.time);
        events.drain(..events.len().saturating_sub(MAX_EVENTS));
        next.dedup();
        let next = next.into_iter().map(str::to_owned).collect();
        Ok(ExplainResponse { node_id: explainer.node_id().to_owned(), events, now, next, since })
    }
}

/// Puts the operation into the table.
pub fn bind(table: &mut Table, ops: &Arc<ExplainOps>) {
    table.bind::<Explain, _>(ops, |ops, caller, request| ops.explain(caller, request).boxed());
}
