//! What a typed line asks for.
//!
//! Invariant: a line that begins with one slash is a command, known or not, and never said; two slashes say one.

use chat_protocol::{PacketId, Target};

use crate::money::Amount;

/// What a line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// Nothing.
    Empty,
    /// To say this.
    Say(String),
    /// To go to another conversation.
    To(Target),
    /// To tell where something was said.
    Rooms,
    /// To tell who is here.
    Who,
    /// To fetch what was said before.
    Older,
    /// To open a red packet; the newest one here when none is named.
    Grab(Option<PacketId>),
    /// To give a red packet: cents, shares, greeting.
    Packet(u64, u32, Option<String>),
    /// To explain all of this.
    Help,
    /// To end.
    Quit,
    /// Not understood, and why.
    Wrong(String),
}

/// Understands a line.
#[must_use]
pub fn understand(line: &str) -> Line {
    let Some(rest) = line.strip_prefix('/') else {
        return if line.trim().is_empty() { Line::Empty } else { Line::Say(line.to_owned()) };
    };
    if rest.starts_with('/') {
        return Line::Say(rest.to_owned());
    }
    let (command, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let rest = rest.trim();
    match command {
        "to" => rest.parse().map_or_else(|why| Line::Wrong(format!("{why}")), Line::To),
        "rooms" => Line::Rooms,
        "who" => Line::Who,
        "older" | "history" => Line::Older,
        "grab" if rest.is_empty() => Line::Grab(None),
        "grab" => {
            PacketId::new(rest).map_or_else(|why| Line::Wrong(why.to_string()), |id| Line::Grab(Some(id)))
        }
        "packet" => packet(rest),
        "help" | "?" => Line::Help,
        "quit" | "q" | "exit" => Line::Quit,
        other => Line::Wrong(format!("there is no /{other}; /help tells what there is, //{other} says it")),
    }
}

/// `10.00 5 恭喜`.
fn packet(rest: &str) -> Line {
    let mut words = rest.splitn(3, char::is_whitespace);
    let wrong = || Line::Wrong("as in: /packet 10.00 5 恭喜".to_owned());
    let Some(total) = words.next().and_then(|word| word.parse::<Amount>().ok()) else { return wrong() };
    let Some(count) = words.next().and_then(|word| word.parse().ok()) else { return wrong() };
    let greeting = words.next().map(str::trim).filter(|greeting| !greeting.is_empty());
    Line::Packet(total.cents(), count, greeting.map(ToOwned::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_commands_and_two_say_one() {
        assert_eq!(understand("hello /to"), Line::Say("hello /to".to_owned()));
        assert_eq!(understand("//to x"), Line::Say("/to x".to_owned()));
        assert_eq!(understand("  "), Line::Empty);
        assert_eq!(understand("/to"), Line::To(Target::World));
        assert_eq!(understand("/to group:tea"), Line::To("group:tea".parse().unwrap()));
        assert!(matches!(understand("/to nowhere"), Line::Wrong(_)));
        assert!(matches!(understand("/dance"), Line::Wrong(why) if why.contains("//dance")));
        assert_eq!(understand("/grab"), Line::Grab(None));
        assert_eq!(
            understand("/packet 10.00 5 恭喜 发财"),
            Line::Packet(1000, 5, Some("恭喜 发财".to_owned()))
        );
        assert_eq!(understand("/packet 1000 5"), Line::Packet(1000, 5, None));
        assert!(matches!(understand("/packet much 5"), Line::Wrong(_)));
    }
}
