//! `chatctl context`: named servers, kept in a file of the user that chatbench reads too.
//!
//! Invariant: no secret is written, and none is shown: a context says where its key is, not what it is.

use std::path::PathBuf;

use chat_client::Error;
use chat_client::context::{Color, Context, Contexts};
use clap::Subcommand;
use serde_json::Value;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::report::{Cell, Report};

/// Shown below the help of the noun.
pub const EXAMPLES: &str = "\
A context names a server with all that is given on the line for it, so that one
word stands for them: --context NAME, CHATCTL_CONTEXT, or `context use NAME` for
good. Flags win over it; so do variables, unless it is named on the line. A
context that is in use is left aside, its key too, where --server or
CHATCTL_SERVER names a server. They stand in ~/.config/chatd/contexts.toml, or
below XDG_CONFIG_HOME, for chatbench --context as well. No key is kept there:
only the file, the variable or the command that has it. A keyring is asked by a
command: --token-command 'secret-tool lookup chatd prod', 'pass show chatd/prod',
'keyctl pipe %user:chatd'.

Examples:
  chatctl context add prod --server https://chat.example --app 101 --token-file key --protected
  chatctl context use prod
  chatctl context list
  chatctl --context prod list";

const ADD: &str = "\
In a protected context every change is asked for first; -y answers yes.

Examples:
  chatctl context add local --server http://127.0.0.1:8080 --app 101 --use
  chatctl context add prod --server https://chat.example --token-env CHAT_KEY --protected
  chatctl context add prod --server https://chat.example --token-command 'pass show chat'";

/// Arguments of `context add`.
#[derive(Debug, clap::Args)]
#[command(after_help = ADD)]
pub struct AddArgs {
    /// What to call it
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// Variable of the environment that holds the key or token
    #[arg(long, value_name = "VARIABLE", conflicts_with_all = ["token_file", "token_command"])]
    token_env: Option<String>,
    /// Command of the shell that prints it
    #[arg(long, value_name = "COMMAND", conflicts_with = "token_file")]
    token_command: Option<String>,
    /// Ask before every change
    #[arg(long)]
    protected: bool,
    /// Colour of its name: red, green, yellow, blue, magenta, cyan [default: red when protected, else cyan]
    #[arg(long = "name-color", value_name = "COLOR", hide_possible_values = true)]
    name_color: Option<Color>,
    /// Use it from now on
    #[arg(long = "use")]
    is_used: bool,
    /// Take the place of the one that has this name
    #[arg(long)]
    replace: bool,
}

/// Which context.
#[derive(Debug, clap::Args)]
pub struct Which {
    /// Its name
    #[arg(value_name = "CONTEXT")]
    name: String,
}

/// What to do with contexts.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Keep a server under a name
    Add(AddArgs),
    /// Use one from now on; none with --none
    #[command(after_help = "Examples:\n  chatctl context use prod\n  chatctl context use --none")]
    Use {
        /// Its name
        #[arg(value_name = "CONTEXT", required_unless_present = "none")]
        name: Option<String>,
        /// Use none
        #[arg(long, conflicts_with = "name")]
        none: bool,
    },
    /// Those there are
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  chatctl context list\n  chatctl context list -o name"
    )]
    List,
    /// Forget one
    #[command(visible_alias = "rm", after_help = "Examples:\n  chatctl context remove prod")]
    Remove(Which),
    /// What one says; the one in use when absent
    #[command(
        after_help = "Examples:\n  chatctl context show prod\n  PS1='[$(chatctl context show -o name)] $ '"
    )]
    Show {
        /// Its name
        #[arg(value_name = "CONTEXT")]
        name: Option<String>,
    },
}

/// Longest name of a context, in bytes.
const MAX_NAME_BYTES: usize = 64;

fn name(text: &str) -> Result<String, String> {
    let is_odd = |c: char| c.is_whitespace() || chat_client::escape::is_dangerous(c);
    match text.is_empty() || text.len() > MAX_NAME_BYTES || text.starts_with('-') || text.contains(is_odd) {
        true => Err(format!("must be one word of at most {MAX_NAME_BYTES} bytes")),
        false => Ok(text.to_owned()),
    }
}

/// Runs the command.
pub fn run(verb: Verb, operator: &Operator) -> Result<Exit, Failure> {
    let mut known = Contexts::read(&|name| (operator.environment)(name)).map_err(unusable)?;
    match verb {
        Verb::Add(args) => add(args, &mut known, operator),
        Verb::Use { name, none: false } => {
            let name = name.unwrap_or_default();
            let found = known.get(&name).map_err(missing)?.clone();
            done(operator, || known.make_used(Some(&name)), &listed(&[(&name, &found)], Some(&name)))
        }
        Verb::Use { .. } => done(operator, || known.make_used(None), &listed(&[], None)),
        Verb::List => {
            let used = known.in_use().map_err(unusable)?;
            let all: Vec<_> = known.known.iter().map(|(name, context)| (name.as_str(), context)).collect();
            operator.print(&listed(&all, used.as_deref()))?;
            if all.is_empty() {
                operator.footer("none; `chatctl context add` keeps one");
            }
            Ok(Exit::Done)
        }
        Verb::Remove(Which { name }) => {
            let found = known.get(&name).map_err(missing)?.clone();
            let used = known.in_use().map_err(unusable)?;
            let is_used = used.as_deref() == Some(name.as_str());
            let forget = || {
                known.remove(&name)?;
                if is_used { known.make_used(None) } else { Ok(()) }
            };
            done(operator, forget, &listed(&[(&name, &found)], None))
        }
        Verb::Show { name } => {
            let name = match name {
                Some(name) => name,
                None => used(&known, operator)?,
            };
            operator.print(&whole(&name, known.get(&name).map_err(missing)?))?;
            Ok(Exit::Done)
        }
    }
}

fn used(known: &Contexts, operator: &Operator) -> Result<String, Failure> {
    let named = (operator.environment)("CHATCTL_CONTEXT").and_then(|name| name.into_string().ok());
    let named = named.filter(|name| !name.is_empty());
    let used = named.or(known.in_use().map_err(unusable)?);
    used.ok_or_else(|| Failure::Missing("no context is in use".to_owned()))
}

fn add(args: AddArgs, known: &mut Contexts, operator: &Operator) -> Result<Exit, Failure> {
    let line = &operator.settings.on_line;
    if line.has_token {
        let next = "give --token-file, --token-env or --token-command: where it is, not what it is";
        return Err(Failure::usage("no key is kept in a context", next));
    }
    let server =
        line.server.clone().ok_or_else(|| Failure::usage("a context needs a server", "give --server URL"))?;
    if server.authorization().is_some() {
        return Err(Failure::usage("no password is kept in a context", "leave it out of the URL"));
    }
    let AddArgs { name, token_env, token_command, protected, name_color, is_used, replace } = args;
    if known.known.contains_key(&name) && !replace {
        return Err(Failure::usage(
            format!("there is a context {name}"),
            "give --replace to put another in its place",
        ));
    }
    let absolute = |file: &PathBuf| std::path::absolute(file).unwrap_or_else(|_| file.clone());
    let context = Context {
        server: server.to_string(),
        app: line.app,
        acting: line.acting.clone(),
        ca: line.ca.as_ref().map(absolute),
        insecure: line.insecure,
        token_file: line.token_file.as_ref().map(absolute),
        token_env,
        token_command,
        protected,
        color: name_color,
    };
    let report = listed(&[(&name, &context)], is_used.then_some(name.as_str()));
    let keep = || {
        known.put(&name, &context)?;
        if is_used { known.make_used(Some(&name)) } else { Ok(()) }
    };
    done(operator, keep, &report)
}

/// Does it, unless it is only rehearsed, and shows what it is about.
fn done(
    operator: &Operator,
    work: impl FnOnce() -> Result<(), Error>,
    report: &Report,
) -> Result<Exit, Failure> {
    if operator.settings.dry_run {
        operator.console.note("--dry-run: nothing was written");
    } else {
        work().map_err(unusable)?;
    }
    operator.print(report)?;
    Ok(Exit::Done)
}

fn missing(error: Error) -> Failure {
    Failure::Missing(error.to_string())
}

fn unusable(error: Error) -> Failure {
    Failure::usage(error.to_string(), "see to the file, or name another place with XDG_CONFIG_HOME")
}

fn listed(contexts: &[(&str, &Context)], used: Option<&str>) -> Report {
    let rows = contexts.iter().map(|(name, context)| {
        vec![
            (*name).into(),
            (used == Some(name)).into(),
            context.server.as_str().into(),
            context.app.map_or(Cell::from(Value::Null), Cell::from),
            context.acting.as_ref().map_or(Cell::from(Value::Null), |user| user.as_str().into()),
            context.protected.into(),
        ]
    });
    let columns = [
        ("name", "CONTEXT"),
        ("used", "USED"),
        ("server", "SERVER"),
        ("app", "APP"),
        ("as", "AS"),
        ("protected", "PROTECTED"),
    ];
    Report::list(&columns, rows.collect())
}

fn whole(name: &str, context: &Context) -> Report {
    let key = match (&context.token_file, &context.token_env, &context.token_command) {
        (Some(file), ..) => Cell::from(format!("file {}", file.display())),
        (_, Some(variable), _) => Cell::from(format!("variable {variable}")),
        (_, _, Some(_)) => Cell::from("command"),
        _ => Cell::from(Value::Null),
    };
    let text = |text: Option<String>| text.map_or(Cell::from(Value::Null), Cell::from);
    Report::record([
        ("name", "context", name.into()),
        ("server", "server", context.server.as_str().into()),
        ("app", "app", context.app.map_or(Cell::from(Value::Null), Cell::from)),
        ("as", "as", text(context.acting.as_ref().map(ToString::to_string))),
        ("ca", "certificates", text(context.ca.as_ref().map(|file| file.display().to_string()))),
        ("insecure", "believes anyone", context.insecure.into()),
        ("key", "key", key),
        ("protected", "protected", context.protected.into()),
    ])
}
