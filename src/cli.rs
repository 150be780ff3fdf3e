//! The command line. [`live::Options`](crate::live::Options) and
//! [`analyze::Options`](crate::analyze::Options) define what its options mean.

mod analyze;
mod child;
mod flows;
mod healthcheck;
mod hints;
mod live;
mod number;
mod output;
#[cfg(any(windows, test))]
mod wildcards;

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use crate::aggregator::Settings;
use analyze::AnalyzeArguments;
pub use child::ChildCommand;
use healthcheck::HealthcheckArguments;
use live::LiveArguments;

/// The default of `--max-flows` for `analyze`.
pub const ANALYZED_FLOWS: u32 = 1_000_000;

/// Prometheus exporter for TZSP packet streams: bytes and packets per flow.
///
/// Routers (MikroTik above all) mirror traffic in TZSP over UDP. This program takes it in, looks
/// inside, and tells Prometheus which flows it sees. With --interface it captures packets, without
/// it it receives on plain UDP sockets and needs no privileges.
#[derive(Debug, Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    max_term_width = 100
)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    live: LiveArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read captures and print their metrics to standard output
    Analyze(AnalyzeArguments),
    /// Ask a running exporter whether it is healthy: exit status 0 if it is, 1 if not
    Healthcheck(HealthcheckArguments),
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Task {
    Live(crate::live::Options, Settings),
    Analyze(crate::analyze::Options, Settings),
    Healthcheck(crate::healthcheck::Url),
    RunChild(ChildCommand),
}

/// Parses the arguments that the program was started with, of which the first is its own name.
///
/// # Errors
/// The command line is wrong, or asks for help or the version. The error has the text to print and
/// the exit status.
pub fn task(arguments: impl IntoIterator<Item = OsString>) -> Result<Task, clap::Error> {
    let arguments: Vec<_> = arguments.into_iter().collect();
    if let Some(command) = ChildCommand::read(&arguments) {
        return Ok(Task::RunChild(command));
    }
    let is_analyze = arguments.iter().any(|argument| argument == "analyze");
    Cli::try_parse_from(arguments)
        .map_err(|error| hints::advised(error, is_analyze))?
        .task()
}

impl Cli {
    fn task(self) -> Result<Task, clap::Error> {
        match self.command {
            Some(Command::Analyze(arguments)) => arguments
                .task()
                .map_err(|contradiction| contradiction.error(hints::analyze_command())),
            Some(Command::Healthcheck(arguments)) => Ok(arguments.task()),
            None => self
                .live
                .task()
                .map_err(|contradiction| contradiction.error(Self::command())),
        }
    }
}

fn check_ports(ports: &[u16]) -> Result<(), Contradiction> {
    for (index, port) in ports.iter().enumerate() {
        if ports[..index].contains(port) {
            return Err(wrong(&format!(
                "'--listen-port {port}' is given twice: name each port once"
            )));
        }
    }
    Ok(())
}

/// Options that contradict each other, or a value that contradicts its own option.
struct Contradiction(String);

impl Contradiction {
    /// Returns the error that clap prints, with the usage of `command`.
    fn error(&self, mut command: clap::Command) -> clap::Error {
        command.error(ErrorKind::ValueValidation, &self.0)
    }
}

fn wrong(message: &str) -> Contradiction {
    Contradiction(message.to_owned())
}
