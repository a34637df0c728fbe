//! Settings that are one of a few words.
//!
//! Invariant: any other word is refused with those there are.

use super::{Method, Role, Sync};

pub(super) fn parse_role(text: &str) -> Result<Role, String> {
    match text {
        "all" => Ok(Role::All),
        "settler" => Ok(Role::Settler),
        _ => Err("must be all or settler".to_owned()),
    }
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
