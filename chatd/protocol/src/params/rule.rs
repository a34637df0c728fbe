//! Rules over more than one parameter.
//!
//! Invariant: whoever checks, documents or describes one reads it from the operation's table.

use std::fmt;

use serde_json::{Map, Value};

use crate::code::Refusal;

/// A rule over parameters that are right one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The first is given together with none of the others.
    Apart(&'static str, &'static [&'static str]),
    /// The first, a user, is given where the second, a target, is a user: they are the two sides of a conversation.
    TwoSides(&'static str, &'static str),
}

impl Rule {
    pub(super) fn check(self, values: &Map<String, Value>) -> Result<(), Refusal> {
        let given = |name: &str| values.contains_key(name);
        let is_broken = match self {
            Rule::Apart(name, others) => given(name) && others.iter().any(|other| given(other)),
            Rule::TwoSides(user, target) => {
                let to = values.get(target).and_then(Value::as_str);
                !given(user) && to.is_some_and(|to| to.starts_with("user:"))
            }
        };
        if is_broken { Err(self.refusal()) } else { Ok(()) }
    }

    /// What is said to whoever breaks it.
    #[must_use]
    pub fn refusal(self) -> Refusal {
        match self {
            Rule::Apart(name, others) => {
                Refusal::parameter(name, format_args!("cannot be given together with {}", any_of(others)))
            }
            Rule::TwoSides(user, _) => {
                Refusal::parameter(user, "missing: a one-to-one conversation has two sides")
            }
        }
    }
}

/// In a sentence for documentation.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Apart(name, others) => {
                write!(f, "{name} cannot be given together with {}.", any_of(others))
            }
            Rule::TwoSides(user, target) => {
                write!(
                    f,
                    "{user} is required where {target} is a user: a one-to-one conversation has two sides."
                )
            }
        }
    }
}

fn any_of(names: &[&str]) -> String {
    match names {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => names.concat(),
    }
}
