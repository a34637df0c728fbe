//! Settings that are one of a few words.
//!
//! Invariant: any other word is refused with those there are.

use super::{Method, Role, Sync};

pub(super) fn parse_role(text: &str) -> Result<Role, String> {
    let found = Role::ALL.into_iter().find(|role| role.as_str() == text);
    found.ok_or_else(|| "must be all, gateway, api, sender or settler".to_owned())
}

pub(super) fn parse_split(text: &str) -> Result<Method, String> {
    match text {
        "double-average" => Ok(Method::DoubleAverage),
        "line-cutting" => Ok(Method::LineCutting),
        _ => Err("must be double-average or line-cutting".to_owned()),
    }
}

pub(super) fn parse_sync(text: &str) -> Result<Sync, String> {
    match text {
        "normal" => Ok(Sync::Normal),
        "full" => Ok(Sync::Full),
        _ => Err("must be normal or full".to_owned()),
    }
}
