//! What a client that knows texts only shows of anything else: a few words for a picture, a packet, a coming.
//!
//! Invariant: they are added when an entry is pushed, so the log keeps what was sent and the language can change.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::members;

/// The language of the words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Language {
    /// English.
    #[default]
    #[serde(rename = "en")]
    English,
    /// Simplified Chinese.
    #[serde(rename = "zh-CN")]
    Chinese,
}

/// Not the name of a [`Language`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be en or zh-CN")]
pub struct UnknownLanguage;

impl std::str::FromStr for Language {
    type Err = UnknownLanguage;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "en" => Ok(Language::English),
            "zh-CN" => Ok(Language::Chinese),
            _ => Err(UnknownLanguage),
        }
    }
}

/// What the words are made of.
#[derive(Debug, Deserialize)]
struct Told<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    from: Cow<'a, str>,
    #[serde(borrow, default)]
    member: Cow<'a, str>,
    #[serde(borrow, default)]
    greeting: Cow<'a, str>,
}

impl Language {
    /// Words for an entry with these members; none where it has a text of its own.
    #[must_use]
    pub fn words(self, members: &[u8]) -> Option<String> {
        // A quote inside a text is escaped, so these bytes are a name wherever they stand.
        const TEXT: &[u8] = br#""msg":"#;
        if members.windows(TEXT.len()).any(|bytes| bytes == TEXT) {
            return None;
        }
        let told = members::braced(members);
        let told: Told<'_> = serde_json::from_slice(&told).ok()?;
        Some(self.of(&told))
    }

    fn of(self, told: &Told<'_>) -> String {
        let Told { kind, from, member, greeting } = told;
        match self {
            Language::English => match &**kind {
                "img" => "[picture]".to_owned(),
                "audio" => "[audio]".to_owned(),
                "video" => "[video]".to_owned(),
                "redPacket" => format!("[red packet] {greeting}").trim_end().to_owned(),
                "create" => format!("{from} created the group"),
                "join" => format!("{from} joined the group"),
                "leave" => format!("{from} left the group"),
                "kick" => format!("{from} removed {member} from the group"),
                "dismiss" => format!("{from} dismissed the group"),
                "recall" | "recalled" => format!("{from} recalled a message"),
                other => format!("[{other}]"),
            },
            Language::Chinese => match &**kind {
                "img" => "[图片]".to_owned(),
                "audio" => "[语音]".to_owned(),
                "video" => "[视频]".to_owned(),
                "redPacket" => format!("[红包] {greeting}").trim_end().to_owned(),
                "create" => format!("{from} 创建了群"),
                "join" => format!("{from} 加入了群"),
                "leave" => format!("{from} 退出了群"),
                "kick" => format!("{from} 将 {member} 移出了群"),
                "dismiss" => format!("{from} 解散了群"),
                "recall" | "recalled" => format!("{from} 撤回了一条消息"),
                other => format!("[{other}]"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_protocol::content::KINDS;
    use chat_protocol::group::CHANGE_KINDS;
    use chat_protocol::message::{RECALL_KIND, RECALLED_KIND};
    use chat_protocol::red_packet::PACKET_KIND;

    const BOTH: [Language; 2] = [Language::English, Language::Chinese];

    #[test]
    fn every_kind_but_text_has_words_of_its_own_in_every_language() {
        let kinds = KINDS.iter().chain(&CHANGE_KINDS).chain([&PACKET_KIND, &RECALLED_KIND, &RECALL_KIND]);
        for kind in kinds.filter(|kind| **kind != "text") {
            let members = format!(r#""target":"group:g","type":"{kind}","from":"a","member":"b""#);
            let [english, chinese] = BOTH.map(|language| language.words(members.as_bytes()).unwrap());
            assert!(
                english != chinese && !english.is_empty() && !chinese.is_empty(),
                "{kind}: {english} {chinese}"
            );
        }
    }

    #[test]
    fn a_text_of_its_own_stays() {
        for members in [
            r#""target":"","type":"text","msg":"hello","from":"a""#,
            r#""target":"","type":"img","msg":"","from":"a","url":"u""#,
        ] {
            assert_eq!(Language::English.words(members.as_bytes()), None);
        }
        let tricky = r#""target":"","type":"img","from":"\"msg\":","url":"\"msg\":\"x\"""#;
        assert_eq!(Language::English.words(tricky.as_bytes()).unwrap(), "[picture]");
    }

    #[test]
    fn names_and_greetings_are_told() {
        let kick = r#""type":"kick","from":"曹操","member":"a\"b""#;
        assert_eq!(Language::English.words(kick.as_bytes()).unwrap(), "曹操 removed a\"b from the group");
        let packet = r#""type":"redPacket","from":"a","greeting":"恭喜发财""#;
        assert_eq!(Language::Chinese.words(packet.as_bytes()).unwrap(), "[红包] 恭喜发财");
        assert_eq!(Language::English.words(br#""type":"new","from":"a""#).unwrap(), "[new]");
        assert_eq!(Language::English.words(b"no members"), None);
    }
}
