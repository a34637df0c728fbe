//! What every room speaks of: who, in which conversation, at which position of its log, what stands there, and
//! in which words.
//!
//! Invariant: it imports nothing of chatd, so that everything may import it.

mod conversation;
mod entry;
pub mod epoch;
mod identity;
mod joined;
mod language;
pub mod members;
mod notice;
mod position;

pub use self::conversation::{Conversation, Topic};
pub use self::entry::{ConnectionId, Effect, Entry, Skip};
pub use self::epoch::new_epoch;
pub use self::identity::Identity;
pub use self::joined::Joined;
pub use self::language::{Language, UnknownLanguage};
pub use self::notice::Notice;
pub use self::position::Position;
