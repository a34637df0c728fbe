//! Asks all nodes again and again, and tells what they said.
//!
//! Invariant: one look at a time, at most so many nodes asked at once; whoever does not answer in time is told as
//! silent, and when the node that was named goes away, another of those known is asked who is there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chat_client::{Error, Http};
use chat_protocol::explain::{Explain, ExplainRequest, ExplainResponse};
use chat_protocol::message::{History, HistoryRequest, HistoryResponse};
use chat_protocol::node::{
    Connections, ConnectionsRequest, ConnectionsResponse, MAX_CONNECTIONS_PAGE, Node, Nodes, NodesRequest,
};
use chat_protocol::{AppId, Target, UserId};
use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::{Notify, mpsc, watch};

use super::samples::Samples;
use crate::command::explain;

/// Nodes asked at a time.
const AT_ONCE: usize = 32;
/// Bytes of a node's metrics at most.
const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;
/// Messages of a conversation that are shown.
const LAST_MESSAGES: u32 = 50;

/// What is looked at besides the nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Subject {
    /// Nothing.
    #[default]
    Nodes,
    /// Who is connected to the node of this name.
    Node(String),
    /// A user.
    User(AppId, UserId),
    /// A conversation; one between two users as the second one sees it.
    Conversation(AppId, Target, Option<UserId>),
}

/// What was found out about a [`Subject`].
#[derive(Debug)]
pub enum Detail {
    /// Connections of a node.
    Connections(ConnectionsResponse),
    /// What happened to a user.
    User(Box<ExplainResponse>),
    /// The newest messages of a conversation.
    Conversation(HistoryResponse),
    /// Why there is nothing.
    Failed(String),
}

/// What one node said.
#[derive(Debug, Clone)]
pub struct Told {
    /// What it is.
    pub node: Node,
    /// Its metrics, or why there are none.
    pub samples: Result<Arc<Samples>, String>,
    /// When they came.
    pub at: Instant,
}

/// One look at everything.
#[derive(Debug)]
pub struct Look {
    /// The live nodes by name; or why nobody says which there are.
    pub nodes: Result<Vec<Told>, String>,
    /// What was looked at, and what came of it.
    pub detail: Option<(Subject, Detail)>,
}

/// Asks.
pub struct Gatherer {
    first: Http,
    timeout: Duration,
    clients: HashMap<String, Http>,
    /// Addresses of nodes that were there once.
    known: Vec<String>,
}

impl Gatherer {
    /// Asks the server of this client who is there.
    #[must_use]
    pub fn new(first: Http, timeout: Duration) -> Self {
        Self { first, timeout, clients: HashMap::new(), known: Vec::new() }
    }

    /// Looks every so often, and at once when told to; ends when nobody listens.
    pub async fn run(
        mut self,
        every: Duration,
        mut subject: watch::Receiver<Subject>,
        again: Arc<Notify>,
        looks: mpsc::Sender<Look>,
    ) {
        loop {
            let about = subject.borrow_and_update().clone();
            let look = self.look(&about).await;
            if looks.send(look).await.is_err() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = again.notified() => {}
                changed = subject.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Asks every node once.
    pub async fn look(&mut self, about: &Subject) -> Look {
        let nodes = match self.nodes().await {
            Ok(nodes) => nodes,
            Err(error) => return Look { nodes: Err(error.to_string()), detail: None },
        };
        self.clients.retain(|id, _| nodes.iter().any(|node| node.node_id == *id));
        self.known = nodes.iter().map(|node| node.address.clone()).collect();
        let asked: Vec<_> = nodes.into_iter().map(|node| (self.client(&node), node)).collect();
        let told = stream::iter(asked).map(|(client, node)| ask(client, node)).buffered(AT_ONCE).collect();
        let told: Vec<Told> = told.await;
        let detail = match about {
            Subject::Nodes => None,
            about => Some((about.clone(), self.detail(about).await)),
        };
        Look { nodes: Ok(told), detail }
    }

    /// Who is there, by the first that says so.
    async fn nodes(&mut self) -> Result<Vec<Node>, Error> {
        let failed = match self.first.call::<Nodes>(&NodesRequest {}).await {
            Ok(answer) => return Ok(answer.nodes),
            // Whoever says no says it everywhere.
            Err(refused @ Error::Refused { .. }) => return Err(refused),
            Err(failed) => failed,
        };
        for address in self.known.clone() {
            let Ok(other) = self.first.server().elsewhere(&address) else { continue };
            let Ok(other) = Http::new(other, self.timeout) else { continue };
            if let Ok(answer) = other.call::<Nodes>(&NodesRequest {}).await {
                self.first = other;
                return Ok(answer.nodes);
            }
        }
        Err(failed)
    }

    fn client(&mut self, node: &Node) -> Result<Http, Error> {
        if let Some(client) = self.clients.get(&node.node_id) {
            return Ok(client.clone());
        }
        let client = Http::new(self.first.server().elsewhere(&node.address)?, self.timeout)?;
        self.clients.insert(node.node_id.clone(), client.clone());
        Ok(client)
    }

    async fn detail(&self, about: &Subject) -> Detail {
        let found = match about {
            Subject::Nodes => return Detail::Failed(String::new()),
            Subject::Node(id) => self.connections(id).await.map(Detail::Connections),
            Subject::User(app, user) => self.user(*app, user).await.map(|told| Detail::User(Box::new(told))),
            Subject::Conversation(app, target, side) => {
                let request = HistoryRequest {
                    app_id: *app,
                    user_id: side.clone(),
                    target: target.clone(),
                    before: None,
                    after: None,
                    limit: Some(LAST_MESSAGES),
                };
                self.first.call::<History>(&request).await.map(Detail::Conversation)
            }
        };
        found.unwrap_or_else(|error| Detail::Failed(error.to_string()))
    }

    async fn connections(&self, id: &str) -> Result<ConnectionsResponse, Error> {
        let request = ConnectionsRequest {
            limit: Some(MAX_CONNECTIONS_PAGE),
            node: Some(id.to_owned()),
            ..ConnectionsRequest::default()
        };
        self.clients.get(id).unwrap_or(&self.first).call::<Connections>(&request).await
    }

    async fn user(&self, app: AppId, user: &UserId) -> Result<ExplainResponse, Error> {
        let request = explain::about_user(app, user.clone());
        let first = self.first.call::<Explain>(&request).await?;
        let mut others = Vec::new();
        for (id, client) in self.clients.iter().filter(|(id, _)| **id != first.node_id) {
            let request = ExplainRequest { node: Some(id.clone()), ..request.clone() };
            // The line of a node that says nothing says so already.
            others.extend(client.call::<Explain>(&request).await.ok());
        }
        Ok(explain::merged(first, others))
    }
}

async fn ask(client: Result<Http, Error>, node: Node) -> Told {
    let scraped = async {
        let (status, text) = client?.get_at_most("/metrics", MAX_PAGE_BYTES).await?;
        Ok::<_, Error>((status, text))
    };
    let samples = match scraped.await {
        Ok((200, text)) => Ok(Arc::new(Samples::read(&text))),
        Ok((status, _)) => Err(format!("HTTP status {status}")),
        Err(error) => Err(error.to_string()),
    };
    Told { node, samples, at: Instant::now() }
}
