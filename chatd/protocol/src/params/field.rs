//! What a parameter is, stated once: where the struct of a request states its member.
//!
//! Invariant: the table of a request's parameters and the reading of them come from one struct, so neither has a
//! parameter that the other lacks.

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::cursor::Cursor;
use crate::id::{GroupId, MsgId, PacketId, TransferId, UserId};
use crate::target::Target;

/// Type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A user id: 1–64 bytes, no control characters.
    UserId,
    /// A group id: 1–64 bytes, no control characters.
    GroupId,
    /// A message id: 1–128 bytes, no control characters.
    MsgId,
    /// A packet id: 1–64 bytes, no control characters.
    PacketId,
    /// A transfer id: 1–128 bytes, no control characters.
    TransferId,
    /// `""`, `group:<groupId>` or `user:<userId>`.
    Target,
    /// Any text.
    Text,
    /// Where this list goes on: a text that an answer gave and that is given back as it was.
    Cursor(Cursor),
    /// A text of 1 to so many bytes of UTF-8 without control characters.
    Line(usize),
    /// Any text of at most so many bytes of UTF-8, which may be none.
    UpTo(usize),
    /// What a message says: 1 to [`MAX_CONTENT_BYTES`](crate::content::MAX_CONTENT_BYTES) bytes of UTF-8.
    Content,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A whole number from one to another, both included.
    Between(u64, u64),
    /// A whole number, 0 to 4294967295.
    U32,
    /// A whole number, 0 to [`MAX_U64`].
    U64,
    /// Any JSON value.
    Json,
    /// What no client may give.
    Reserved,
}

impl Kind {
    /// Whether a record of who did what may hold it: it names something, is bounded, and is nothing that is said to
    /// anybody but the one it is done to.
    #[must_use]
    pub const fn is_kept(self) -> bool {
        !matches!(
            self,
            Kind::Text | Kind::Cursor(_) | Kind::UpTo(_) | Kind::Content | Kind::Json | Kind::Reserved
        )
    }
}

/// The largest whole number, 2^53 − 1: exact in every JSON reader.
pub const MAX_U64: u64 = (1 << 53) - 1;

/// One parameter of an operation.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Name on the wire.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Whether a request without it is refused.
    pub required: bool,
    /// What it means, for documentation.
    pub about: &'static str,
}

/// All parameters of a request, made by [`parameters!`](crate::params::parameters).
pub trait Parameters: Serialize + DeserializeOwned + Send + 'static {
    /// Each of them, in the order of the struct.
    const FIELDS: &'static [Field];
}

/// A type that a parameter can have in the struct of its request.
pub trait Parameter {
    /// What it is on the wire, where the struct says no more.
    const KIND: Kind;
    /// Whether it must be given.
    const REQUIRED: bool = true;

    /// Whether a request leaves it out.
    fn is_absent(&self) -> bool {
        false
    }
}

impl<T: Parameter> Parameter for Option<T> {
    const KIND: Kind = T::KIND;
    const REQUIRED: bool = false;

    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

macro_rules! kinds {
    ($($type:ty: $kind:expr,)*) => {
        $(impl Parameter for $type {
            const KIND: Kind = $kind;
        })*
    };
}

kinds! {
    u32: Kind::U32,
    u64: Kind::U64,
    String: Kind::Text,
    Value: Kind::Json,
    UserId: Kind::UserId,
    GroupId: Kind::GroupId,
    MsgId: Kind::MsgId,
    PacketId: Kind::PacketId,
    TransferId: Kind::TransferId,
    Target: Kind::Target,
    Reserved: Kind::Reserved,
}

/// What only chatd itself writes: there is no value of this type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reserved {}

impl Reserved {
    pub(super) const REFUSAL: &'static str = "only chatd itself writes it";
}

impl Serialize for Reserved {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        match *self {}
    }
}

impl<'de> Deserialize<'de> for Reserved {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom(Self::REFUSAL))
    }
}

/// Structs of parameters: `name: Type` is a parameter of that name, in the spelling of the wire, of the kind that the
/// type has. `name as "other": Type` has another name on the wire, `name: Type as kind` another [`Kind`], which says
/// more than the type. The documentation of the member is that of the parameter.
macro_rules! parameters {
    ($(
        $(#[$meta:meta])*
        pub struct $name:ident {
            $(
                $(#[doc = $about:literal])+
                pub $member:ident $(as $wire:literal)?: $type:ty $(as $kind:expr)?,
            )*
        }
    )+) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub struct $name {
            $(
                $(#[doc = $about])+
                $(#[serde(rename = $wire)])?
                #[serde(skip_serializing_if = "crate::params::Parameter::is_absent")]
                pub $member: $type,
            )*
        }

        impl $crate::params::Parameters for $name {
            const FIELDS: &'static [$crate::params::Field] = &[$($crate::params::Field {
                name: [
                    $($wire,)?
                    $crate::params::as_text(&const {
                        $crate::params::camel::<{ $crate::params::camel_length(stringify!($member)) }>(
                            stringify!($member),
                        )
                    }),
                ][0],
                kind: [$($kind,)? <$type as $crate::params::Parameter>::KIND][0],
                required: <$type as $crate::params::Parameter>::REQUIRED,
                about: concat!($($about),+).trim_ascii(),
            }),*];
        }
    )+};
}
pub(crate) use parameters;

/// Bytes of the name on the wire of a member: `app_id` is `appId` there.
pub(crate) const fn camel_length(member: &str) -> usize {
    let (bytes, mut at, mut length) = (member.as_bytes(), 0, 0);
    while at < bytes.len() {
        length += (bytes[at] != b'_') as usize;
        at += 1;
    }
    length
}

/// The name on the wire of a member.
pub(crate) const fn camel<const LENGTH: usize>(member: &str) -> [u8; LENGTH] {
    let (bytes, mut name, mut at, mut length) = (member.as_bytes(), [0; LENGTH], 0, 0);
    while at < bytes.len() {
        if bytes[at] != b'_' {
            let begins_word = at > 0 && bytes[at - 1] == b'_';
            name[length] = if begins_word { bytes[at].to_ascii_uppercase() } else { bytes[at] };
            length += 1;
        }
        at += 1;
    }
    name
}

/// Bytes of a name as text.
pub(crate) const fn as_text(name: &[u8]) -> &str {
    match std::str::from_utf8(name) {
        Ok(name) => name,
        Err(_) => panic!("a name is ASCII"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    parameters! {
        /// Of every sort.
        #[derive(PartialEq)]
        pub struct Sorts {
            /// One.
            pub app: u32,
            /// Two words,
            /// two lines.
            pub other_app_id: Option<u64>,
            /// Renamed.
            pub kind as "type": String as Kind::Line(3),
            /// Both.
            pub a_b as "c": Option<String> as Kind::UpTo(4),
        }
    }

    #[test]
    fn the_table_says_what_the_struct_says() {
        let table = Sorts::FIELDS.iter().map(|f| (f.name, f.kind, f.required, f.about));
        assert_eq!(
            table.collect::<Vec<_>>(),
            [
                ("app", Kind::U32, true, "One."),
                ("otherAppId", Kind::U64, false, "Two words, two lines."),
                ("type", Kind::Line(3), true, "Renamed."),
                ("c", Kind::UpTo(4), false, "Both."),
            ]
        );
    }

    #[test]
    fn its_names_are_those_on_the_wire() {
        let whole = Sorts { app: 1, other_app_id: Some(2), kind: "k".into(), a_b: Some("c".into()) };
        let json = serde_json::to_value(&whole).unwrap();
        let mut names: Vec<_> = Sorts::FIELDS.iter().map(|field| field.name).collect();
        names.sort_unstable();
        assert_eq!(json.as_object().unwrap().keys().collect::<Vec<_>>(), names);
        assert_eq!(serde_json::from_value::<Sorts>(json).unwrap(), whole);
        let least: Sorts = serde_json::from_str(r#"{"app":1,"type":"k"}"#).unwrap();
        assert_eq!(serde_json::to_string(&least).unwrap(), r#"{"app":1,"type":"k"}"#);
    }
}
