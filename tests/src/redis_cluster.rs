//! A Redis Cluster: masters, each with a replica that takes its place.
//!
//! Invariant: all of it belongs to one test and ends with it; it is handed over when every part knows the others.

use std::time::Duration;

use redis::Value;

use crate::redis_server::{RedisServer, free_port};
use crate::wait::{pace, until};

/// Longest wait for servers to find each other, or one to be replaced.
const PATIENCE: Duration = Duration::from_secs(60);
const SLOTS: usize = 16_384;

/// Runs each law in a Redis Cluster: `cluster::…`.
#[macro_export]
macro_rules! engine_laws_in_a_cluster {
    ($($law:ident),+ $(,)?) => {
        mod cluster {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                let server = $crate::redis_cluster::RedisCluster::of_one().await;
                super::$law($crate::engine::Engine::on_redis(server)).await;
            })+
        }
    };
}

/// Masters and replicas.
pub struct RedisCluster {
    /// The masters first, as it was started.
    servers: Vec<RedisServer>,
}

async fn text(server: &RedisServer, words: &[&str]) -> String {
    redis::from_redis_value(server.command(words).await).expect("a text")
}

async fn join(more: &[&str]) -> RedisServer {
    let port = free_port().to_string();
    let own = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-port", &port];
    RedisServer::start_with(&[&own, more].concat()).await
}

impl RedisCluster {
    /// One master that has all slots.
    ///
    /// # Panics
    /// When redis-server is not installed or does not start.
    pub async fn of_one() -> RedisServer {
        let server = join(&[]).await;
        server.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await;
        until("a cluster", PATIENCE, async || is_ok(&server).await).await;
        server
    }

    /// So many masters with a replica each.
    ///
    /// # Panics
    /// When redis-server is not installed, or they do not find each other.
    pub async fn start(masters: usize) -> Self {
        let more = ["--repl-diskless-sync-delay", "0"];
        let servers = futures_util::future::join_all((0..2 * masters).map(|_| join(&more))).await;
        for (place, server) in servers.iter().enumerate() {
            server.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(place + 1).to_string()]).await;
        }
        for (place, master) in servers[..masters].iter().enumerate() {
            let (first, last) = (SLOTS * place / masters, SLOTS * (place + 1) / masters - 1);
            master.command(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]).await;
        }
        for server in &servers[1..] {
            let port = server.address().port().to_string();
            let bus = bus_port(server).await;
            servers[0].command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]).await;
        }
        let cluster = Self { servers };
        for server in &cluster.servers {
            let met = async || {
                let nodes = text(server, &["CLUSTER", "NODES"]).await;
                nodes.lines().count() == 2 * masters && !nodes.contains("handshake") && is_ok(server).await
            };
            until("all know all", PATIENCE, met).await;
        }
        for (master, replica) in cluster.servers[..masters].iter().zip(&cluster.servers[masters..]) {
            let id = text(master, &["CLUSTER", "MYID"]).await;
            replica.command(&["CLUSTER", "REPLICATE", &id]).await;
        }
        for master in &cluster.servers[..masters] {
            let follows = async || master.command(&["WAIT", "1", "100"]).await == Value::Int(1);
            until("a replica", PATIENCE, follows).await;
        }
        cluster
    }

    /// `redis-cluster://…` of two of its servers.
    #[must_use]
    pub fn url(&self) -> String {
        let (one, other) = (self.servers[0].address(), self.servers[1].address());
        format!("redis-cluster://{one},{other}")
    }

    /// Which server has the slot of a key, as those who live say.
    ///
    /// # Panics
    /// When nobody has it.
    pub async fn owner(&self, key: &str) -> usize {
        let alive = self.servers.iter().find(|server| server.pid().is_some()).expect("one that lives");
        let slot: i64 =
            redis::from_redis_value(alive.command(&["CLUSTER", "KEYSLOT", key]).await).expect("a slot");
        let Value::Array(lines) = alive.command(&["CLUSTER", "SLOTS"]).await else { panic!("no slots") };
        let owner = |line: &Value| {
            let Value::Array(parts) = line else { return None };
            let (Value::Int(first), Value::Int(last), Value::Array(master)) =
                (&parts[0], &parts[1], &parts[2])
            else {
                return None;
            };
            let is_its = (*first..=*last).contains(&slot);
            Some(master[1].clone()).filter(|_| is_its)
        };
        let port = lines.iter().find_map(owner).expect("an owner");
        self.servers
            .iter()
            .position(|server| Value::Int(server.address().port().into()) == port)
            .expect("one of these")
    }

    /// Ends the owner of a key, which stands at this place, at once (SIGKILL), and starts it again as a replica of
    /// whoever takes its place.
    ///
    /// # Panics
    /// When nobody does.
    pub async fn replace(&mut self, key: &str, owner: usize) {
        self.servers[owner].kill();
        until("another owner", PATIENCE, async || self.owner(key).await != owner).await;
        self.servers[owner].restart().await;
    }

    /// Moves the slot of a key from its owner to another master, key by key, with a rest between two.
    ///
    /// # Panics
    /// When a server refuses.
    pub async fn move_slot(&self, key: &str, to: usize, rest: Duration) {
        let from = self.owner(key).await;
        let (source, target) = (&self.servers[from], &self.servers[to]);
        let slot: u64 =
            redis::from_redis_value(source.command(&["CLUSTER", "KEYSLOT", key]).await).expect("a slot");
        let slot = slot.to_string();
        let (source_id, target_id) =
            (text(source, &["CLUSTER", "MYID"]).await, text(target, &["CLUSTER", "MYID"]).await);
        target.command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source_id]).await;
        source.command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target_id]).await;
        let port = target.address().port().to_string();
        loop {
            let keys = source.command(&["CLUSTER", "GETKEYSINSLOT", &slot, "1"]).await;
            let keys: Vec<String> = redis::from_redis_value(keys).expect("keys");
            let Some(key) = keys.first() else { break };
            source.command(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]).await;
            pace(rest).await;
        }
        target.command(&["CLUSTER", "SETSLOT", &slot, "NODE", &target_id]).await;
        source.command(&["CLUSTER", "SETSLOT", &slot, "NODE", &target_id]).await;
    }
}

async fn is_ok(server: &RedisServer) -> bool {
    text(server, &["CLUSTER", "INFO"]).await.contains("cluster_state:ok")
}

async fn bus_port(server: &RedisServer) -> String {
    let port: Vec<String> =
        redis::from_redis_value(server.command(&["CONFIG", "GET", "cluster-port"]).await).expect("a setting");
    port[1].clone()
}
