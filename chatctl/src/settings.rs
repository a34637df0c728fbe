//! What a command works with: flags, then environment, then the context in use, then defaults.
//!
//! Invariant: a flag wins over its variable, and a value that does not fit is refused by the name it came under.
//!
//! | module | holds |
//! |---|---|
//! | `chosen` | which context is used |
//! | `server` | the server, whom it is believed by, and what it is shown |

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use chat_client::Server;
use chat_protocol::{AppId, Span, Target, UserId, secret};

use crate::failure::Failure;
use crate::flags::{Color, Flags};
use crate::output::Format;
use crate::output::view::View;
use crate::surroundings::Environment;
use chosen::Chosen;

mod chosen;
mod server;

/// Where chatd listens unless told otherwise.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";
/// How long to wait for each answer.
pub const DEFAULT_TIMEOUT: Span = Span::seconds(5);
/// How often to try again.
pub const DEFAULT_RETRIES: u32 = 2;

/// The context in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InUse {
    /// Its name.
    pub name: String,
    /// Number of its colour in a terminal.
    pub color: u8,
    /// Every change is asked for first.
    pub protected: bool,
}

/// Flags, environment and context, merged.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The chatd to ask.
    pub server: Server,
    /// The acting user.
    pub acting: Option<UserId>,
    /// How to write data.
    pub format: Format,
    /// Which of it.
    pub view: View,
    /// Nothing is cut to fit.
    pub wide: bool,
    /// No titles.
    pub no_headers: bool,
    /// No pager.
    pub no_pager: bool,
    /// Times in UTC.
    pub utc: bool,
    /// Times as ages.
    pub ages: bool,
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
    /// As lines of curl.
    pub curl: bool,
    /// Ask no questions.
    pub yes: bool,
    /// Where server, app and user come from, unless they were named.
    pub context: Option<InUse>,
    /// What stands on the line itself about a server, for `context add`.
    pub on_line: OnLine,
    app: Option<AppId>,
}

/// What a line says of a server, without variables and defaults.
#[derive(Debug, Clone)]
pub struct OnLine {
    /// The chatd.
    pub server: Option<Server>,
    /// The app.
    pub app: Option<AppId>,
    /// The acting user.
    pub acting: Option<UserId>,
    /// Certificates to believe.
    pub ca: Option<PathBuf>,
    /// Believe anyone.
    pub insecure: bool,
    /// File with the key.
    pub token_file: Option<PathBuf>,
    /// The key itself was given.
    pub has_token: bool,
    /// The name of a context was given.
    pub has_context: bool,
}

impl OnLine {
    fn of(flags: &Flags) -> Self {
        Self {
            server: flags.server.clone(),
            app: flags.app,
            acting: flags.acting.clone(),
            ca: flags.ca.clone(),
            insecure: flags.insecure,
            token_file: flags.token_file.clone(),
            has_token: flags.token.is_some(),
            has_context: flags.context.is_some(),
        }
    }
}

impl Settings {
    /// Merges flags, environment and context.
    ///
    /// # Errors
    /// [`Failure::Usage`] naming the variable or flag that does not fit.
    pub fn resolve(flags: &Flags, environment: &Environment) -> Result<Self, Failure> {
        let chosen = Chosen::find(flags, environment)?;
        let server = server::of(flags, environment, chosen.as_ref())?;
        Self::with(flags, environment, chosen, server)
    }

    /// As [`Settings::resolve`], for a command that asks no server: no context and no secret is looked for.
    ///
    /// # Errors
    /// As [`Settings::resolve`].
    pub fn without_server(flags: &Flags, environment: &Environment) -> Result<Self, Failure> {
        Self::with(flags, environment, None, server::default()?)
    }

    fn with(
        flags: &Flags,
        environment: &Environment,
        chosen: Option<Chosen>,
        server: Server,
    ) -> Result<Self, Failure> {
        let format = format(flags)?;
        let format = or_variable(format, environment, "CHATCTL_OUTPUT")?.unwrap_or(Format::Table);
        let view = View {
            columns: flags.columns.clone(),
            sort_by: flags.sort_by.clone(),
            filters: flags.filter.clone(),
        };
        if matches!(format, Format::Template(_)) && !view.columns.is_empty() {
            return Err(Failure::usage(
                "--columns and a template both say what is shown",
                "give one of them",
            ));
        }
        let timeout = or_variable(flags.timeout, environment, "CHATCTL_TIMEOUT")?.unwrap_or(DEFAULT_TIMEOUT);
        if timeout.millis() == 0 {
            let none = format!("no server answers within a timeout of {timeout}");
            return Err(Failure::usage(none, "give for example --timeout 5s"));
        }
        let (app, acting) = of_whom(flags, environment, chosen.as_ref())?;
        Ok(Self {
            server,
            app,
            acting,
            format,
            view,
            wide: flags.wide,
            no_headers: flags.no_headers,
            no_pager: flags.no_pager,
            utc: flags.utc,
            ages: flags.ages,
            quiet: flags.quiet,
            verbose: flags.verbose,
            color: or_variable(flags.color, environment, "CHATCTL_COLOR")?.unwrap_or(Color::Auto),
            timeout,
            retries: or_variable(flags.retries, environment, "CHATCTL_RETRIES")?.unwrap_or(DEFAULT_RETRIES),
            watch: flags.watch,
            dry_run: flags.dry_run || flags.curl,
            curl: flags.curl,
            yes: flags.yes,
            context: chosen.map(Chosen::in_use),
            on_line: OnLine::of(flags),
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
    /// [`Failure::Usage`] naming flag and variable.
    pub fn acting_in(&self, target: &Target) -> Result<Option<UserId>, Failure> {
        match (target, &self.acting) {
            (Target::User(_), None) => Err(Failure::usage(
                format!("{target} is what two users say to each other, and only one of them is named"),
                "name the other one: give --as USER, or set CHATCTL_AS",
            )),
            (_, acting) => Ok(acting.clone()),
        }
    }

    /// The app, for a command that can.
    #[must_use]
    pub fn app_if_named(&self) -> Option<AppId> {
        self.app
    }
}

fn format(flags: &Flags) -> Result<Option<Format>, Failure> {
    match (flags.json, flags.output.clone()) {
        (true, Some(other)) if other != Format::Json => {
            Err(Failure::usage("--json and -o name different formats", "give one of them"))
        }
        (true, _) => Ok(Some(Format::Json)),
        (false, chosen) => Ok(chosen),
    }
}

/// The app and the acting user, from the nearest place.
fn of_whom(
    flags: &Flags,
    environment: &Environment,
    chosen: Option<&Chosen>,
) -> Result<(Option<AppId>, Option<UserId>), Failure> {
    let (app, acting) =
        chosen.map_or((None, None), |chosen| (chosen.context.app, chosen.context.acting.clone()));
    let app = nearest(flags.app, app, chosen, environment, "CHATCTL_APP")?;
    Ok((app, nearest(flags.acting.clone(), acting, chosen, environment, "CHATCTL_AS")?))
}

/// A flag, or a variable, or what the context says; one that was named on the line speaks before variables.
fn nearest<T>(
    flag: Option<T>,
    of_context: Option<T>,
    chosen: Option<&Chosen>,
    environment: &Environment,
    name: &str,
) -> Result<Option<T>, Failure>
where
    T: FromStr,
    T::Err: Display,
{
    if flag.is_none() && of_context.is_some() && chosen.is_some_and(|chosen| chosen.is_on_line) {
        return Ok(of_context);
    }
    Ok(or_variable(flag, environment, name)?.or(of_context))
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
        let refused = settings.acting_in(&"user:x".parse().unwrap()).unwrap_err();
        assert!(refused.to_string().starts_with("user:x is what two users say"), "{refused}");
        let step = refused.next_step().unwrap();
        assert!(step.contains("--as") && step.contains("CHATCTL_AS"), "{step}");
        assert_eq!(settings.acting_in(&Target::World).unwrap(), None);
    }

    #[test]
    fn contradicting_formats_are_refused() {
        assert!(resolve(&["state", "--json", "-o", "csv"], &[]).is_err());
        assert!(resolve(&["state", "--json", "-o", "json"], &[]).is_ok());
    }
}
