//! Where a message goes: the world room, a group, or one user.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::id::{GroupId, IdError, UserId};

/// Destination of a message, written `""`, `"group:<groupId>"` or `"user:<userId>"`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// The world room of the app.
    World,
    /// Every member of a group.
    Group(GroupId),
    /// One user, on all devices.
    User(UserId),
}

/// Why a text is not a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Neither empty nor one of the two prefixes.
    #[error("must be \"\" (world), \"group:<groupId>\" or \"user:<userId>\"")]
    Shape,
    /// The part behind `group:`.
    #[error("the groupId {0}")]
    Group(IdError),
    /// The part behind `user:`.
    #[error("the userId {0}")]
    User(IdError),
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        if text.is_empty() {
            return Ok(Target::World);
        }
        match text.split_once(':') {
            Some(("group", id)) => GroupId::new(id).map(Target::Group).map_err(TargetError::Group),
            Some(("user", id)) => UserId::new(id).map(Target::User).map_err(TargetError::User),
            _ => Err(TargetError::Shape),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::World => Ok(()),
            Target::Group(id) => write!(f, "group:{id}"),
            Target::User(id) => write!(f, "user:{id}"),
        }
    }
}

impl schemars::JsonSchema for Target {
    fn schema_name() -> Cow<'static, str> {
        "Target".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": r"^(?:|(?:group|user):[^\u0000-\u001f]+)$"})
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        <Cow<'de, str>>::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips() {
        for text in ["", "group:g1", "user:马超", "user:a:b"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn malformed_targets_are_refused() {
        assert_eq!("world".parse::<Target>(), Err(TargetError::Shape));
        assert_eq!("User:x".parse::<Target>(), Err(TargetError::Shape));
        assert_eq!("user:".parse::<Target>(), Err(TargetError::User(IdError::Empty)));
        assert!(matches!("group:\n".parse::<Target>(), Err(TargetError::Group(IdError::Control))));
    }
}
