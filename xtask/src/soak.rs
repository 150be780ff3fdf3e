//! Leaves the exporter alone for a long time while somebody kills its capture, or deletes the
//! interface that it captures on: it must go on by itself, account for every frame, and not grow.

pub(crate) mod exporter;
pub(crate) mod interrupt;
mod ledger;
pub(crate) mod load;
pub(crate) mod network;
mod report;
pub(crate) mod scrape;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use clap::{Args, ValueEnum};

use self::exporter::Exporter;
use self::interrupt::Interrupt;
use self::ledger::Ledger;
use self::load::Load;
use self::network::{CAPTURED_LINK, COLLECTOR, COLLECTOR_LINK, Network};
use self::report::{Kills, Report};
use crate::project::succeed;
use crate::release;
use crate::replay::Datagrams;

#[derive(Args)]
pub(crate) struct Options {
    /// How long to stream
    #[arg(long, value_name = "N", default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,

    /// Datagrams per second
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    pps: u32,

    /// Seconds between the kills, of tshark and dumpcap in turn, or between the deletions of the
    /// interface; 0 is never
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    kill_every: u64,

    /// How the exporter captures: tshark is killed, and native loses its interface
    #[arg(long, value_enum, value_name = "METHOD", default_value_t = Method::Tshark)]
    capture: Method,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Method {
    Tshark,
    Native,
}

impl Method {
    fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Tshark => ["--capture", "tshark", "--interface", COLLECTOR_LINK],
            Self::Native => ["--capture", "native", "--interface", CAPTURED_LINK],
        }
    }

    /// The address to which the sensor streams.
    fn collector(self) -> &'static str {
        match self {
            Self::Tshark => COLLECTOR,
            Self::Native => network::CAPTURED,
        }
    }
}

/// How often the exporter is asked, in seconds.
const SCRAPE_EVERY: u64 = 10;
const PROGRESS_EVERY: u64 = 60;

/// How long before its end the load is left alone, in seconds: time without a capture that is
/// found out only after the end would not be time in which datagrams were lost.
const QUIET_END: u64 = 2;

/// How long the interface stays away every other time. The other times it comes back at once.
const AWAY: Duration = Duration::from_secs(2);

/// How long the last datagrams may take to show in a scrape.
const SETTLING: Duration = Duration::from_secs(1);

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let directory = env::temp_dir().join(format!("tzsp-soak-{}", std::process::id()));
    fs::create_dir(&directory).with_context(|| format!("creating {}", directory.display()))?;
    println!("log and capture are in {}", directory.display());
    let program = release::build(&[])?.exporter;
    let capture = generate(&directory)?;

    let interrupt = Interrupt::listen()?;
    let network = Network::new()?;
    if options.capture == Method::Native {
        network.add_captured_link()?;
    }
    let log = directory.join("exporter.log");
    let mut exporter = Exporter::start(
        &program,
        &network.collector,
        &log,
        &options.capture.arguments(),
    )?;
    let outcome = soak(options, &interrupt, &network, &mut exporter, &capture);
    let report = outcome.map_err(|error| anyhow!("{error:#}\nthe log is {}", log.display()))?;
    print!("{report}");
    if let Some(line) = last_line(&log) {
        println!("last words             {line}");
    }
    let failures = report.failures();
    if !failures.is_empty() {
        bail!("{}\nthe log is {}", failures.join("\n"), log.display());
    }
    println!("all held");
    Ok(())
}

fn soak(
    options: &Options,
    interrupt: &Interrupt,
    network: &Network,
    exporter: &mut Exporter<'_>,
    capture: &Path,
) -> anyhow::Result<Report> {
    let datagrams = Datagrams::read(capture)?;
    exporter.await_capture()?;
    let load = Load::start(
        &network.sensor,
        options.capture.collector(),
        datagrams,
        options.pps,
        u64::from(options.pps) * options.seconds,
    );
    let begin = Instant::now();
    let mut ledger = Ledger::default();
    let mut kills = Kills::default();
    for second in 1..options.seconds {
        if interrupt.came_before(begin + Duration::from_secs(second)) {
            println!("asked to stop in second {second}");
            load.stop();
            break;
        }
        // First, because a load to nobody ends as well.
        exporter.must_be_alive()?;
        if load.has_ended() {
            break;
        }
        if is_due(second, options.kill_every) && second + QUIET_END < options.seconds {
            match options.capture {
                Method::Tshark => {
                    let killed = exporter.kill(kills.next_victim())?;
                    kills.count(killed);
                }
                Method::Native => {
                    network.delete_captured_link()?;
                    if kills.count_interface().is_multiple_of(2) {
                        thread::sleep(AWAY);
                    }
                    network.add_captured_link()?;
                }
            }
        }
        if is_due(second, SCRAPE_EVERY) {
            ledger.enter(begin.elapsed(), &exporter.scrape()?);
        }
        if is_due(second, PROGRESS_EVERY) {
            println!("{}", report::progress(&ledger, &kills, load.sent()));
        }
    }

    let (sent, duration) = load.finish()?;
    // Later on, time goes on being lost, but no datagram any more.
    let lost_seconds = exporter
        .scrape()?
        .value("tzsp_data_lost_between_iterations_seconds_total");
    thread::sleep(SETTLING);
    ledger.enter(begin.elapsed(), &exporter.scrape()?);
    exporter.must_be_alive()?;
    let mut complaints = exporter.stop()?;
    complaints.splice(0..0, ledger.complaints().iter().cloned());
    Ok(Report {
        duration,
        kills,
        sent,
        lost_seconds,
        samples: ledger.into_samples(),
        complaints,
    })
}

fn is_due(second: u64, every: u64) -> bool {
    every != 0 && second.is_multiple_of(every)
}

/// Writes what the sensor streams over and over: a few thousand flows.
fn generate(directory: &Path) -> anyhow::Result<PathBuf> {
    let capture = directory.join("load.pcap");
    let this = env::current_exe().context("cannot find this very program")?;
    succeed(Command::new(this).arg("generate").arg(&capture).args([
        "--packets",
        "50000",
        "--flows",
        "3000",
        "--snaplen",
        "128",
    ]))?;
    Ok(capture)
}

fn last_line(log: &Path) -> Option<String> {
    let text = fs::read_to_string(log).ok()?;
    text.lines().last().map(str::to_owned)
}
