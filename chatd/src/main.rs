//! The `chatd` program.

use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use chatd::app::App;
use chatd::config::{Config, Given};
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

/// Exit code of a usage or configuration error.
const USAGE: u8 = 2;

/// Chat daemon: WebSocket and HTTP JSON over Redis Pub/Sub, or alone on an embedded engine
#[derive(Parser)]
#[command(version, after_help = include_str!("help.txt"))]
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

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Command::Config { action: ConfigAction::Default }) = arguments.command {
        return print(&Config::default().to_toml());
    }
    let config = match Config::load(arguments.settings, arguments.config.as_deref()) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("chatd: {error}");
            return ExitCode::from(USAGE);
        }
    };
    match arguments.command {
        Some(Command::Config { action: ConfigAction::Show }) => print(&config.to_toml()),
        Some(_) => print("the settings can be used\n"),
        None => serve(&config),
    }
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        // A reader who has seen enough is no failure.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => fail(&error.into()),
        _ => ExitCode::SUCCESS,
    }
}

fn serve(config: &Config) -> ExitCode {
    chatd::log::init(&config.serve.log);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    match runtime.block_on(run(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn run(config: &Config) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let app = App::start(config).await?;
    // Whoever started it may have stopped reading.
    let _ = writeln!(std::io::stderr(), "listening on http://{}", app.address);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    app.stop().await;
    Ok(())
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("chatd: {error:#}");
    ExitCode::FAILURE
}
