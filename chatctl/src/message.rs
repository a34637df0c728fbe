//! How a logged message looks: a row of a table, a line of text, or JSON as the server gave it.
//!
//! Invariant: a message whose content was taken back is shown as such, whatever else it carries.

use chat_protocol::Target;
use chat_protocol::content::Content;
use chat_protocol::message::{RECALL_KIND, RECALLED_KIND};
use chat_protocol::session::Push;
use serde_json::Value;

use crate::calendar::Times;
use crate::report::{Cell, Report};
use chat_client::escape::escape;

const COLUMNS: [(&str, &str); 5] =
    [("offset", "OFFSET"), ("time", "TIME"), ("from", "FROM"), ("type", "TYPE"), ("text", "TEXT")];

/// Rows of a table.
#[must_use]
pub fn report(messages: &[Push]) -> Report {
    let row = |message: &Push| {
        vec![
            message.offset.into(),
            Cell::moment(message.time),
            message.from.as_str().into(),
            message.content.kind.as_str().into(),
            text(&message.content).into(),
        ]
    };
    // Plain data with text keys: there is nothing in it that JSON cannot hold.
    let exact = serde_json::to_value(messages).unwrap_or(Value::Null);
    Report::list(&COLUMNS, messages.iter().map(row).collect()).exactly(exact)
}

/// One line for people; it names the conversation when asked to.
#[must_use]
pub fn line(message: &Push, conversation: Option<&Target>, times: &Times) -> String {
    let place = conversation.map(|target| format!("{}  ", name(target))).unwrap_or_default();
    let (time, from, said) = (times.moment(message.time), &message.from, text(&message.content));
    escape(&format!("{time}  {place}{from}: {said}")).into_owned() + "\n"
}

/// A conversation in words.
#[must_use]
pub fn name(target: &Target) -> String {
    match target {
        Target::World => "(world)".to_owned(),
        other => other.to_string(),
    }
}

/// What a person reads of it.
#[must_use]
pub fn text(content: &Content) -> String {
    let msg = content.msg.as_deref().unwrap_or_default();
    if let Some(packet) = &content.packet_id {
        let greeting = content.greeting.as_deref().filter(|greeting| !greeting.is_empty());
        return format!(
            "({} {packet}){}",
            content.kind,
            greeting.map_or(String::new(), |words| format!(" {words}"))
        );
    }
    match (content.kind.as_str(), &content.url, &content.member) {
        (RECALLED_KIND, ..) => "(recalled)".to_owned(),
        (RECALL_KIND, ..) => format!("(recalled message {})", content.recalls.unwrap_or_default()),
        (_, Some(url), _) if msg.is_empty() => url.clone(),
        (_, Some(url), _) => format!("{msg} {url}"),
        (kind, None, Some(member)) => format!("({kind} {member})"),
        ("text", None, None) => msg.to_owned(),
        (kind, None, None) if msg.is_empty() => format!("({kind})"),
        _ => msg.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(content: Value) -> String {
        text(&serde_json::from_value(content).unwrap())
    }

    #[test]
    fn every_kind_has_words() {
        assert_eq!(shown(json!({"type": "text", "msg": "hi"})), "hi");
        assert_eq!(shown(json!({"type": "recalled"})), "(recalled)");
        assert_eq!(shown(json!({"type": "recall", "msg": "x", "recalls": 7})), "(recalled message 7)");
        assert_eq!(shown(json!({"type": "img", "url": "http://x/y", "msg": "look"})), "look http://x/y");
        assert_eq!(shown(json!({"type": "audio", "url": "http://x/y"})), "http://x/y");
        assert_eq!(shown(json!({"type": "kick", "member": "马超"})), "(kick 马超)");
        assert_eq!(shown(json!({"type": "join"})), "(join)");
        let packet = |greeting| shown(json!({"type": "redPacket", "packetId": "p1", "greeting": greeting}));
        assert_eq!([packet("恭喜"), packet("")], ["(redPacket p1) 恭喜", "(redPacket p1)"]);
    }

    #[test]
    fn a_line_stays_one_line() {
        let push: Push = serde_json::from_value(json!({
            "target": "", "type": "text", "msg": "a\n\u{1b}[2Jb", "from": "黄帝", "msgId": "m", "offset": 1,
            "epoch": "e", "time": 0
        }))
        .unwrap();
        assert_eq!(line(&push, None, &Times::Utc), "1970-01-01 00:00:00Z  黄帝: a\\n\\u{1b}[2Jb\n");
        assert_eq!(
            line(&push, Some(&Target::World), &Times::Utc),
            "1970-01-01 00:00:00Z  (world)  黄帝: a\\n\\u{1b}[2Jb\n"
        );
    }
}
