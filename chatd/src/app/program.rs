//! What the command line asks for: to serve, to look at settings, or to make a credential.
//!
//! Invariant: a refusal of settings exits with [`USAGE`], a failure of the node with 1; neither shows a password.

use std::cell::Cell;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use chat_protocol::secret;
use clap::{Parser, Subcommand};
use tracing::Level;

use super::credentials::{self, ApiKey, Token};
use super::places::check_places;
use super::reload;
use super::service::Manager;
use super::signals::Signals;
use super::{App, Known};
use crate::auth::Auth;
use crate::config::{Config, Given};
use crate::log;
use crate::tls::Keeper;

/// Exit code of a usage or configuration error.
const USAGE: u8 = 2;
/// Threads for what blocks: the readers of three SQLite files, the names of servers, a scrape. Without a bound, a storm
/// of log-ins begins a hundred, each with a stack of its own.
const BLOCKING_THREADS: usize = 16;
/// How long the end waits for blocking work, such as a read of a file, that nobody needs any more.
const LAST_WORK: Duration = Duration::from_secs(1);

/// Chat daemon: WebSocket and HTTP JSON over Redis Pub/Sub, or alone on an embedded engine
#[derive(Parser)]
#[command(version, after_help = include_str!("../help.txt"))]
struct Arguments {
    /// TOML file with settings
    #[arg(long, env = "CHATD_CONFIG", value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Given,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Look at settings without starting
    Config {
        #[command(subcommand)]
        action: ConfigAction,
    },
    /// Make a token for a user, signed with the first secret of the settings
    Token(Token),
    /// Make a key for an operator
    ApiKey(ApiKey),
}

#[derive(Subcommand)]
enum ConfigAction {
    /// Print the settings in force, passwords hidden
    Show,
    /// Say whether the settings can be used
    Check,
    /// Print the default settings as a TOML file
    Default,
}

/// Does it, and tells how the process ends.
#[must_use]
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() => {
            // It repeats what was written, and a password may stand where no one expects it.
            eprint!("{}", secret::hide(&error.to_string()));
            return ExitCode::from(USAGE);
        }
        Err(error) => error.exit(),
    };
    let Arguments { config: file, settings, command } = arguments;
    match command {
        Some(Command::Config { action: ConfigAction::Default }) => {
            return print(&Config::default().to_toml());
        }
        Some(Command::ApiKey(asked)) => return outcome(credentials::api_key(&asked)),
        _ => {}
    }
    let (config, known) = match load(settings, file) {
        Ok(loaded) => loaded,
        Err(error) => return refuse(&error),
    };
    match command {
        Some(Command::Config { action: ConfigAction::Show }) => print(&config.to_toml()),
        Some(Command::Token(asked)) => outcome(credentials::token(&config.auth, asked)),
        Some(_) => print("the settings can be used\n"),
        None => serve(&config, known),
    }
}

/// The settings, checked, and what they name.
fn load(settings: Given, file: Option<PathBuf>) -> Result<(Config, Known), String> {
    let config = Config::load(settings.clone(), file.as_deref())?;
    check_places(&config)?;
    let auth = Auth::new(&config.auth)?;
    let keeper = reload::paths(&config).map(Keeper::open).transpose()?;
    // A reload finds what stands in the file by then.
    let reread = Arc::new(move || Config::load(settings.clone(), file.as_deref()));
    Ok((config, Known { auth, keeper, reread }))
}

fn outcome(made: Result<String, String>) -> ExitCode {
    match made {
        Ok(text) => print(&text),
        Err(error) => refuse(&error),
    }
}

fn refuse(error: &str) -> ExitCode {
    eprintln!("chatd: {error}");
    ExitCode::from(USAGE)
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        // A reader who has seen enough is no failure.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => fail(&error.into()),
        _ => ExitCode::SUCCESS,
    }
}

fn serve(config: &Config, known: Known) -> ExitCode {
    log::init(&config.serve.log, config.serve.log_format);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let outcome = match runtime.enable_all().max_blocking_threads(BLOCKING_THREADS).build() {
        Ok(runtime) => {
            let outcome = runtime.block_on(serve_until_told(config, known));
            runtime.shutdown_timeout(LAST_WORK);
            outcome
        }
        Err(error) => Err(error.into()),
    };
    let code = outcome.map_or_else(|error| fail(&error), |()| ExitCode::SUCCESS);
    log::finish();
    code
}

async fn serve_until_told(config: &Config, known: Known) -> anyhow::Result<()> {
    let scheme = if known.keeper.is_some() { "https" } else { "http" };
    let manager = Manager::of_environment();
    let mut signals = Signals::listen(manager.is_there())?;
    manager.status("opening the stores");
    let app = tokio::select! {
        app = App::start(config, known) => app?,
        // While it waits for a store.
        signal = signals.next() => {
            tracing::info!(signal, "stopping before it began");
            return Ok(());
        }
    };
    if let Some(address) = app.doors.grpc_address {
        log::say(Level::INFO, &format!("gRPC on {scheme}://{address}"));
    }
    let listening = format!("listening on {scheme}://{}", app.address);
    log::say(Level::INFO, &listening);
    serve_and_leave(app, config.serve.drain.get(), &mut signals, &manager, &listening).await;
    Ok(())
}

/// Serves until a signal or an operator ends it, then lets its connections leave, over `drain` at most once there is a
/// signal. The second signal ends the process.
async fn serve_and_leave(
    app: App,
    drain: Duration,
    signals: &mut Signals,
    manager: &Manager,
    listening: &str,
) {
    let (hub, is_told) = (app.hub(), Cell::new(false));
    let hear = |signal| {
        if is_told.replace(true) {
            log::say(Level::WARN, &format!("chatd: {signal} again: ending at once"));
            log::finish();
            std::process::exit(1);
        }
        tracing::info!(signal, "stopping");
        manager.is_stopping();
        hub.drain().begin(drain);
    };
    {
        let mut left = pin!(async {
            hub.drain().begun().await;
            manager.status("the connections leave");
            app.leave().await;
        });
        // Signs of life go on meanwhile: it may be a long time.
        let mut attending = pin!(manager.attend(&app, listening));
        loop {
            tokio::select! {
                () = &mut left => break,
                never = &mut attending => match never {},
                signal = signals.next() => hear(signal),
            }
        }
    }
    if !is_told.get() {
        manager.is_stopping();
    }
    let mut ended = pin!(app.stop());
    loop {
        tokio::select! {
            () = &mut ended => return,
            signal = signals.next() => hear(signal),
        }
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    log::say(Level::ERROR, &format!("chatd: {error:#}"));
    ExitCode::FAILURE
}
