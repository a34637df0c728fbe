//! Waits until enough replicas have what was written over a connection.
//!
//! Invariant: a write counts as being in the replicas after a WAIT that began when Redis had answered it. One WAIT at a
//! time: all that are answered while it waits share the next one.

use std::sync::Arc;

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use tokio::sync::oneshot;

/// Longest wait for replicas: no other command passes the connection meanwhile.
const PATIENCE_MS: u32 = 500;

/// Of one connection.
pub(super) struct Replicas {
    /// How many are enough.
    enough: u32,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    writers: Vec<oneshot::Sender<bool>>,
    is_served: bool,
}

impl Replicas {
    /// None when nobody is to be waited for.
    pub(super) fn new(enough: u32) -> Option<Arc<Self>> {
        (enough > 0).then(|| Arc::new(Self { enough, waiting: Mutex::default() }))
    }

    /// Whether what was answered over the connection until now is in enough of them.
    pub(super) async fn have_it(self: &Arc<Self>, connection: &MultiplexedConnection) -> bool {
        let (writer, reached) = oneshot::channel();
        let is_served = {
            let mut waiting = self.waiting.lock();
            waiting.writers.push(writer);
            std::mem::replace(&mut waiting.is_served, true)
        };
        if !is_served {
            tokio::spawn(self.clone().serve(connection.clone()));
        }
        reached.await.unwrap_or(false)
    }

    async fn serve(self: Arc<Self>, mut connection: MultiplexedConnection) {
        loop {
            let writers = {
                let mut waiting = self.waiting.lock();
                if waiting.writers.is_empty() {
                    waiting.is_served = false;
                    return;
                }
                std::mem::take(&mut waiting.writers)
            };
            let mut wait = redis::cmd("WAIT");
            wait.arg(self.enough).arg(PATIENCE_MS);
            let reached = wait.query_async::<u32>(&mut connection).await;
            let enough = reached.is_ok_and(|reached| reached >= self.enough);
            for writer in writers {
                // Who left has no use for it.
                let _ = writer.send(enough);
            }
        }
    }
}
