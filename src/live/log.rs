//! What the daemon logs, and how. Nothing is logged per packet.

use std::io;

use clap::ValueEnum;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub format: Format,
    pub level: Level,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

/// Logs to standard error from now on.
pub(super) fn start(options: Options) {
    let level = match options.level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
    };
    let log = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_ansi(false)
        // Whoever read standard error may be gone. Complaining of that, on standard error, would
        // be a panic.
        .log_internal_errors(false)
        .with_timer(SystemTime)
        .with_writer(io::stderr);
    // The libraries below tell of each frame of HTTP/2.
    let ours = Targets::new().with_target(env!("CARGO_CRATE_NAME"), level);
    match options.format {
        Format::Text => log.finish().with(ours).init(),
        Format::Json => log.json().flatten_event(true).finish().with(ours).init(),
    }
}
