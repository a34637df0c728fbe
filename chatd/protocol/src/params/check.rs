//! Whether one parameter is what its field asks for.
//!
//! Invariant: what passes has the type of its field, numbers as numbers, and lies within its bounds.

use std::str::FromStr;

use serde_json::Value;

use super::{Field, Kind, MAX_U64, Reserved};
use crate::code::{Code, Refusal};
use crate::content::MAX_CONTENT_BYTES;
use crate::id::{GroupId, IdError, MsgId, PacketId, TransferId, UserId, check as check_text};
use crate::target::Target;

pub(super) fn check(field: &Field, value: &mut Value) -> Result<(), Refusal> {
    let name = field.name;
    match field.kind {
        Kind::U32 => number(name, value, (0, u64::from(u32::MAX))),
        Kind::U64 => number(name, value, (0, MAX_U64)),
        Kind::Between(min, max) => number(name, value, (min, max)),
        Kind::Text | Kind::Cursor(_) => text(name, value).map(|_| ()),
        Kind::Line(max) => {
            check_text(text(name, value)?, max).map_err(|error| Refusal::parameter(name, error))
        }
        Kind::UpTo(max) if text(name, value)?.len() > max => {
            Err(Refusal::parameter(name, format_args!("must be at most {max} bytes")))
        }
        Kind::UpTo(_) => Ok(()),
        Kind::Content => content(name, text(name, value)?),
        Kind::OneOf(words) if words.contains(&text(name, value)?) => Ok(()),
        Kind::OneOf(words) => {
            Err(Refusal::parameter(name, format_args!("must be one of {}", words.join(", "))))
        }
        Kind::UserId => UserId::new(text(name, value)?)
            .map(|_| ())
            .map_err(|e| Refusal::new(Code::BadUserId, format!("{name}: {e}"))),
        Kind::GroupId => identifier::<GroupId>(name, value),
        Kind::MsgId => identifier::<MsgId>(name, value),
        Kind::PacketId => identifier::<PacketId>(name, value),
        Kind::TransferId => identifier::<TransferId>(name, value),
        Kind::Target => {
            text(name, value)?.parse::<Target>().map(|_| ()).map_err(|e| Refusal::parameter(name, e))
        }
        Kind::Json => Ok(()),
        Kind::Reserved => Err(Refusal::parameter(name, Reserved::REFUSAL)),
    }
}

fn identifier<T: FromStr<Err = IdError>>(name: &str, value: &Value) -> Result<(), Refusal> {
    text(name, value)?.parse::<T>().map(|_| ()).map_err(|error| Refusal::parameter(name, error))
}

fn text<'v>(name: &str, value: &'v Value) -> Result<&'v str, Refusal> {
    value.as_str().ok_or_else(|| Refusal::parameter(name, "must be a text"))
}

fn content(name: &str, text: &str) -> Result<(), Refusal> {
    match text.len() {
        0 => Err(Refusal::parameter(name, "must not be empty")),
        1..=MAX_CONTENT_BYTES => Ok(()),
        _ => {
            let reason = format!("a message may hold at most {MAX_CONTENT_BYTES} bytes");
            Err(Refusal::new(Code::TooLarge, reason))
        }
    }
}

/// The number that some writers of JSON give a needless fraction, as in 5.0.
fn whole(number: f64) -> Option<u64> {
    (number.fract() == 0.0 && (0.0..=MAX_U64 as f64).contains(&number)).then_some(number as u64)
}

fn number(name: &str, value: &mut Value, (min, max): (u64, u64)) -> Result<(), Refusal> {
    let parsed = match value {
        Value::Number(number) => number.as_u64().or_else(|| whole(number.as_f64()?)),
        // `u64::from_str` would also take "+5", which no writer of numbers produces.
        Value::String(text) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    };
    match parsed {
        Some(number) if (min..=max).contains(&number) => {
            *value = number.into();
            Ok(())
        }
        _ => Err(Refusal::parameter(name, format_args!("must be a whole number from {min} to {max}"))),
    }
}
