//! One node alone, or two that share a Redis: what users see must be the same.
//!
//! Invariant: a site is one world; [`Site::first`] and [`Site::last`] are different nodes where there are two.

use chat_client::Server;

use crate::node::Node;
use crate::redis_server::RedisServer;

/// Messages may carry any address, as the documents of old show some.
pub const ANY_MEDIA: [&str; 2] = ["--media-origins", "*"];

/// Nodes of one world.
pub struct Site {
    nodes: Vec<Node>,
    /// Ends after the nodes that use it.
    _redis: Option<RedisServer>,
}

impl Site {
    /// A node alone, in memory.
    pub async fn embedded() -> Self {
        Self::embedded_with(&[]).await
    }

    /// The same with further arguments.
    pub async fn embedded_with(arguments: &[&str]) -> Self {
        let arguments = [&ANY_MEDIA[..], arguments].concat();
        Self { nodes: vec![Node::ephemeral(&arguments).await], _redis: None }
    }

    /// Two nodes on a Redis of their own.
    pub async fn redis() -> Self {
        Self::redis_with(&[]).await
    }

    /// The same with further arguments.
    pub async fn redis_with(arguments: &[&str]) -> Self {
        let redis = RedisServer::start().await;
        let url = redis.url();
        let arguments = [&["--redis", url.as_str()], &ANY_MEDIA[..], arguments].concat();
        let (first, last) = tokio::join!(Node::start(&arguments), Node::start(&arguments));
        Self { nodes: vec![first, last], _redis: Some(redis) }
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

    /// Address of the first node.
    #[must_use]
    pub fn server(&self) -> &Server {
        self.first().server()
    }
}

/// Makes of each `async fn(Site)` one test as `embedded::…` and one as `redis::…`.
#[macro_export]
macro_rules! on_every_engine {
    ($($test:ident),+ $(,)?) => {
        mod embedded {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::site::Site::embedded().await).await;
            })+
        }
        mod redis {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::site::Site::redis().await).await;
            })+
        }
    };
}
