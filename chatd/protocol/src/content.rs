//! What a message carries: a text, or the address of a picture, a sound or a film.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::code::{Code, Refusal};
use crate::id::{PacketId, UserId};

/// Largest content of one message, in bytes of UTF-8 over all its parts.
pub const MAX_CONTENT_BYTES: usize = 16 * 1024;

/// Kinds of message a client may send.
pub const KINDS: [&str; 4] = ["text", "img", "audio", "video"];

/// `type` of the message that offers a red packet; its content has `packetId` and `greeting`.
pub const PACKET_KIND: &str = "redPacket";

/// Content of a message as it stands in a push.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Content {
    /// One of [`KINDS`].
    #[serde(rename = "type", default = "text_kind")]
    pub kind: String,
    /// The text; required for `text`, a caption elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msg: Option<String>,
    /// Address of the file; required for all kinds but `text`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What the file server asks for before it gives the file out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Who was removed, in a group's message of kind `kick`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<UserId>,
    /// Offset of the message that an entry of type `recall` takes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recalls: Option<u64>,
    /// The packet that a message of kind `redPacket` offers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packet_id: Option<PacketId>,
    /// What the giver of the packet says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub greeting: Option<String>,
    /// Size of the picture or film: an object of `width` and `height` in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Value>,
}

pub(crate) fn text_kind() -> String {
    "text".to_owned()
}

impl Content {
    /// A text.
    pub fn text(msg: impl Into<String>) -> Self {
        Self { msg: Some(msg.into()), ..Self::of_kind("text") }
    }

    /// The address of a file, for every kind but `text`.
    pub fn file(kind: impl Into<String>, url: impl Into<String>) -> Self {
        Self { url: Some(url.into()), ..Self::of_kind(kind) }
    }

    /// The offer of a red packet.
    #[must_use]
    pub fn red_packet(packet_id: PacketId, greeting: String) -> Self {
        Self { packet_id: Some(packet_id), greeting: Some(greeting), ..Self::of_kind(PACKET_KIND) }
    }

    pub(crate) fn of_kind(kind: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            msg: None,
            url: None,
            secret: None,
            member: None,
            recalls: None,
            packet_id: None,
            greeting: None,
            size: None,
        }
    }

    /// Checks kind, presence and size. `text_name` is what the caller calls the text (`msg` or `message`).
    ///
    /// # Errors
    /// [`Code::BadParameter`] naming the part, or [`Code::TooLarge`].
    pub fn check(&self, text_name: &str) -> Result<(), Refusal> {
        if !KINDS.contains(&self.kind.as_str()) {
            return Err(Refusal::parameter("type", format_args!("must be one of {}", KINDS.join(", "))));
        }
        let parts = [&self.msg, &self.url, &self.secret];
        if parts.iter().map(|part| part.as_ref().map_or(0, String::len)).sum::<usize>() > MAX_CONTENT_BYTES {
            let reason = format!("a message may hold at most {MAX_CONTENT_BYTES} bytes");
            return Err(Refusal::new(Code::TooLarge, reason));
        }
        let (needed, name) = if self.kind == "text" { (&self.msg, text_name) } else { (&self.url, "url") };
        match needed.as_deref() {
            None => return Err(Refusal::parameter(name, "missing")),
            Some("") => return Err(Refusal::parameter(name, "must not be empty")),
            Some(_) => {}
        }
        self.check_size()
    }

    fn check_size(&self) -> Result<(), Refusal> {
        let Some(size) = &self.size else { return Ok(()) };
        let fits = size.as_object().is_some_and(|members| {
            members.iter().all(|(name, value)| matches!(name.as_str(), "width" | "height") && value.is_u64())
        });
        if fits {
            Ok(())
        } else {
            Err(Refusal::parameter("size", "must be an object of whole numbers width and height"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn code_of(value: Value) -> Option<Code> {
        serde_json::from_value::<Content>(value).unwrap().check("msg").err().map(|r| r.code)
    }

    #[test]
    fn each_kind_needs_its_part() {
        assert_eq!(code_of(json!({"msg": "hello"})), None);
        assert_eq!(
            code_of(json!({"type": "img", "url": "http://x/y.png", "size": {"width": 4, "height": 5}})),
            None
        );
        assert_eq!(code_of(json!({"type": "img"})), Some(Code::BadParameter));
        assert_eq!(code_of(json!({"msg": ""})), Some(Code::BadParameter));
        assert_eq!(code_of(json!({"type": "redPacket", "msg": "x"})), Some(Code::BadParameter));
        assert_eq!(
            code_of(json!({"type": "img", "url": "u", "size": {"width": -1}})),
            Some(Code::BadParameter)
        );
        assert_eq!(code_of(json!({"type": "img", "url": "u", "size": [1]})), Some(Code::BadParameter));
    }

    #[test]
    fn sixteen_kibibytes_pass_and_one_more_does_not() {
        assert_eq!(code_of(json!({"msg": "x".repeat(MAX_CONTENT_BYTES)})), None);
        assert_eq!(code_of(json!({"msg": "x".repeat(MAX_CONTENT_BYTES + 1)})), Some(Code::TooLarge));
    }
}
