//! Sets up the daemon's log on standard error. Nothing is logged per packet.

use std::io;

use clap::ValueEnum;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub format: LogFormat,
    pub level: Level,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
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

/// Starts logging to standard error.
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
        // The reader of standard error may be gone. Reporting that on standard error would panic.
        .log_internal_errors(false)
        .with_timer(SystemTime)
        .with_writer(io::stderr);
    // At the level debug, libraries log each frame of HTTP/2.
    let ours = Targets::new().with_target(env!("CARGO_CRATE_NAME"), level);
    match options.format {
        LogFormat::Text => log.finish().with(ours).init(),
        LogFormat::Json => log.json().flatten_event(true).finish().with(ours).init(),
    }
}
