//! Which messages of a conversation a reader wants to see.
//!
//! Invariant: what is not wanted still counts as seen.

use chat_protocol::UserId;
use chat_protocol::session::Push;

use crate::message;

/// What is wanted; all of it when nothing is named.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Filter {
    /// Only what this user said; may be given more than once
    #[arg(long, value_name = "USER")]
    from: Vec<UserId>,
    /// Only messages of this type, such as text, img, redPacket; may be given more than once
    #[arg(long = "type", value_name = "TYPE")]
    kinds: Vec<String>,
    /// Only messages with this text in them, large or small letters alike
    #[arg(long, value_name = "TEXT")]
    grep: Option<String>,
}

impl Filter {
    /// Whether the message is wanted.
    #[must_use]
    pub fn admits(&self, message: &Push) -> bool {
        let has =
            |text: &String| message::text(&message.content).to_lowercase().contains(&text.to_lowercase());
        (self.from.is_empty() || self.from.contains(&message.from))
            && (self.kinds.is_empty() || self.kinds.contains(&message.content.kind))
            && self.grep.as_ref().is_none_or(has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn all_that_is_named_must_fit() {
        let message: Push = serde_json::from_value(json!({
            "target": "", "type": "text", "msg": "Tea at FIVE, 黄帝", "from": "马超", "msgId": "m", "offset": 1,
            "epoch": "e", "time": 0
        }))
        .unwrap();
        let filter = |from: &[&str], kinds: &[&str], grep: Option<&str>| Filter {
            from: from.iter().map(|user| UserId::new(user).unwrap()).collect(),
            kinds: kinds.iter().map(ToString::to_string).collect(),
            grep: grep.map(ToOwned::to_owned),
        };
        assert!(Filter::default().admits(&message));
        assert!(filter(&["a", "马超"], &["text"], Some("five, 黄")).admits(&message));
        assert!(!filter(&["a"], &[], None).admits(&message));
        assert!(!filter(&[], &["img"], None).admits(&message));
        assert!(!filter(&["马超"], &["text"], Some("coffee")).admits(&message));
    }
}
