//! Named servers of an operator, in a file that chatctl writes and chatbench reads too.
//!
//! Invariants: no secret stands in the file, only where one is; what a person wrote there by hand stays as it is.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chat_protocol::{AppId, UserId, secret};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::server::Server;
use crate::trust::Trust;

/// Looks up a variable of the environment.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Name of the folder of chatd's settings of a user.
const FOLDER: &str = "chatd";
/// Name of the file of contexts in it.
const FILE: &str = "contexts.toml";
/// Name of the file beside it with the name of the one in use.
const IN_USE: &str = "context";

/// A server, and how to speak to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// Its URL, without user and password.
    pub server: String,
    /// The app it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppId>,
    /// The user to act as.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub acting: Option<UserId>,
    /// Certificates to believe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Believe any certificate.
    #[serde(default, skip_serializing_if = "is_false")]
    pub insecure: bool,
    /// File with the key or token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Variable of the environment with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_env: Option<String>,
    /// Command of the shell that prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_command: Option<String>,
    /// Every change is asked for first.
    #[serde(default, skip_serializing_if = "is_false")]
    pub protected: bool,
    /// Colour of its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<Color>,
}

/// Colour of a name in a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[expect(missing_docs, reason = "they are what they are called")]
pub enum Color {
    Red,
    Green,
    Yellow,
    Blue,
    Magenta,
    Cyan,
}

impl Color {
    /// Number of the colour in an escape sequence of a terminal.
    #[must_use]
    pub const fn number(self) -> u8 {
        31 + self as u8
    }
}

impl Context {
    /// The server, with the key or token that the context names.
    ///
    /// # Errors
    /// [`Error::BadServer`] naming what cannot be used; never with the secret.
    pub fn server(&self, variables: Variables<'_>) -> Result<Server, Error> {
        let server: Server = self.server.parse()?;
        let server = server.trusting(Trust::asked(self.ca.clone(), self.insecure))?;
        match self.token(variables)? {
            Some(token) => server.showing(&token),
            None => Ok(server),
        }
    }

    /// The key or token, from where the context says it is.
    ///
    /// # Errors
    /// [`Error::BadServer`] naming the place that holds none.
    pub fn token(&self, variables: Variables<'_>) -> Result<Option<String>, Error> {
        let bad = |cause: String| Error::BadServer(cause);
        if let Some(file) = &self.token_file {
            let name = file.to_string_lossy();
            let read = fs::read_to_string(file)
                .map_err(|error| bad(format!("cannot read the token in {}: {error}", secret::file(&name))))?;
            return Ok(Some(read.trim().to_owned()));
        }
        if let Some(name) = &self.token_env {
            let value = variables(name).and_then(|value| value.into_string().ok());
            let value = value.filter(|value| !value.is_empty());
            return value.map(Some).ok_or_else(|| bad(format!("the variable {name} holds no token")));
        }
        let Some(command) = &self.token_command else { return Ok(None) };
        // It may ask for a passphrase: the terminal is its own.
        let ran = Command::new("sh").args(["-c", command]).stdout(Stdio::piped()).spawn();
        let ended = ran.and_then(std::process::Child::wait_with_output);
        let ended = ended.map_err(|error| bad(format!("the command for the token does not run: {error}")))?;
        let text = String::from_utf8_lossy(&ended.stdout);
        match ended.status.success() && !text.trim().is_empty() {
            true => Ok(Some(text.trim().to_owned())),
            false => Err(bad(format!("the command for the token gave none ({})", ended.status))),
        }
    }
}

/// All contexts of a user.
#[derive(Debug, Clone)]
pub struct Contexts {
    folder: PathBuf,
    text: String,
    /// By name.
    pub known: BTreeMap<String, Context>,
}

impl Contexts {
    /// Reads them from `$XDG_CONFIG_HOME/chatd`, or `~/.config/chatd`; none where neither is known or there is no file.
    ///
    /// # Errors
    /// [`Error::BadServer`] naming the file that cannot be read or is none.
    pub fn read(variables: Variables<'_>) -> Result<Self, Error> {
        let set = |name: &str| variables(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let base = set("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
        let base = base.or_else(|| Some(set("HOME")?.join(".config")));
        let Some(base) = base else {
            return Ok(Self { folder: PathBuf::new(), text: String::new(), known: BTreeMap::new() });
        };
        let folder = base.join(FOLDER);
        let text = match fs::read_to_string(folder.join(FILE)) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(unusable(&folder.join(FILE), &error)),
        };
        let known = parse(&text).map_err(|error| unusable(&folder.join(FILE), &error))?;
        Ok(Self { folder, text, known })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// The context of this name.
    ///
    /// # Errors
    /// [`Error::BadServer`] with those there are.
    pub fn get(&self, name: &str) -> Result<&Context, Error> {
        self.known.get(name).ok_or_else(|| {
            let names: Vec<_> = self.known.keys().map(String::as_str).collect();
            let there = if names.is_empty() { "there is none".to_owned() } else { names.join(", ") };
            Error::BadServer(format!("no context {}; known: {there}", secret::file(name)))
        })
    }

    /// The name of the one in use, if any.
    ///
    /// # Errors
    /// [`Error::BadServer`] when that cannot be read.
    pub fn in_use(&self) -> Result<Option<String>, Error> {
        if self.known.is_empty() {
            return Ok(None);
        }
        let file = self.folder.join(IN_USE);
        match fs::read_to_string(&file) {
            Ok(text) => Ok(Some(text.trim().to_owned()).filter(|name| !name.is_empty())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unusable(&file, &error)),
        }
    }

    /// From now on this one is used where none is named; none at all with `None`.
    ///
    /// # Errors
    /// [`Error::BadServer`] when that cannot be written.
    pub fn make_used(&self, name: Option<&str>) -> Result<(), Error> {
        let file = self.folder.join(IN_USE);
        match name {
            Some(name) => self.write(IN_USE, &format!("{name}\n")),
            None => match fs::remove_file(&file) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(unusable(&file, &error)),
                _ => Ok(()),
            },
        }
    }

    /// Adds a context, or puts it in the place of the one that has its name.
    ///
    /// # Errors
    /// [`Error::BadServer`] when the file cannot be written.
    pub fn put(&mut self, name: &str, context: &Context) -> Result<(), Error> {
        let mut text = without(&self.text, name);
        if !text.is_empty() {
            text = format!("{}\n\n", text.trim_end());
        }
        let alone = BTreeMap::from([(name, context)]);
        text += &toml::to_string(&alone).map_err(|error| unusable(&self.path(), &error))?;
        self.replace(text, name, Some(context))
    }

    /// Takes a context away.
    ///
    /// # Errors
    /// As [`Contexts::put`].
    pub fn remove(&mut self, name: &str) -> Result<(), Error> {
        self.replace(without(&self.text, name), name, None)
    }

    fn replace(&mut self, text: String, name: &str, context: Option<&Context>) -> Result<(), Error> {
        let mut wanted = self.known.clone();
        match context {
            Some(context) => wanted.insert(name.to_owned(), context.clone()),
            None => wanted.remove(name),
        };
        let is_so = parse(&text).is_ok_and(|found| found == wanted);
        if !is_so {
            return Err(unusable(&self.path(), &format!("change {name} by hand, it is written unusually")));
        }
        self.write(FILE, &text)?;
        (self.text, self.known) = (text, wanted);
        Ok(())
    }

    /// Writes a file whole or not at all, for its owner alone.
    fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        let (file, new) = (self.folder.join(name), self.folder.join(format!(".{name}.new")));
        if self.folder.as_os_str().is_empty() {
            return Err(Error::BadServer("nowhere to keep contexts: set HOME or XDG_CONFIG_HOME".to_owned()));
        }
        let written = || -> io::Result<()> {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
            let mut options = fs::OpenOptions::new();
            let mut out = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            out.write_all(text.as_bytes())?;
            out.sync_all()?;
            fs::rename(&new, &file)
        };
        written().map_err(|error| unusable(&file, &error))
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

fn parse(text: &str) -> Result<BTreeMap<String, Context>, String> {
    // The place is told without the line: nobody knows what a person put there.
    toml::from_str(text).map_err(|error| error.message().to_owned())
}

fn unusable(file: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::BadServer(format!("{}: {why}", secret::file(&file.to_string_lossy())))
}

/// The text without the table of this name.
fn without(text: &str, name: &str) -> String {
    let mut is_inside = false;
    let kept = text.split_inclusive('\n').filter(|line| {
        if let Some(found) = table_name(line) {
            is_inside = found == name;
        }
        !is_inside
    });
    kept.collect()
}

/// `x` of the line `[x]`.
fn table_name(line: &str) -> Option<String> {
    if !line.trim_start().starts_with('[') {
        return None;
    }
    let table: BTreeMap<String, BTreeMap<String, String>> = toml::from_str(line).ok()?;
    table.into_keys().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_wrote_stays() {
        let text = "# mine\n[a]\nserver = \"http://a\" # near\n\n[\"生产\"]\nserver = \"http://p\"\n\n[b]\nserver = \"http://b\"\n";
        assert_eq!(
            without(text, "生产"),
            "# mine\n[a]\nserver = \"http://a\" # near\n\n[b]\nserver = \"http://b\"\n"
        );
        assert_eq!(without(text, "c"), text);
        assert_eq!(parse(&without(text, "a")).unwrap().into_keys().collect::<Vec<_>>(), ["b", "生产"]);
    }

    #[test]
    fn a_token_is_where_the_context_says_and_in_no_refusal() {
        let variables = |name: &str| (name == "KEY").then(|| OsString::from("ck_ops_hush"));
        let context = |command: Option<&str>, variable: Option<&str>| Context {
            server: "http://a".to_owned(),
            token_command: command.map(ToOwned::to_owned),
            token_env: variable.map(ToOwned::to_owned),
            ..Context::default()
        };
        let token =
            |found: Context| found.server(&variables).map(|server| server.token().map(ToOwned::to_owned));
        assert_eq!(token(context(None, Some("KEY"))).unwrap().unwrap(), "ck_ops_hush");
        assert_eq!(token(context(Some("echo ' spoken '"), None)).unwrap().unwrap(), "spoken");
        assert_eq!(token(context(None, None)).unwrap(), None);
        for bad in
            [context(Some("echo hush; false"), None), context(Some("true"), None), context(None, Some("NO"))]
        {
            let error = token(bad).unwrap_err().to_string();
            assert!(!error.contains("hush") && error.contains("token"), "{error}");
        }
    }

    #[test]
    fn unknown_words_in_the_file_are_refused() {
        assert!(
            parse("[a]\nserver = \"http://a\"\ntoken = \"ck_hush\"\n").is_err_and(|e| !e.contains("hush"))
        );
        assert!(parse("[a]\napp = 1\n").is_err());
    }
}
