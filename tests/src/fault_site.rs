//! Nodes with money that are killed and started again, on stores that outlive them.
//!
//! Invariant: clients find the nodes that run by [`FaultSite::ways`], whatever their addresses are by now.

use chat_client::Http;
use tempfile::TempDir;

use crate::money_books::{Ways, ways};
use crate::node::Node;
use crate::postgres_server::PostgresServer;
use crate::redis_server::RedisServer;

/// Nodes that are killed and started again.
pub struct FaultSite {
    nodes: Vec<Node>,
    arguments: Vec<Vec<String>>,
    ways: Ways,
    /// The Redis of the nodes, if they are on one.
    pub redis: Option<RedisServer>,
    /// The URL of their ledger, if they share one.
    pub ledger: String,
    directory: Option<TempDir>,
}

impl FaultSite {
    /// A node alone, on a directory of its own.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn alone(more: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().to_str().expect("a path").to_owned();
        let mut site = Self::empty(None, String::new(), Some(directory));
        site.start(&[&["--data-dir", path.as_str()], more].concat()).await;
        site
    }

    /// So many nodes on a Redis of their own, which keeps what it answered, and a database of their own.
    pub async fn shared(nodes: usize, more: &[&str]) -> Self {
        let mut site = Self::stores().await;
        for _ in 0..nodes {
            site.join(more).await;
        }
        site
    }

    /// The stores of [`FaultSite::shared`] and nobody on them yet.
    pub async fn stores() -> Self {
        let (redis, postgres) = tokio::join!(RedisServer::start_with_aof(), PostgresServer::shared());
        let ledger = postgres.url(&postgres.database().await, None);
        Self::empty(Some(redis), ledger, None)
    }

    /// On these stores.
    #[must_use]
    pub fn on(redis: RedisServer, ledger: String) -> Self {
        Self::empty(Some(redis), ledger, None)
    }

    /// Nobody yet, and no Redis but what the nodes are told of; they share this ledger.
    #[must_use]
    pub fn of_ledger(ledger: &str) -> Self {
        Self::empty(None, ledger.to_owned(), None)
    }

    fn empty(redis: Option<RedisServer>, ledger: String, directory: Option<TempDir>) -> Self {
        Self { nodes: Vec::new(), arguments: Vec::new(), ways: ways(&[]), redis, ledger, directory }
    }

    /// Starts one more node on the stores.
    ///
    /// # Panics
    /// When there is no Redis, or the node does not start.
    pub async fn join(&mut self, more: &[&str]) {
        let redis = self.redis.as_ref().expect("shared stores").url();
        let ledger = self.ledger.clone();
        self.start(&[&["--redis", redis.as_str(), "--ledger", ledger.as_str()], more].concat()).await;
    }

    /// Starts one more node with just these arguments.
    pub async fn start(&mut self, arguments: &[&str]) {
        self.nodes.push(Node::start(arguments).await);
        self.arguments.push(arguments.iter().map(|argument| (*argument).to_owned()).collect());
        self.renew();
    }

    fn renew(&self) {
        let nodes = self.nodes.iter().zip(&self.arguments);
        let open = nodes.filter(|(_, arguments)| !arguments.iter().any(|argument| argument == "settler"));
        *self.ways.lock() = open.map(|(node, _)| node.http()).collect();
    }

    /// The ways to all nodes that take clients, also to those that were killed.
    #[must_use]
    pub fn ways(&self) -> Ways {
        self.ways.clone()
    }

    /// A node, by the order of their start.
    #[must_use]
    pub fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    /// A client of a node.
    #[must_use]
    pub fn http(&self, index: usize) -> Http {
        self.nodes[index].http()
    }

    /// Ends a node at once (SIGKILL).
    pub fn kill(&mut self, index: usize) {
        self.nodes[index].kill();
    }

    /// Ends a node at once, if it runs, and starts it again with the same arguments.
    pub async fn restart(&mut self, index: usize) {
        self.kill(index);
        let arguments: Vec<_> = self.arguments[index].iter().map(String::as_str).collect();
        self.nodes[index] = Node::start(&arguments).await;
        self.renew();
    }

    /// Ends a node at once and starts it without some of its arguments.
    pub async fn restart_without(&mut self, index: usize, gone: &[&str]) {
        self.arguments[index].retain(|argument| !gone.contains(&argument.as_str()));
        self.restart(index).await;
    }

    /// The Redis of the nodes.
    ///
    /// # Panics
    /// When they are on none.
    pub fn redis(&mut self) -> &mut RedisServer {
        self.redis.as_mut().expect("shared stores")
    }

    /// A connection to the Redis of the nodes.
    ///
    /// # Panics
    /// When there is none.
    pub async fn redis_client(&self) -> redis::aio::MultiplexedConnection {
        let url = self.redis.as_ref().expect("shared stores").url();
        let client = redis::Client::open(url).expect("a URL");
        client.get_multiplexed_async_connection().await.expect("connected")
    }

    /// Runs SQL on the ledger of nodes that share the test process's PostgreSQL.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn sql(&self, statements: &str) {
        let database = self.ledger.rsplit_once('/').expect("a database").1;
        let client = PostgresServer::shared().await.client(database).await.expect("a connection");
        client.batch_execute(statements).await.unwrap_or_else(|error| panic!("{statements}: {error:?}"));
    }

    /// The SQLite file of this name of a node alone.
    ///
    /// # Panics
    /// When the nodes share their stores.
    #[must_use]
    pub fn file(&self, name: &str) -> std::path::PathBuf {
        self.directory.as_ref().expect("a node alone").path().join(name)
    }
}
