//! Files that only those of a conversation can open: a picture, a sound or a film on its way into a message.
//!
//! Invariant: an address of a file is for one user of its conversation, and for a while.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{AppId, UserId};
use crate::operation::{Effect, Operation, Rights, Scope};
use crate::params::{Kind, parameters};
use crate::target::Target;

/// Bytes of the name of a file at most.
pub const MAX_FILE_NAME_BYTES: usize = 255;
/// Bytes of the id of a file at most.
pub const MAX_FILE_ID_BYTES: usize = 64;
/// What every address of a file begins with.
pub const FILE_PATH: &str = "/file/";

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Size {
    /// Pixels from left to right.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
}

/// What is known of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct About {
    /// Its name; a text and never a path.
    pub name: String,
    /// The `type` of a message that carries it: `img`, `audio` or `video`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What its content is, as its first bytes say.
    pub content_type: String,
    /// How many bytes it has.
    pub bytes: u64,
    /// SHA-256 of what is sent to those who open it, in hexadecimal digits.
    pub sha256: String,
    /// Of a picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// Whether there is a smaller picture of it: the address with `&part=thumbnail`.
    pub thumbnail: bool,
}

/// `/file/upload`: the parameters stand in the query, the file is the body. Over HTTP only.
pub struct Upload;

parameters! {
    /// Parameters of [`Upload`].
    pub struct UploadRequest {
        /// Which world.
        pub app_id: AppId,
        /// Who will send it.
        pub user_id: UserId,
        /// The conversation it is for, as that user names it.
        pub target: Target,
        /// Its name, for those who save it.
        pub name: Option<String> as Kind::Line(MAX_FILE_NAME_BYTES),
    }
}

/// Answer of [`Upload`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Uploaded {
    /// Its id.
    pub file_id: String,
    /// Where the one who uploaded it opens it until `expires`: a path of this server. A message carries it, too.
    pub url: String,
    /// For the message that carries it.
    pub secret: String,
    /// When `url` ends, Unix milliseconds.
    pub expires: u64,
    /// What it is.
    #[serde(flatten)]
    pub about: About,
}

impl Operation for Upload {
    const PATH: &'static str = "/file/upload";
    const EFFECT: Effect = Effect::Changes;
    const ABOUT: &'static str = "Takes a file for a conversation.";
    const RIGHTS: Rights = Rights::User("userId", Scope::Send);
    type Request = UploadRequest;
    type Response = Uploaded;
}

/// `/file/url`.
pub struct Url;

parameters! {
    /// Parameters of [`Url`].
    pub struct UrlRequest {
        /// Which world.
        pub app_id: AppId,
        /// Who wants to open it.
        pub user_id: UserId,
        /// The conversation in which it was sent, as that user names it.
        pub target: Target,
        /// Which file.
        pub file_id: String as Kind::Line(MAX_FILE_ID_BYTES),
    }
}

/// Answer of [`Url`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UrlResponse {
    /// Where that user opens it until `expires`: a path of this server.
    pub url: String,
    /// When `url` ends, Unix milliseconds.
    pub expires: u64,
    /// What it is.
    #[serde(flatten)]
    pub about: About,
}

impl Operation for Url {
    const PATH: &'static str = "/file/url";
    const EFFECT: Effect = Effect::Reads;
    const ABOUT: &'static str =
        "A fresh address of a file, for one who belongs to the conversation in which it was sent.";
    const RIGHTS: Rights = Rights::User("userId", Scope::Read);
    type Request = UrlRequest;
    type Response = UrlResponse;
}

parameters! {
    /// What stands in the query of an address of a file.
    pub struct Address {
        /// Which world.
        pub app_id: AppId,
        /// Whom it is for.
        pub user_id: UserId,
        /// The conversation in which the file was sent, as that user names it.
        pub target: Target,
        /// When it ends, Unix milliseconds.
        pub expires: u64,
        /// Which key signed it.
        pub key: String as Kind::Line(16),
        /// The signature over all of this.
        pub signature: String as Kind::Line(64),
        /// `thumbnail` for the smaller picture; the file itself when absent.
        pub part: Option<String> as Kind::OneOf(&["thumbnail"]),
    }
}

/// The id in an address of a file of this server, whatever query it has; none in any other address.
#[must_use]
pub fn id_in(url: &str) -> Option<&str> {
    let rest = url.strip_prefix(FILE_PATH)?;
    Some(rest.split_once('?').map_or(rest, |(id, _)| id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_its_file() {
        for (url, id) in [
            ("/file/ab", Some("ab")),
            ("/file/ab?expires=1", Some("ab")),
            ("/file/", Some("")),
            ("https://a.example/file/ab", None),
            ("//a.example/file/ab", None),
            ("u", None),
        ] {
            assert_eq!(id_in(url), id, "{url}");
        }
    }
}
