//! The words for what a node remembers.

use chat_protocol::code::close;

use crate::journal::{Event, What};
use crate::transport::ending::unsaid;

/// What happened, for programs.
pub(super) fn what(event: &Event) -> &'static str {
    match event.what {
        What::LoggedIn => "loggedIn",
        What::LoginRefused => "loginRefused",
        What::Limited => "limited",
        What::MessageRefused => "messageRefused",
        What::Duplicate => "duplicate",
        What::Delivered => "delivered",
        What::NotDelivered => "notDelivered",
        What::Ended => ended(event),
    }
}

fn ended(event: &Event) -> &'static str {
    match u16::try_from(event.counts[0]).unwrap_or_default() {
        1000 | 1001 | unsaid::NO_CODE => "closedByClient",
        unsaid::NO_CLOSE => "connectionLost",
        close::SLOW_CONSUMER => "readTooSlowly",
        close::DRAIN => "drained",
        close::HEARTBEAT_TIMEOUT => "silent",
        close::LOGIN_TIMEOUT => "noLogin",
        close::MISSED_MESSAGES => "missedMessages",
        close::KICKED if event.detail.starts_with("you are banned") => "banned",
        close::KICKED => "kicked",
        close::TOKEN_INVALID => "tokenEnded",
        _ => "ended",
    }
}

/// The same for people.
pub(super) fn text(event: &Event) -> String {
    let Event { number, counts: [first, second, third], detail, .. } = event;
    match event.what {
        What::LoggedIn => {
            let whole = match first {
                1 => "1 conversation".to_owned(),
                whole => format!("{whole} conversations"),
            };
            let recovered = match (first, second) {
                (0, 0) => String::new(),
                (_, 0) => format!(", {whole} recovered whole"),
                (_, cut) => format!(", {whole} recovered whole, {cut} not: history has what there is"),
            };
            format!("connection {number} logged in over WebSocket from {detail}{recovered}")
        }
        What::LoginRefused => format!("connection {number}: log-in refused with {first}: {detail}"),
        What::Ended => {
            let waiting = match second {
                0 => String::new(),
                bytes => format!("; {bytes} bytes were still to be sent"),
            };
            format!("connection {number} ended after {third} s with {first}: {detail}{waiting}")
        }
        What::Limited => format!("connection {number}: a request was refused with {first}: {detail}"),
        What::MessageRefused => format!("a message was refused with {first}: {detail}"),
        What::Duplicate => format!("{detail} came again and was answered with offset {number} as before"),
        What::Delivered => {
            let plural = if *first == 1 { "" } else { "s" };
            let whose = match detail.is_empty() {
                true => format!("reader{plural}"),
                false => format!("connection{plural} of {detail}"),
            };
            let mut text = format!("put into the queues of {first} {whose} on this node");
            if *second > 0 {
                text.push_str(&format!("; {second} were being closed and did not get it"));
            }
            if *third > 0 {
                text.push_str(&format!("; {third} had it from history already"));
            }
            text
        }
        What::NotDelivered => {
            let connection = event.connection();
            format!("connection {connection} did not get it: it was being closed, or read too slowly")
        }
    }
}
