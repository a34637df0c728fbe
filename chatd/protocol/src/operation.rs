//! What an operation is, and the table of all of them.
//!
//! Invariant: routes, WebSocket commands, chatctl and openapi.json are read from [`ALL`]; nothing lists operations twice.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::params::{Field, Rule};
use crate::{conversation, friend, group, message, red_packet, system, user, wallet};

/// What an operation does to the world. It decides which HTTP methods the operation takes: any page, and any picture
/// in it, can make a browser send a GET to any server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Only reads: GET, HEAD and POST.
    Reads,
    /// Changes something: POST only.
    Changes,
    /// Changes something and takes GET all the same, because clients older than chatd send it so.
    ChangesByGet,
}

impl Effect {
    /// Whether something is different afterwards.
    #[must_use]
    pub const fn changes(self) -> bool {
        matches!(self, Effect::Changes | Effect::ChangesByGet)
    }

    /// Whether it may be asked for by GET, and so by HEAD.
    #[must_use]
    pub const fn takes_get(self) -> bool {
        matches!(self, Effect::Reads | Effect::ChangesByGet)
    }
}

/// A request that works the same over HTTP and WebSocket.
pub trait Operation: 'static {
    /// HTTP path; the WebSocket command is the same without the leading `/`.
    const PATH: &'static str;
    /// What it does to the world.
    const EFFECT: Effect;
    /// One sentence for documentation.
    const ABOUT: &'static str;
    /// The parameters.
    const FIELDS: &'static [Field];
    /// What must hold over more than one of them.
    const RULES: &'static [Rule] = &[];
    /// Which parameter names the acting user; a WebSocket session fills it in.
    const ACTOR: Option<&'static str> = None;
    /// Which parameter is the caller's own name for what it sends or spends, so that a repeat does nothing again; over
    /// WebSocket the request's `seq` where it is absent.
    const KEY: Option<&'static str> = None;
    /// Whether only operators may do it, whoever is named.
    const OPERATOR: bool = false;
    /// Decoded parameters.
    type Request: Serialize + DeserializeOwned + Send + 'static;
    /// The `data` of a successful answer.
    type Response: Serialize + DeserializeOwned + JsonSchema + Send + 'static;

    /// The operation as data.
    const DESCRIPTION: Description = Description {
        path: Self::PATH,
        effect: Self::EFFECT,
        about: Self::ABOUT,
        fields: Self::FIELDS,
        rules: Self::RULES,
        actor: Self::ACTOR,
        key: Self::KEY,
        operator: Self::OPERATOR,
        answer: schema_of::<Self::Response>,
    };
}

/// An [`Operation`] without its types.
#[derive(Debug, Clone, Copy)]
pub struct Description {
    /// HTTP path.
    pub path: &'static str,
    /// What it does to the world.
    pub effect: Effect,
    /// One sentence for documentation.
    pub about: &'static str,
    /// The parameters.
    pub fields: &'static [Field],
    /// What must hold over more than one of them.
    pub rules: &'static [Rule],
    /// Which parameter names the acting user.
    pub actor: Option<&'static str>,
    /// Which parameter makes a repeat harmless.
    pub key: Option<&'static str>,
    /// Whether only operators may do it.
    pub operator: bool,
    /// Makes the JSON Schema (2020-12) of the `data` of a successful answer.
    pub answer: fn() -> Value,
}

fn schema_of<T: JsonSchema>() -> Value {
    let mut settings = SchemaSettings::draft2020_12().for_serialize();
    (settings.inline_subschemas, settings.meta_schema) = (true, None);
    settings.into_generator().into_root_schema_for::<T>().into()
}

/// Every operation, in the order of the documentation.
pub const ALL: &[Description] = &[
    user::List::DESCRIPTION,
    user::Online::DESCRIPTION,
    user::SendMessage::DESCRIPTION,
    user::SendMessageAll::DESCRIPTION,
    group::Create::DESCRIPTION,
    group::Join::DESCRIPTION,
    group::Leave::DESCRIPTION,
    group::Members::DESCRIPTION,
    group::List::DESCRIPTION,
    group::SendMessage::DESCRIPTION,
    group::Kick::DESCRIPTION,
    group::Dismiss::DESCRIPTION,
    message::History::DESCRIPTION,
    message::Recall::DESCRIPTION,
    conversation::List::DESCRIPTION,
    conversation::Read::DESCRIPTION,
    friend::Request::DESCRIPTION,
    friend::Requests::DESCRIPTION,
    friend::Accept::DESCRIPTION,
    friend::Reject::DESCRIPTION,
    friend::Remove::DESCRIPTION,
    friend::List::DESCRIPTION,
    friend::Block::DESCRIPTION,
    friend::Unblock::DESCRIPTION,
    red_packet::Create::DESCRIPTION,
    red_packet::Grab::DESCRIPTION,
    red_packet::Detail::DESCRIPTION,
    red_packet::List::DESCRIPTION,
    red_packet::Audit::DESCRIPTION,
    red_packet::DeadLetters::DESCRIPTION,
    red_packet::Replay::DESCRIPTION,
    red_packet::Discard::DESCRIPTION,
    wallet::Balance::DESCRIPTION,
    wallet::Transfers::DESCRIPTION,
    wallet::Deposit::DESCRIPTION,
    wallet::Withdraw::DESCRIPTION,
    system::State::DESCRIPTION,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::Kind;

    /// Read word by word whenever it changes: what is not named here takes POST only.
    #[test]
    fn only_these_take_get() {
        let by_get = |effect| {
            let found = ALL.iter().filter(move |operation| operation.effect == effect);
            found.map(|operation| operation.path).collect::<Vec<_>>()
        };
        assert_eq!(
            by_get(Effect::Reads),
            [
                "/user/list",
                "/user/online",
                "/group/members",
                "/group/list",
                "/message/history",
                "/conversation/list",
                "/friend/requests",
                "/friend/list",
                "/redPacket/detail",
                "/redPacket/list",
                "/redPacket/audit",
                "/redPacket/deadLetters",
                "/wallet/balance",
                "/wallet/transfers",
                "/system/state",
            ]
        );
        assert_eq!(by_get(Effect::ChangesByGet), ["/user/sendMessage", "/user/sendMessageAll"]);
    }

    #[test]
    fn paths_are_unique_and_actors_are_fields() {
        for (i, a) in ALL.iter().enumerate() {
            assert!(a.path.starts_with('/'), "{}", a.path);
            assert!(ALL[i + 1..].iter().all(|b| b.path != a.path), "{} twice", a.path);
            if let Some(actor) = a.actor {
                assert!(a.fields.iter().any(|f| f.name == actor), "{}: {actor}", a.path);
            }
        }
    }

    #[test]
    fn whatever_sends_or_spends_has_a_key() {
        for operation in ALL {
            let named = operation.fields.iter().find(|field| matches!(field.kind, Kind::MsgId));
            assert_eq!(operation.key, named.map(|field| field.name), "{}", operation.path);
        }
    }
}
