//! The programs as processes: settings, logs, files, signals, chatctl.

mod bench_ci;
mod chatctl;
mod chatctl_bulk;
mod chatctl_contexts;
mod chatctl_exits;
mod chatctl_output;
mod credentials;
mod deploy;
mod draining;
mod embedded_files;
mod lifecycle;
mod logging;
mod logging_ends;
mod money_programs;
mod operations;
mod proxies;
mod readme;
mod readme_clients;
mod readme_words;
mod redis_secure;
mod reload;
mod screens;
mod secrets;
mod service;
mod services;
mod tls_start;
