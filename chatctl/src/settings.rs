//! What a command works with: flags, then environment, then defaults.
//!
//! Invariant: a flag wins over its variable, and a value that does not fit is refused by the name it came under.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use chat_client::{Server, Trust};
use chat_protocol::{AppId, Span, Target, UserId, secret};
use clap::ValueEnum;

use crate::failure::Failure;
use crate::flags::Flags;
use crate::output::Format;
use crate::surroundings::Environment;

/// Where chatd listens unless told otherwise.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";
/// How long to wait for each answer.
pub const DEFAULT_TIMEOUT: Span = Span::seconds(5);
/// How often to try again.
pub const DEFAULT_RETRIES: u32 = 2;

/// When to write colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Even into a pipe.
    Always,
    /// Not at all.
    Never,
}

impl FromStr for Color {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        <Self as ValueEnum>::from_str(text, false).map_err(|_| "must be auto, always or never".to_owned())
    }
}

/// Flags and environment, merged.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The chatd to ask.
    pub server: Server,
    /// The acting user.
    pub acting: Option<UserId>,
    /// How to write data.
    pub format: Format,
    /// No notes.
    pub quiet: bool,
    /// Details.
    pub verbose: bool,
    /// When to write colour.
    pub color: Color,
    /// Longest wait for each answer.
    pub timeout: Span,
    /// How often to try again.
    pub retries: u32,
    /// Pause before it is done again, where it is.
    pub watch: Option<Span>,
    /// Print requests, send none.
    pub dry_run: bool,
    /// Ask no questions.
    pub yes: bool,
    app: Option<AppId>,
}

impl Settings {
    /// Merges flags and environment.
    ///
    /// # Errors
    /// [`Failure::Usage`] naming the variable or flag that does not fit.
    pub fn resolve(flags: &Flags, environment: &Environment) -> Result<Self, Failure> {
        let format = match (flags.json, flags.output) {
            (true, Some(other)) if other != Format::Json => {
                return Err(Failure::usage("--json and -o name different formats", "give one of them"));
            }
            (true, _) => Some(Format::Json),
            (false, chosen) => chosen,
        };
        let server = or_variable(flags.server.clone(), environment, "CHATCTL_SERVER")?;
        let server = match server {
            Some(server) => server,
            None => DEFAULT_SERVER.parse().map_err(Failure::from)?,
        };
        let authority = match flags.insecure {
            true => None,
            false => or_variable(flags.ca.clone(), environment, "CHATCTL_CA")?,
        };
        let server = server.trusting(Trust::asked(authority, flags.insecure))?;
        let server = match token(flags, environment)? {
            Some(token) => server.showing(&token)?,
            None => server,
        };
        let timeout = or_variable(flags.timeout, environment, "CHATCTL_TIMEOUT")?.unwrap_or(DEFAULT_TIMEOUT);
        if timeout.millis() == 0 {
            let none = format!("no server answers within a timeout of {timeout}");
            return Err(Failure::usage(none, "give for example --timeout 5s"));
        }
        Ok(Self {
            server,
            app: or_variable(flags.app, environment, "CHATCTL_APP")?,
            acting: or_variable(flags.acting.clone(), environment, "CHATCTL_AS")?,
            format: or_variable(format, environment, "CHATCTL_OUTPUT")?.unwrap_or(Format::Table),
            quiet: flags.quiet,
            verbose: flags.verbose,
            color: or_variable(flags.color, environment, "CHATCTL_COLOR")?.unwrap_or(Color::Auto),
            timeout,
            retries: or_variable(flags.retries, environment, "CHATCTL_RETRIES")?.unwrap_or(DEFAULT_RETRIES),
            watch: flags.watch,
            dry_run: flags.dry_run,
            yes: flags.yes,
        })
    }

    /// The app, for a command that cannot do without.
    ///
    /// # Errors
    /// [`Failure::Usage`] naming flag and variable.
    pub fn app(&self) -> Result<AppId, Failure> {
        self.app
            .ok_or_else(|| Failure::usage("this command needs an app", "give --app N, or set CHATCTL_APP"))
    }

    /// The acting user, for a command that cannot do without.
    ///
    /// # Errors
    /// [`Failure::Usage`] naming flag and variable.
    pub fn acting(&self) -> Result<UserId, Failure> {
        self.acting.clone().ok_or_else(|| {
            Failure::usage("this command needs a user to act as", "give --as USER, or set CHATCTL_AS")
        })
    }

    /// The acting user, for a command that needs one in a one-to-one conversation only.
    ///
    /// # Errors
    /// As [`Settings::acting`].
    pub fn acting_in(&self, target: &Target) -> Result<Option<UserId>, Failure> {
        match target {
            Target::User(_) => self.acting().map(Some),
            Target::World | Target::Group(_) => Ok(self.acting.clone()),
        }
    }

    /// The app, for a command that can.
    #[must_use]
    pub fn app_if_named(&self) -> Option<AppId> {
        self.app
    }
}

/// The key or token to show, from the nearest place: flags before variables. No refusal repeats it.
fn token(flags: &Flags, environment: &Environment) -> Result<Option<String>, Failure> {
    let of_line = (flags.token.clone(), flags.token_file.clone());
    let (token, file) = match of_line {
        (None, None) => (
            variable(environment, "CHATCTL_TOKEN")?,
            variable(environment, "CHATCTL_TOKEN_FILE")?.map(PathBuf::from),
        ),
        of_line => of_line,
    };
    match (token, file) {
        (Some(token), _) => Ok(Some(token)),
        (None, None) => Ok(None),
        (None, Some(file)) => match std::fs::read_to_string(&file) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) => {
                let name = file.to_string_lossy();
                let cause = format!("cannot read the token in {}: {error}", secret::file(&name));
                Err(Failure::usage(cause, "check --token-file, or CHATCTL_TOKEN_FILE"))
            }
        },
    }
}

/// A variable; an empty one is how a shell script unsets it for a single command.
fn variable(environment: &Environment, name: &str) -> Result<Option<String>, Failure> {
    let Some(value) = environment(name).filter(|value| !value.is_empty()) else { return Ok(None) };
    let text = value.into_string();
    let bad = |_| Failure::Usage { cause: format!("{name}: not valid UTF-8"), next: None };
    text.map(Some).map_err(bad)
}

fn or_variable<T>(flag: Option<T>, environment: &Environment, name: &str) -> Result<Option<T>, Failure>
where
    T: FromStr,
    T::Err: Display,
{
    if flag.is_some() {
        return Ok(flag);
    }
    let Some(text) = variable(environment, name)? else { return Ok(None) };
    let bad = |why: String| Failure::Usage { cause: format!("{name}: {why}"), next: None };
    // Reasons that begin with a quotation name the value themselves, without the secrets that may be in it.
    text.parse().map(Some).map_err(|why: T::Err| {
        let why = why.to_string();
        bad(if why.starts_with('"') { why } else { format!("{:?}: {why}", secret::file(&text)) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Cli;
    use clap::Parser;
    use std::ffi::OsString;

    fn resolve(line: &[&str], variables: &'static [(&str, &str)]) -> Result<Settings, Failure> {
        let cli = Cli::try_parse_from([&["chatctl"], line].concat()).unwrap();
        Settings::resolve(&cli.flags, &move |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn a_flag_wins_over_its_variable() {
        let variables = &[
            ("CHATCTL_APP", "7"),
            ("CHATCTL_AS", "黄帝"),
            ("CHATCTL_OUTPUT", "csv"),
            ("CHATCTL_TIMEOUT", "1m"),
        ];
        let from_variables = resolve(&["state"], variables).unwrap();
        assert_eq!(from_variables.app().unwrap(), 7);
        assert_eq!(from_variables.acting.unwrap().as_str(), "黄帝");
        assert_eq!((from_variables.format, from_variables.timeout), (Format::Csv, Span::seconds(60)));
        let from_flags = resolve(&["state", "--app", "8", "--json", "--timeout=2s"], variables).unwrap();
        assert_eq!((from_flags.app().unwrap(), from_flags.format), (8, Format::Json));
        assert_eq!(from_flags.timeout, Span::seconds(2));
    }

    #[test]
    fn a_bad_variable_is_named() {
        let refusals: [(&'static [(&str, &str)], &str); 5] = [
            (&[("CHATCTL_APP", "x")], "CHATCTL_APP: \"x\""),
            (&[("CHATCTL_TIMEOUT", "5d")], "CHATCTL_TIMEOUT: \"5d\": this is no stretch of time"),
            (&[("CHATCTL_TIMEOUT", "0s")], "no server answers within a timeout of 0s"),
            (&[("CHATCTL_OUTPUT", "xml")], "CHATCTL_OUTPUT: \"xml\""),
            (&[("CHATCTL_SERVER", "ftp://u:pw@x")], "CHATCTL_SERVER: \"ftp://***@x\""),
        ];
        for (variables, start) in refusals {
            let failure = resolve(&["state"], variables).unwrap_err().to_string();
            assert!(failure.starts_with(start), "{failure}");
        }
    }

    #[test]
    fn a_missing_app_names_flag_and_variable() {
        let step =
            resolve(&["list"], &[("CHATCTL_APP", "")]).unwrap().app().unwrap_err().next_step().unwrap();
        assert!(step.contains("--app") && step.contains("CHATCTL_APP"));
    }

    #[test]
    fn a_missing_user_names_flag_and_variable() {
        let settings = resolve(&["list"], &[]).unwrap();
        let step = settings.acting().unwrap_err().next_step().unwrap();
        assert!(step.contains("--as") && step.contains("CHATCTL_AS"));
        assert!(settings.acting_in(&"user:x".parse().unwrap()).is_err());
        assert_eq!(settings.acting_in(&Target::World).unwrap(), None);
    }

    #[test]
    fn contradicting_formats_are_refused() {
        assert!(resolve(&["state", "--json", "-o", "csv"], &[]).is_err());
        assert!(resolve(&["state", "--json", "-o", "json"], &[]).is_ok());
    }
}
