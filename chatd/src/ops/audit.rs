//! The operation that shows what operators did: audit.

use std::sync::Arc;

use chat_protocol::audit::{Audit, AuditRequest, AuditResponse, DEFAULT_RECORDS_PAGE, NO_LOG};
use chat_protocol::{Code, Refusal};
use futures_util::FutureExt;

use super::Table;
use super::system::check_node;
use crate::audit::{self, Wanted};

/// What the operation needs.
pub struct AuditOps {
    node_id: String,
    log: Option<Arc<audit::Audit>>,
}

impl AuditOps {
    /// Of the node with this name, and its log if it keeps one.
    #[must_use]
    pub fn new(node_id: String, log: Option<Arc<audit::Audit>>) -> Self {
        Self { node_id, log }
    }

    /// What operators do is recorded there; nowhere if it is not.
    #[must_use]
    pub fn log(&self) -> Option<Arc<audit::Audit>> {
        self.log.clone()
    }

    async fn audit(&self, request: AuditRequest) -> Result<AuditResponse, Refusal> {
        let AuditRequest { since, who, operation, node, limit, cursor } = request;
        let cursor = cursor.as_deref().map(str::parse).transpose()?;
        check_node(&self.node_id, node.as_deref())?;
        let log = self.log().ok_or_else(|| Refusal::new(Code::NotFound, NO_LOG))?;
        let limit = limit.unwrap_or(DEFAULT_RECORDS_PAGE) as usize;
        let wanted = Wanted { since: since.unwrap_or_default(), who, operation };
        let read = tokio::task::spawn_blocking(move || log.read(&wanted, limit, cursor)).await;
        let page = read.map_err(std::io::Error::other).flatten().map_err(|error| {
            tracing::error!(%error, "the audit log cannot be read");
            Refusal::from(Code::ServerError)
        })?;
        let cursor = page.more.map(|place| place.to_string());
        Ok(AuditResponse { node_id: self.node_id.clone(), records: page.records, cursor })
    }
}

/// Puts the operation into the table.
pub fn bind(table: &mut Table, ops: &Arc<AuditOps>) {
    table.bind::<Audit, _>(ops, |ops, _, request| ops.audit(request).boxed());
}
