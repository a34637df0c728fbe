//! What an operation is: a type that states its path, effect, parameters and answer.
//!
//! Invariant: whatever serves, calls or describes an operation has it from its type.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::params::{Field, Parameters, Rule};
pub use crate::rights::{Rights, Scope};

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

/// Name of the parameter that says in which app something is done; a WebSocket session fills it in.
pub const APP: &str = "appId";

/// A request that works the same over HTTP and WebSocket.
pub trait Operation: 'static {
    /// HTTP path; the WebSocket command is the same without the leading `/`.
    const PATH: &'static str;
    /// What it does to the world.
    const EFFECT: Effect;
    /// One sentence for documentation.
    const ABOUT: &'static str;
    /// What must hold over more than one of them.
    const RULES: &'static [Rule] = &[];
    /// Who may do it.
    const RIGHTS: Rights;
    /// Which parameter is the caller's own name for what it sends or spends, so that a repeat does nothing again; over
    /// WebSocket the request's `seq` where it is absent.
    const KEY: Option<&'static str> = None;
    /// The parameters.
    type Request: Parameters;
    /// The `data` of a successful answer.
    type Response: Serialize + DeserializeOwned + JsonSchema + Send + 'static;

    /// The operation as data.
    const DESCRIPTION: Description = Description {
        path: Self::PATH,
        effect: Self::EFFECT,
        about: Self::ABOUT,
        fields: Self::Request::FIELDS,
        rules: Self::RULES,
        rights: Self::RIGHTS,
        key: Self::KEY,
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
    /// Who may do it.
    pub rights: Rights,
    /// Which parameter makes a repeat harmless.
    pub key: Option<&'static str>,
    /// Makes the JSON Schema (2020-12) of the `data` of a successful answer.
    pub answer: fn() -> Value,
}

/// The JSON Schema (2020-12) of what a type is written as.
pub(crate) fn schema_of<T: JsonSchema>() -> Value {
    let mut settings = SchemaSettings::draft2020_12().for_serialize();
    (settings.inline_subschemas, settings.meta_schema) = (true, None);
    settings.into_generator().into_root_schema_for::<T>().into()
}
