//! Nodes with a ledger: one alone, or two that share Redis and PostgreSQL, optionally with RabbitMQ between.
//!
//! Invariant: a site is one world with one ledger; nothing of it is shared with another test.

use chat_client::{Error, Http};
use chat_protocol::red_packet::{Audit, AuditRequest, AuditResponse};
use chat_protocol::wallet::{Balance, BalanceRequest, Deposit, MovementRequest};
use chat_protocol::{AppId, TransferId, UserId};

use crate::node::Node;
use crate::postgres_server::PostgresServer;
use crate::redis_server::RedisServer;
use crate::wait::{SOON, until};

/// Nodes of one world with one ledger.
pub struct MoneySite {
    nodes: Vec<Node>,
    stores: Option<(RedisServer, String)>,
}

impl MoneySite {
    /// A node alone, in memory.
    pub async fn embedded() -> Self {
        Self { nodes: vec![Node::ephemeral(&[]).await], stores: None }
    }

    /// Two nodes on a Redis and a PostgreSQL database of their own.
    pub async fn shared() -> Self {
        let (redis, postgres) = tokio::join!(RedisServer::start(), PostgresServer::shared());
        let ledger = postgres.url(&postgres.database().await, None);
        let nodes = Self::nodes(&redis, &ledger, &[]).await;
        Self { nodes, stores: Some((redis, ledger)) }
    }

    /// The same stores, with nodes that have further arguments.
    ///
    /// # Panics
    /// When a node does not start.
    #[must_use]
    pub async fn with(mut self, arguments: &[&str]) -> Self {
        self.nodes.clear();
        self.nodes = match &self.stores {
            None => vec![Node::ephemeral(arguments).await],
            Some((redis, ledger)) => Self::nodes(redis, ledger, arguments).await,
        };
        self
    }

    async fn nodes(redis: &RedisServer, ledger: &str, more: &[&str]) -> Vec<Node> {
        let url = redis.url();
        let arguments = [&["--redis", url.as_str(), "--ledger", ledger], more].concat();
        let (first, last) = tokio::join!(Node::start(&arguments), Node::start(&arguments));
        vec![first, last]
    }

    /// A node.
    #[must_use]
    pub fn first(&self) -> &Node {
        &self.nodes[0]
    }

    /// The other node, where there is one.
    #[must_use]
    pub fn last(&self) -> &Node {
        &self.nodes[self.nodes.len() - 1]
    }
}

/// Puts money into a wallet.
///
/// # Panics
/// When it is refused.
pub async fn deposit(http: &Http, app: AppId, user: &str, amount: u64) {
    let transfer_id = TransferId::new(&format!("{:032x}", rand::random::<u128>())).expect("a valid id");
    let request = MovementRequest { app_id: app, user_id: name(user), amount, transfer_id };
    http.call::<Deposit>(&request).await.expect("a deposit");
}

/// What a wallet holds.
///
/// # Panics
/// When it cannot be asked.
pub async fn balance(http: &Http, app: AppId, user: &str) -> u64 {
    let request = BalanceRequest { app_id: app, user_id: name(user) };
    http.call::<Balance>(&request).await.expect("a balance").balance
}

/// What the audit of an app says.
///
/// # Panics
/// When it cannot be asked.
pub async fn audit(http: &Http, app: AppId) -> AuditResponse {
    audit_pages(http, app, None).await.expect("an audit")
}

/// What the audit of an app says, in pages of at most `limit`.
///
/// # Errors
/// Why a page was not to be had.
pub async fn audit_pages(http: &Http, app: AppId, limit: Option<u32>) -> Result<AuditResponse, Error> {
    let mut request = AuditRequest { limit, ..AuditRequest::all(app) };
    let mut found = http.call::<Audit>(&request).await?;
    while let Some(cursor) = found.cursor.take() {
        request.cursor = Some(cursor);
        found.add(http.call::<Audit>(&request).await?);
    }
    Ok(found)
}

/// The audit of an app, which holds.
///
/// # Panics
/// When it does not.
pub async fn audited(http: &Http, app: AppId) -> AuditResponse {
    let audit = audit(http, app).await;
    assert!(audit.holds, "{audit:#?}");
    audit
}

/// Waits until everything won and everything that goes back is in the ledger.
///
/// # Panics
/// When it is not soon.
pub async fn settled(http: &Http, app: AppId) {
    until("all is settled", SOON, async || {
        audit_pages(http, app, None).await.is_ok_and(|audit| audit.unsettled == 0)
    })
    .await;
}

fn name(user: &str) -> UserId {
    UserId::new(user).expect("a valid user id")
}

/// Makes of each `async fn(MoneySite)` one test as `embedded::…` and one as `shared::…`.
#[macro_export]
macro_rules! with_money {
    ($($test:ident),+ $(,)?) => {
        mod embedded {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::money_site::MoneySite::embedded().await).await;
            })+
        }
        mod shared {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::money_site::MoneySite::shared().await).await;
            })+
        }
    };
}
