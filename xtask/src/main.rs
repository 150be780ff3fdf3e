//! The project's development tasks: write the test captures, generate load, replay captures, run
//! benchmarks, build packages and run all checks. Nothing here uses the exporter's library, so a
//! mistake in the library cannot be hidden by the same mistake here.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "these are command line tools whose output is for their user"
)]

#[cfg(target_os = "linux")]
mod bench;
mod capture_file;
mod check_targets;
mod ci;
#[cfg(target_os = "linux")]
mod dist;
mod fixtures;
mod fuzz;
mod generate;
#[cfg(target_os = "linux")]
mod instructions;
mod mmdb;
mod packet;
mod project;
mod radio;
mod release;
mod replay;
mod services;
#[cfg(target_os = "linux")]
mod soak;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "Development tasks of this project")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Write every capture in testdata/, and its README
    Fixtures(fixtures::Options),
    /// Write a synthetic TZSP capture of any size
    Generate(generate::Options),
    /// Send a capture's TZSP datagrams to a live exporter
    Replay(replay::Options),
    /// Run the exporter for a long time, kill its capture again and again, and check its metrics;
    /// needs root, tshark and ip
    #[cfg(target_os = "linux")]
    Soak(soak::Options),
    /// Compare the exporter's performance with other programs, and print a table
    #[cfg(target_os = "linux")]
    Bench(bench::Options),
    /// Run a program and print the time and memory that it used
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    Probe(bench::ProbeOptions),
    /// Receive datagrams and discard them
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    Drain(bench::DrainOptions),
    /// Count the instructions of the fast path, and compare them with those of the last update
    #[cfg(target_os = "linux")]
    Instructions(instructions::Options),
    /// Fuzz the exporter's library with frames, captures and configurations
    Fuzz(fuzz::Options),
    /// Write the table of services from IANA's registry
    Services(services::Options),
    /// Build a tarball and a Debian package
    #[cfg(target_os = "linux")]
    Dist(dist::Options),
    /// Check that the exporter compiles for FreeBSD and macOS; needs Debian 12 or newer
    CheckTargets,
    /// Run every check that must pass
    Ci,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Fixtures(options) => fixtures::run(&options),
        Task::Generate(options) => generate::run(&options),
        Task::Replay(options) => replay::run(&options),
        #[cfg(target_os = "linux")]
        Task::Soak(options) => soak::run(&options),
        #[cfg(target_os = "linux")]
        Task::Bench(options) => bench::run(&options),
        #[cfg(target_os = "linux")]
        Task::Probe(options) => bench::probe(&options),
        #[cfg(target_os = "linux")]
        Task::Drain(options) => bench::drain(&options),
        #[cfg(target_os = "linux")]
        Task::Instructions(options) => instructions::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Services(options) => services::run(&options),
        #[cfg(target_os = "linux")]
        Task::Dist(options) => dist::run(&options),
        Task::CheckTargets => check_targets::run(),
        Task::Ci => ci::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
