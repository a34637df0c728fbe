//! What would be sent, shown instead: as data, as lines, or as command lines of curl.
//!
//! Invariant: a key or token is never part of it; a line of curl names the place where it is.

use chat_client::Trust;
use chat_protocol::Operation;
use serde::Serialize;
use serde_json::Value;

use super::Operator;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::json::compact;
use crate::report::Report;

/// A request that `--dry-run` shows.
#[derive(Debug)]
pub struct Rehearsed {
    /// GET or POST.
    pub method: &'static str,
    /// Where to.
    pub url: String,
    /// The parameters in the body, if it has one.
    pub body: Value,
}

impl Operator {
    /// What a call would send.
    pub fn rehearsed<O: Operation>(&self, request: &O::Request) -> Rehearsed {
        self.rehearsed_raw(O::PATH, request)
    }

    /// What a call of the operation at `path` would send.
    pub fn rehearsed_raw(&self, path: &str, request: &impl Serialize) -> Rehearsed {
        let body = serde_json::to_value(request).unwrap_or_default();
        Rehearsed { method: "POST", url: self.settings.server.url(path).into(), body }
    }

    /// Shows requests instead of sending them.
    ///
    /// # Errors
    /// [`Failure::Output`].
    pub fn rehearse(&self, requests: &[Rehearsed]) -> Result<Exit, Failure> {
        if self.settings.curl {
            let lines: String = requests.iter().map(|request| self.curl(request) + "\n").collect();
            self.console.data(&lines)?;
            return Ok(Exit::Done);
        }
        let lines = requests.iter().flat_map(|request| {
            let body = (!request.body.is_null()).then(|| compact(&request.body));
            std::iter::once(format!("{} {}", request.method, request.url)).chain(body)
        });
        let row = |r: &Rehearsed| vec![r.method.into(), r.url.clone().into(), r.body.clone().into()];
        let columns = [("method", "METHOD"), ("url", "URL"), ("body", "BODY")];
        let report = Report::list(&columns, requests.iter().map(row).collect());
        self.print(&report.in_words(lines.collect()))?;
        self.console.detail("--dry-run: nothing was sent");
        Ok(Exit::Done)
    }

    fn curl(&self, request: &Rehearsed) -> String {
        let server = &self.settings.server;
        let mut words = vec!["curl".to_owned(), "-sS".to_owned()];
        match server.trust() {
            Trust::System => {}
            Trust::Authority(file) => words.extend(["--cacert".to_owned(), quoted(&file.to_string_lossy())]),
            Trust::Anyone => words.push("-k".to_owned()),
        }
        if server.token().is_some() {
            // Whoever runs it has it in the environment; here it would stand in a file or in the history of a shell.
            words.extend(["-H".to_owned(), "\"Authorization: Bearer $CHATCTL_TOKEN\"".to_owned()]);
        } else if server.authorization().is_some() {
            words.extend(["-u".to_owned(), "\"$CHATCTL_LOGIN\"".to_owned()]);
        }
        if request.method != "GET" && (request.method != "POST" || request.body.is_null()) {
            words.extend(["-X".to_owned(), request.method.to_owned()]);
        }
        if !request.body.is_null() {
            words.extend(["-H", "'Content-Type: application/json'", "-d"].map(ToOwned::to_owned));
            words.push(quoted(&compact(&request.body)));
        }
        words.push(quoted(&request.url));
        words.join(" ")
    }
}

/// One word for a shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_shell_reads_a_quoted_word_as_it_is() {
        let word = "it's \"a\" $word `x` \\ 黄";
        let echoed =
            std::process::Command::new("sh").args(["-c", &format!("printf %s {}", quoted(word))]).output();
        assert_eq!(String::from_utf8(echoed.unwrap().stdout).unwrap(), word);
    }
}
