//! What a line looks like: text for people, or JSON for programs.
//!
//! Invariant: one event is one line, whatever stands in its names and reasons.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tracing::Level;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

/// How lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Time, level, spans, target, message and fields.
    #[default]
    Text,
    /// One object a line, with `timestamp`, `level`, `target`, `fields` and, where there are any, `spans`.
    Json,
}

impl Form {
    /// Reads a form's name.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(name: &str) -> Result<Self, String> {
        match name {
            "text" => Ok(Form::Text),
            "json" => Ok(Form::Json),
            _ => Err("must be text or json".to_owned()),
        }
    }

    /// A line that no event stands behind, in the form of the others.
    pub(super) fn stamped(self, level: Level, target: &str, text: &str) -> String {
        match self {
            Form::Text => format!("{} {level:>5} {target}: {}\n", now(), one_line(text, |_| true)),
            Form::Json => object(level, target, text),
        }
    }

    /// A plain line.
    pub(super) fn plain(self, level: Level, text: &str) -> String {
        match self {
            Form::Text => format!("{}\n", one_line(text, |_| true)),
            Form::Json => object(level, env!("CARGO_CRATE_NAME"), text),
        }
    }

    /// The line of an event, as it was written out.
    pub(super) fn event(self, line: &[u8]) -> Cow<'_, [u8]> {
        match (self, str::from_utf8(line)) {
            (Form::Text, Ok(text)) if text[..text.len().saturating_sub(1)].contains(is_breaking) => {
                // What colours a terminal is the writer's own; what came in a field is escaped already.
                let line = one_line(text.strip_suffix('\n').unwrap_or(text), |sign| sign != '\x1b');
                Cow::Owned(format!("{line}\n").into_bytes())
            }
            _ => Cow::Borrowed(line),
        }
    }
}

fn now() -> String {
    let mut now = String::new();
    // Cannot fail: a string takes everything.
    let _ = SystemTime.format_time(&mut Writer::new(&mut now));
    now
}

fn object(level: Level, target: &str, text: &str) -> String {
    let fields = json!({"message": text});
    let line = json!({"timestamp": now(), "level": level.as_str(), "target": target, "fields": fields});
    format!("{line}\n")
}

/// Whether a reader of lines, or a terminal, may take it for something else than text.
fn is_breaking(sign: char) -> bool {
    sign.is_control() || matches!(sign, '\u{2028}' | '\u{2029}')
}

fn one_line(text: &str, also: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(is_breaking) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 8);
    for sign in text.chars() {
        match is_breaking(sign) && also(sign) {
            true => line.extend(sign.escape_debug()),
            false => line.push(sign),
        }
    }
    Cow::Owned(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_in_either_form() {
        let text = "a \"name\"\nand\r another\u{85}\u{2028}\x1b[31m";
        for form in [Form::Text, Form::Json] {
            for line in [form.stamped(Level::WARN, "chatd", text), form.plain(Level::INFO, text)] {
                let inner = line.strip_suffix('\n').unwrap();
                assert!(!inner.contains(['\n', '\r', '\x1b']), "{line:?}");
                if form == Form::Json {
                    let value: serde_json::Value = serde_json::from_str(inner).unwrap();
                    assert_eq!(value["fields"]["message"], text);
                }
            }
        }
        let event = Form::Text.event(b"\x1b[32mINFO\x1b[0m one\nand two\n");
        assert_eq!(str::from_utf8(&event).unwrap(), "\x1b[32mINFO\x1b[0m one\\nand two\n");
    }
}
