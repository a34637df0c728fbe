//! Redis: a list per log, Pub/Sub as the bus, and what else nodes share.
//!
//! Invariant: what one step touches lies in one slot and is changed by one script; scripts get every key from
//! [`keys`].

mod amount;
mod append;
pub mod bans;
pub mod broker;
mod bundle;
pub mod codec;
pub mod conversations;
mod ear;
pub mod files;
pub mod friends;
pub mod groups;
pub mod keys;
pub mod link;
mod log;
pub mod manner;
pub mod packets;
mod pairs;
pub mod presence;
pub mod queue;
mod recall;
mod shard;
pub mod site;
mod subscriber;
mod table;
mod takeover;
pub mod worlds;
