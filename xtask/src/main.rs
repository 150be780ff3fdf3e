//! What the project does to itself: write the test captures, generate load, replay captures,
//! measure, pack and check everything. Nothing here uses the exporter's library, so a mistake there
//! cannot hide behind the same mistake here.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "these are command line tools that report to whoever runs them"
)]

#[cfg(target_os = "linux")]
mod bench;
mod capture_file;
mod ci;
#[cfg(target_os = "linux")]
mod dist;
mod fixtures;
mod fuzz;
mod generate;
mod packet;
mod project;
mod radio;
mod release;
mod replay;
#[cfg(target_os = "linux")]
mod soak;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "Chores of this project")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Write every capture in testdata/, and its README
    Fixtures(fixtures::Options),
    /// Write a synthetic TZSP capture of any size
    Generate(generate::Options),
    /// Send a capture's TZSP datagrams to a live exporter
    Replay(replay::Options),
    /// Let the exporter run for long while its capture is killed, and check what it says; needs
    /// root, tshark and ip
    #[cfg(target_os = "linux")]
    Soak(soak::Options),
    /// Measure the program beside what one would run instead, and print a table
    #[cfg(target_os = "linux")]
    Bench(bench::Options),
    /// Run a program and say what it took
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    Probe(bench::ProbeOptions),
    /// Receive datagrams, and do nothing with them
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    Drain(bench::DrainOptions),
    /// Feed broken frames, captures and configurations to the exporter's library
    Fuzz(fuzz::Options),
    /// Make a tarball and a Debian package
    #[cfg(target_os = "linux")]
    Dist(dist::Options),
    /// Check everything that must pass
    Ci,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().chore {
        Chore::Fixtures(options) => fixtures::run(&options),
        Chore::Generate(options) => generate::run(&options),
        Chore::Replay(options) => replay::run(&options),
        #[cfg(target_os = "linux")]
        Chore::Soak(options) => soak::run(&options),
        #[cfg(target_os = "linux")]
        Chore::Bench(options) => bench::run(&options),
        #[cfg(target_os = "linux")]
        Chore::Probe(options) => bench::probe(&options),
        #[cfg(target_os = "linux")]
        Chore::Drain(options) => bench::drain(&options),
        Chore::Fuzz(options) => fuzz::run(&options),
        #[cfg(target_os = "linux")]
        Chore::Dist(options) => dist::run(&options),
        Chore::Ci => ci::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
