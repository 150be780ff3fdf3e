//! Compares the exporter's performance with that of its peers: programs that a user could run
//! instead. Runs alternate between the exporter and the peers, so that other load on the machine
//! affects both alike.

mod build;
mod cases;
mod daemon;
mod drain;
mod encoders;
mod input;
mod live;
mod modes;
mod places;
mod process;
mod rates;
mod scrape;
mod table;

use std::env;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use clap::Args;

use self::build::Build;
use self::input::Inputs;
use self::table::{Goal, Row};
use crate::release;
use crate::tools::{self, Tool};

pub(crate) use self::drain::Options as DrainOptions;
pub(crate) use self::drain::run as drain;
pub(crate) use self::process::Options as ProbeOptions;
pub(crate) use self::process::run as probe;

#[derive(Args)]
pub(crate) struct Options {
    /// Number of runs of each program; runs of all programs alternate
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,

    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,

    /// Run only these cases
    #[arg(long, value_name = "NAME", num_args = 1.., value_parser = cases::NAMES)]
    only: Vec<String>,

    /// Compare with another build of the exporter instead of other programs: a git revision, which
    /// is built in target/compare, or the path of a program
    #[arg(long, value_name = "REVISION")]
    compare: Option<String>,

    /// Divide the size of all inputs by N, to try out the command quickly
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    shrink: u64,

    /// Set when this process is already the release build
    #[arg(long, hide = true)]
    built: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    if !options.built {
        return run_release_build();
    }
    let bench = Bench {
        programs: release::programs()?,
        other: options.compare.as_deref().map(Build::of).transpose()?,
        inputs: Inputs::new(options.shrink)?,
        pairs: options.pairs,
        absent: absent_peers(),
    };
    let mut rows = Vec::new();
    let mut failed = Vec::new();
    for case in cases::ALL {
        let is_chosen =
            options.only.is_empty() || options.only.iter().any(|name| name == case.name);
        if !is_chosen {
            continue;
        }
        if bench.other.is_some() && !case.has_builds {
            eprintln!(
                "{}: left out, because it measures other programs",
                case.name
            );
            continue;
        }
        eprintln!("{} ...", case.name);
        match (case.run)(&bench, case.name) {
            Ok(measured) => rows.extend(measured),
            Err(error) => {
                eprintln!("{}: skipped: {error:#}", case.name);
                failed.push(case.name);
            }
        }
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else {
        print!("{}", table::Table(&rows));
    }
    for tool in &bench.absent {
        eprintln!("skipped: {tool} is not available");
    }
    if !failed.is_empty() {
        bail!("could not measure: {}", failed.join(", "));
    }
    Ok(())
}

/// The programs, inputs and settings that all cases share.
struct Bench {
    programs: release::Programs,
    /// The build to compare with, in place of other programs.
    other: Option<Build>,
    inputs: Inputs,
    pairs: u32,
    /// Programs that are not available on this machine.
    absent: Vec<&'static str>,
}

impl Bench {
    fn exporter(&self) -> Command {
        Command::new(&self.programs.exporter)
    }

    fn xtask(&self) -> Command {
        Command::new(&self.programs.xtask)
    }

    fn has(&self, program: &str) -> bool {
        !self.absent.contains(&program)
    }

    /// Returns the exporter, and that of the other build if there is one.
    fn exporters(&self) -> impl Iterator<Item = &Path> {
        let other = self.other.as_ref().map(|other| &*other.exporter);
        std::iter::once(&*self.programs.exporter).chain(other)
    }

    /// Measures the exporters in turn, once for each pair. Returns the results of each exporter.
    fn in_turn<T>(
        &self,
        mut measure: impl FnMut(&Path) -> anyhow::Result<T>,
    ) -> anyhow::Result<Vec<Vec<T>>> {
        let mut results: Vec<_> = self.exporters().map(|_| Vec::new()).collect();
        for _ in 0..self.pairs {
            for (exporter, results) in self.exporters().zip(&mut results) {
                results.push(measure(exporter)?);
            }
        }
        Ok(results)
    }

    /// Creates a row from one quantity of the results of each exporter. The goal is for one without
    /// another build.
    fn row<T>(
        &self,
        case: &'static str,
        quantity: &'static str,
        results: &[Vec<T>],
        value: impl Fn(&T) -> f64,
        goal: Option<Goal>,
    ) -> Row {
        let values: Vec<Vec<f64>> = results
            .iter()
            .map(|results| results.iter().map(&value).collect())
            .collect();
        match (&values[..], &self.other) {
            ([ours, theirs], Some(other)) => {
                Row::compared(case, quantity, ours, &*other.name, theirs, None)
            }
            _ => Row::without_peer(case, quantity, &values[0], goal),
        }
    }
}

/// Builds the exporter and this program in release mode, and replaces this process with the release
/// build. Returns only on failure.
fn run_release_build() -> anyhow::Result<()> {
    let programs = release::build(&["--workspace"])?;
    let mut arguments = env::args_os().skip(1);
    let error = Command::new(&programs.xtask)
        .args(arguments.next())
        .arg("--built")
        .args(arguments)
        .exec();
    let name: PathBuf = programs.xtask;
    Err(error).with_context(|| format!("cannot run {}", name.display()))
}

const PEERS: [Tool; 9] = [
    Tool::new("tcpdump", "--version", "tcpdump"),
    Tool::new("tshark", "--version", "tshark"),
    Tool::new("dumpcap", "--version", "wireshark-common"),
    Tool::new("nfpcapd", "-V", "nfdump"),
    Tool::new("softflowd", "-h", "softflowd"),
    Tool::new("gzip", "--version", "gzip"),
    Tool::new("zstd", "--version", "zstd"),
    Tool::new("ip", "-V", "iproute2"),
    Tool::new("taskset", "--version", "util-linux"),
];

/// Tries to install missing programs. Returns those that are still missing.
fn absent_peers() -> Vec<&'static str> {
    if let Err(error) = tools::ensure(&PEERS) {
        eprintln!("{error:#}");
    }
    tools::missing(&PEERS).map(|tool| tool.program).collect()
}
