//! The messages of a batch, as they come from a file or a pipe: JSONL, CSV, or names that all get one text.
//!
//! Invariant: one line is held at a time, and none is much longer than a message can be; a line that is no message is
//! told with its number, and the others go on.

use std::io::{self, BufRead, BufReader, Read};

use chat_protocol::content::MAX_CONTENT_BYTES;
use chat_protocol::{MsgId, UserId};
use serde::Deserialize;

/// Longest line, in bytes: every character of the longest message may be written as an escape of six.
const MAX_LINE: usize = MAX_CONTENT_BYTES * 6 + 1024;

/// A message to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where it stands, from 1.
    pub number: u64,
    /// Who gets it.
    pub user: UserId,
    /// What it says.
    pub message: String,
    /// The id that its line gives it.
    pub msg_id: Option<MsgId>,
    /// The sender that its line names.
    pub from: Option<UserId>,
}

/// A line that is no message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// Where it stands, from 1.
    pub number: u64,
    /// What is wrong with it.
    pub cause: String,
}

/// What the lines are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Messages: JSONL when the first one begins with a brace, else CSV under titles.
    Messages,
    /// Names of those who get this text.
    Names(String),
}

/// A member of a line of JSONL, or the columns of CSV.
#[derive(Debug, Deserialize)]
struct Written {
    #[serde(rename = "userId", alias = "userID", alias = "user")]
    user_id: String,
    #[serde(alias = "text", alias = "msg")]
    message: Option<String>,
    #[serde(rename = "msgId", alias = "msgID", default)]
    msg_id: Option<String>,
    #[serde(default)]
    from: Option<String>,
}

/// Reads until the end, or until `tell` wants no more.
pub fn read(source: impl Read, kind: &Kind, mut tell: impl FnMut(Result<Line, BadLine>) -> bool) {
    let mut source = BufReader::new(source);
    let mut told = |line: Result<Line, BadLine>| tell(line);
    let outcome = match (kind, begins_with_a_brace(&mut source)) {
        (_, Err(error)) => Err(error),
        (_, Ok(true)) => of_json(source, kind, &mut told),
        (Kind::Names(text), Ok(false)) => of_names(source, text, &mut told),
        (Kind::Messages, Ok(false)) => of_csv(source, &mut told),
    };
    if let Err(error) = outcome {
        told(Err(BadLine { number: 0, cause: format!("cannot read on: {error}") }));
    }
}

fn begins_with_a_brace(source: &mut impl BufRead) -> io::Result<bool> {
    Ok(source.fill_buf()?.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{'))
}

type Tell<'a> = &'a mut dyn FnMut(Result<Line, BadLine>) -> bool;

fn of_json(source: impl BufRead, kind: &Kind, tell: Tell<'_>) -> io::Result<()> {
    each_line(source, |number, text| {
        let read = serde_json::from_str(text).map_err(|error| error.to_string());
        tell(read.and_then(|written| line(number, written, kind)).map_err(|cause| BadLine { number, cause }))
    })
}

/// Names as `-o name` writes them; the title of a table or of CSV stands for nobody.
fn of_names(source: impl BufRead, text: &str, tell: Tell<'_>) -> io::Result<()> {
    each_line(source, |number, name| {
        if number == 1 && (name == "USER" || name == "userId") {
            return true;
        }
        let user_id = name.replace("\\\\", "\\");
        let written = Written { user_id, message: Some(text.to_owned()), msg_id: None, from: None };
        tell(line(number, written, &Kind::Messages).map_err(|cause| BadLine { number, cause }))
    })
}

fn of_csv(source: impl BufRead, tell: Tell<'_>) -> io::Result<()> {
    let mut reader = csv::ReaderBuilder::new().from_reader(source);
    let titles = reader.headers()?.clone();
    for row in reader.records() {
        let at = row.as_ref().map_or_else(csv::Error::position, |row| row.position());
        let number = at.map_or(0, csv::Position::line);
        let is_broken = row.as_ref().is_err_and(csv::Error::is_io_error);
        let written = row.and_then(|row| row.deserialize::<Written>(Some(&titles)));
        let read =
            written.map_err(|error| error.to_string()).and_then(|row| line(number, row, &Kind::Messages));
        if !tell(read.map_err(|cause| BadLine { number, cause })) || is_broken {
            break;
        }
    }
    Ok(())
}

/// Gives each line that holds something, until it wants no more.
fn each_line(mut source: impl BufRead, mut take: impl FnMut(u64, &str) -> bool) -> io::Result<()> {
    let (mut bytes, mut number) = (Vec::new(), 0);
    loop {
        bytes.clear();
        let length = source.by_ref().take(MAX_LINE as u64 + 1).read_until(b'\n', &mut bytes)?;
        number += 1;
        if length == 0 {
            return Ok(());
        }
        if length > MAX_LINE {
            return Err(io::Error::other(format!("line {number} is longer than {MAX_LINE} bytes")));
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| {
            io::Error::other(format!("line {number} is not valid UTF-8; convert it with `iconv -t UTF-8`"))
        })?;
        let text = text.trim_end_matches(['\n', '\r']);
        if !text.is_empty() && !take(number, text) {
            return Ok(());
        }
    }
}

fn line(number: u64, written: Written, kind: &Kind) -> Result<Line, String> {
    let Written { user_id, message, msg_id, from } = written;
    let message = match (kind, message) {
        (Kind::Names(text), _) => text.clone(),
        (Kind::Messages, Some(message)) => message,
        (Kind::Messages, None) => return Err("message: missing".to_owned()),
    };
    let user = user_id.parse().map_err(|error| format!("userId: {error}"))?;
    if message.is_empty() || message.len() > MAX_CONTENT_BYTES {
        return Err(format!("message: must have 1 to {MAX_CONTENT_BYTES} bytes"));
    }
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let msg_id = given(msg_id).map(|id| id.parse()).transpose();
    let from = given(from).map(|user| user.parse()).transpose();
    Ok(Line {
        number,
        user,
        message,
        msg_id: msg_id.map_err(|error| format!("msgId: {error}"))?,
        from: from.map_err(|error| format!("from: {error}"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str, kind: &Kind) -> Vec<String> {
        let mut told = Vec::new();
        read(text.as_bytes(), kind, |line| {
            told.push(match line {
                Ok(line) => {
                    let id = line.msg_id.map(|id| format!(" {id}")).unwrap_or_default();
                    let from = line.from.map(|from| format!(" <{from}")).unwrap_or_default();
                    format!("{} {}: {}{id}{from}", line.number, line.user, line.message)
                }
                Err(bad) => format!("{} {}", bad.number, bad.cause),
            });
            true
        });
        told
    }

    #[test]
    fn lines_of_json_and_of_csv_are_the_same_messages() {
        let json = "{\"userId\":\"黄帝\",\"message\":\"a,\\\"b\\\"\",\"msgId\":\"m\"}\n\n{\"userID\":\"b\",\"message\":\"x\",\"from\":\"c\"}\n";
        assert_eq!(all(json, &Kind::Messages), ["1 黄帝: a,\"b\" m", "3 b: x <c"]);
        let csv = "userId,message,msgId,from\n黄帝,\"a,\"\"b\"\"\",m,\nb,\"two\nlines\",,c\n";
        assert_eq!(all(csv, &Kind::Messages), ["2 黄帝: a,\"b\" m", "3 b: two\nlines <c"]);
    }

    #[test]
    fn names_come_from_any_list() {
        let kind = Kind::Names("hi".to_owned());
        for list in ["USER\na\\\\b\n马超\n", "userId\na\\\\b\r\n马超", "a\\\\b\n\n马超\n"] {
            let found = all(list, &kind);
            let names: Vec<_> = found.iter().map(|line| line.split_once(' ').unwrap().1).collect();
            assert_eq!(names, ["a\\b: hi", "马超: hi"], "{list:?}");
        }
        assert_eq!(
            all("{\"userId\":\"a\"}\n{\"userId\":\"b\",\"online\":true}", &kind),
            ["1 a: hi", "2 b: hi"]
        );
    }

    #[test]
    fn a_bad_line_is_told_and_the_others_go_on() {
        let json =
            "{\"userId\":\"\",\"message\":\"x\"}\n{\"userId\":\"a\"}\n{\"userId\":\"b\",\"message\":\"x\"}\n";
        assert_eq!(
            all(json, &Kind::Messages),
            ["1 userId: must not be empty", "2 message: missing", "3 b: x"]
        );
        let csv = "userId,message\na\nb,x\n";
        let found = all(csv, &Kind::Messages);
        assert!(found[0].starts_with("2 ") && found[1] == "3 b: x", "{found:?}");
        assert!(all("nope,message\na,b\n", &Kind::Messages)[0].contains("userId"));
    }

    #[test]
    fn a_line_without_an_end_is_not_read_to_it() {
        let endless = "x".repeat(MAX_LINE + 2);
        let found = all(&endless, &Kind::Names("hi".to_owned()));
        assert!(found[0].contains("longer than"), "{found:?}");
    }
}
