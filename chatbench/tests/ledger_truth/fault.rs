//! What the double does wrong on request.
//!
//! Invariant: each fault happens exactly where it says, and nowhere else.

use std::time::Duration;

use crate::exporter::Says;
use crate::vault::Cheat;

/// What to do wrong. A receiver is the number at the end of its name; an offset counts from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Do not deliver.
    Lose { receiver: u32, offset: u64 },
    /// Deliver twice.
    Double { receiver: u32, offset: u64 },
    /// Deliver after the next one.
    Swap { receiver: u32, offset: u64 },
    /// Deliver with one letter changed.
    Corrupt { receiver: u32, offset: u64 },
    /// Deliver with another number.
    Misnumber { receiver: u32, offset: u64 },
    /// Deliver to the sender too.
    Echo { offset: u64 },
    /// Close the connection instead of delivering.
    Close { receiver: u32, offset: u64, code: u16 },
    /// Close the connection with 4002 instead of delivering, and say before when to come back.
    Part { receiver: u32, offset: u64, away_ms: u64 },
    /// Deliver, and never answer the sender.
    NoAnswer { offset: u64 },
    /// Deliver everything, answer nothing.
    Mute,
    /// Answer with code 1011 instead of taking the message.
    Refuse { offset: u64 },
    /// Answer each log-in with code 1003.
    RefuseLogin,
    /// The same of this user only.
    RefuseUser { user: u32 },
    /// Do not answer any log-in.
    IgnoreLogin,
    /// Tell all of log-ins without end.
    Chatter,
    /// Never answer the close of this user.
    KeepOpen { user: u32 },
    /// Leave a message out of a recovery.
    Forget { receiver: u32, offset: u64 },
    /// Bring a message twice in a recovery.
    Repeat { receiver: u32, offset: u64 },
    /// Say that a recovery is incomplete, and bring nothing up to this offset.
    Gap { receiver: u32, offset: u64 },
    /// Answer a log-in that asks for recovery as one that does not.
    NoRecovery { receiver: u32 },
    /// Leave a message out of every page.
    PageHole { offset: u64 },
    /// Begin the page behind this message with the message itself.
    PageRepeat { offset: u64 },
    /// Send every frame this much later.
    Delay(Duration),
    /// Close this connection on its first heartbeat.
    CloseOnHeartbeat { receiver: u32, code: u16 },
    /// Tell of the process at `/metrics`; without it there is no such path.
    Metrics(Says),
    /// Never answer requests to this path.
    Hang { path: &'static str },
    /// Be gone, with every connection, as soon as somebody posts to this path.
    Die { path: &'static str },
    /// Cheat with money.
    Money(Cheat),
}
