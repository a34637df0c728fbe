//! Where the messages of a batch are read from: a file or standard input.
//!
//! Invariant: they are read a little ahead and no more, on a thread that may wait.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use chat_protocol::secret;
use tokio::sync::mpsc;

use super::lines::{self, BadLine, Kind, Line};
use crate::failure::Failure;
use crate::operator::Operator;

/// Lines read ahead.
const AHEAD: usize = 256;

/// The source, and how many lines it has where that can be known.
pub fn source(
    path: Option<&PathBuf>,
    operator: &Operator,
) -> Result<(Box<dyn Read + Send>, Option<u64>), Failure> {
    let Some(path) = path else { return Ok((operator.take_stdin(), None)) };
    let bad = |error: std::io::Error| {
        let why = crate::failure::plain(&error.to_string()).to_owned();
        let name = path.to_string_lossy();
        Failure::usage(format!("cannot read {}: {why}", secret::file(&name)), "- reads standard input")
    };
    let is_file = std::fs::metadata(path).map_err(bad)?.is_file();
    let of = if is_file { Some(count_lines(File::open(path).map_err(bad)?).map_err(bad)?) } else { None };
    Ok((Box::new(File::open(path).map_err(bad)?), of))
}

fn count_lines(mut file: File) -> std::io::Result<u64> {
    let (mut piece, mut lines) = (vec![0; 1 << 16], 0);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(lines),
            length => lines += piece[..length].iter().filter(|byte| **byte == b'\n').count() as u64,
        }
    }
}

/// Reads on a thread of its own, a little ahead.
pub fn reading(source: Box<dyn Read + Send>, kind: Kind) -> mpsc::Receiver<Result<Line, BadLine>> {
    let (tell, told) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || lines::read(source, &kind, |line| tell.blocking_send(line).is_ok()));
    told
}
