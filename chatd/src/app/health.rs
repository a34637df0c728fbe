//! Whether the node is ready, and whether it still turns, as far as it can tell itself.
//!
//! Invariant: a node turns by its own threads and locks, whatever its stores do: a store that is away is no reason to end
//! a node that refuses what it must and keeps its connections.

use chat_protocol::Refusal;

use super::App;

impl App {
    /// Whether its stores can be written.
    ///
    /// # Errors
    /// As `/readyz`.
    pub(super) async fn ready(&self) -> Result<(), Refusal> {
        self.system.ready().await
    }

    /// Returns once its runtime has run a task, each of its workers has taken a turn, and its hub has let go of its locks,
    /// which may be never.
    ///
    /// # Errors
    /// Which part has ended.
    pub(super) async fn turns(&self) -> Result<(), &'static str> {
        if !self.doors.are_open() {
            return Err("nobody accepts connections");
        }
        let hub = self.hub.clone();
        let counted = tokio::spawn(async move { hub.connections() + hub.sessions() });
        if counted.await.is_err() {
            return Err("the connections cannot be counted");
        }
        if self.workers.turn().await { Ok(()) } else { Err("no worker is left") }
    }
}
