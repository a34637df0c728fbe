//! What to run next: the operations that a node names, as command lines.
//!
//! Invariant: a line can be pasted into a shell as it stands.

use std::borrow::Cow;

use chat_protocol::explain::ExplainRequest;
use chat_protocol::{AppId, Target};

/// The commands for these operations, each once.
pub fn commands(paths: &[String], about: &ExplainRequest, app: Option<AppId>) -> Vec<String> {
    let app = app.map_or(String::new(), |app| format!(" --app {app}"));
    let mut lines: Vec<String> = Vec::new();
    for path in paths {
        let line = format!("chatctl{app} {}", words(path, about));
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}

fn words(path: &str, about: &ExplainRequest) -> String {
    let user = about.user_id.as_ref().map(|user| quoted(user.as_str()));
    let acting = user.as_ref().map_or(String::new(), |user| format!("--as {user} "));
    let packet = about.packet_id.as_ref().map(|packet| quoted(packet.as_str()));
    let target = about.target.as_ref().map(|target| quoted(&target.to_string()).into_owned());
    if let ("/group/members", Some(Target::Group(group))) = (path, &about.target) {
        return format!("group members {}", quoted(group.as_str()));
    }
    match (path, user, packet, target) {
        ("/system/connections", Some(user), ..) => format!("connections --user {user}"),
        ("/system/unban", Some(user), ..) => format!("unban {user}"),
        ("/conversation/list", Some(_), ..) => format!("{acting}conversation list"),
        ("/message/history", _, _, Some(target)) => {
            let side = if matches!(about.target, Some(Target::User(_))) { acting.as_str() } else { "" };
            let before = about
                .offset
                .map_or(String::new(), |offset| format!(" --before {}", offset.saturating_add(1)));
            format!("{side}history {target}{before}")
        }
        ("/redPacket/detail", _, Some(packet), _) => format!("redpacket show {packet}"),
        ("/redPacket/audit", ..) => "redpacket audit".to_owned(),
        ("/redPacket/deadLetters", ..) => "redpacket dead-letters".to_owned(),
        ("/redPacket/replay", _, Some(packet), _) => format!("redpacket replay --packet {packet}"),
        (path, ..) => format!("api {}", quoted(path)),
    }
}

/// As a shell takes it for one word.
pub fn quoted(word: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_alphanumeric() || "_-./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Cli;
    use clap::Parser;
    use serde_json::{Value, json};

    fn about(value: Value) -> ExplainRequest {
        serde_json::from_value(value).unwrap()
    }

    fn lines(paths: &[&str], of: Value) -> Vec<String> {
        let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
        commands(&paths, &about(of), Some(7))
    }

    #[test]
    fn each_operation_is_a_line_that_chatctl_understands() {
        let user = lines(
            &["/system/connections", "/system/unban", "/conversation/list", "/system/connections"],
            json!({"appId": 7, "userId": "马超"}),
        );
        assert_eq!(
            user,
            [
                "chatctl --app 7 connections --user 马超",
                "chatctl --app 7 unban 马超",
                "chatctl --app 7 --as 马超 conversation list",
            ]
        );
        let message = lines(
            &["/message/history", "/group/members"],
            json!({"appId": 7, "target": "group:tea", "offset": 17, "userId": "a"}),
        );
        assert_eq!(
            message,
            ["chatctl --app 7 history group:tea --before 18", "chatctl --app 7 group members tea",]
        );
        let packet = lines(
            &["/redPacket/detail", "/redPacket/audit", "/redPacket/deadLetters", "/redPacket/replay"],
            json!({"appId": 7, "packetId": "p1"}),
        );
        assert_eq!(packet.last().map(String::as_str), Some("chatctl --app 7 redpacket replay --packet p1"));
        for line in user.iter().chain(&message).chain(&packet) {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }

    #[test]
    fn a_name_is_one_word_for_the_shell() {
        assert_eq!(quoted("马超"), "马超");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
    }
}
