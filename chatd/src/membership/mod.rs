//! Which rooms a connection belongs in: its topics, joins and leaves in flight, and catching up from the log.
//!
//! [`router`] takes what the broker delivers, gives it to the hub, and takes those out of a group's room whom an entry
//! of its log removes. Who joined a group is queued in [`resync_queue`]; [`resync`] puts their connections into its room
//! by [`subscriptions`], which follow its topic, and reads from the log, by [`missed`], what was said since.
//!
//! Invariant: a connection is in the room of a group while its user is a member, as far as this node has heard, or its
//! user waits for a resync; what was said to a member reaches each of their connections once and in order.

pub mod missed;
pub mod resync;
pub mod resync_queue;
pub mod router;
pub mod subscriptions;
