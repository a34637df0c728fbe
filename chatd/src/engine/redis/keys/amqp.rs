//! Names of what there is in RabbitMQ.
//!
//! Invariant: as of all names: see the table of the module above.

use super::Keys;

impl Keys {
    /// Queue of settlements in RabbitMQ. Its version changes with the arguments it is declared with, because RabbitMQ
    /// never changes those of a queue.
    #[must_use]
    pub fn amqp_settlements(&self) -> String {
        format!("{}{}.settlements.v1", self.prefix, self.database)
    }

    /// Queue, and the exchange in front of it, of the dead letters of [`Keys::amqp_settlements`].
    #[must_use]
    pub fn amqp_dead_settlements(&self) -> String {
        format!("{}.dead", self.amqp_settlements())
    }

    /// Queue of the settlements that wait before they come again in [`Keys::amqp_settlements`].
    #[must_use]
    pub fn amqp_later_settlements(&self) -> String {
        format!("{}.later", self.amqp_settlements())
    }

    /// Queue that exists while somebody looks at the dead letters, and belongs to them.
    #[must_use]
    pub fn amqp_dead_turn(&self) -> String {
        format!("{}.turn", self.amqp_dead_settlements())
    }
}
