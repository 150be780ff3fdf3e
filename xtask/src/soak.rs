//! Runs the exporter for a long time, and again and again kills its capture or deletes the interface
//! that it captures on. The exporter must recover by itself, account for every frame, and use no more
//! memory over time.

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
    /// Duration of the stream in seconds
    #[arg(long, value_name = "N", default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,

    /// Datagrams per second
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    pps: u32,

    /// Time between two kills, of tshark and dumpcap alternately, or between two deletions of the
    /// interface; 0 means never
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    kill_every: u64,

    /// Capture method of the exporter: with tshark, the processes are killed; with native, the
    /// interface is deleted
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

    /// Returns the address to which the sensor streams.
    fn collector(self) -> &'static str {
        match self {
            Self::Tshark => COLLECTOR,
            Self::Native => network::CAPTURED,
        }
    }
}

/// The interval between two scrapes, in seconds.
const SCRAPE_EVERY: u64 = 10;
const PROGRESS_EVERY: u64 = 60;

/// The time before the end of the load without kills, in seconds. The exporter notices some time later
/// that its capture is gone. If that were after the end of the load, the time that it reports as lost
/// would include time without datagrams.
const QUIET_END: u64 = 2;

/// How long the interface is missing every other time. The other times it is added again at once.
const AWAY: Duration = Duration::from_secs(2);

/// How long the last datagrams may take to appear in a scrape.
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
        println!("last line of the log   {line}");
    }
    let failures = report.failures();
    if !failures.is_empty() {
        bail!("{}\nthe log is {}", failures.join("\n"), log.display());
    }
    println!("all checks passed");
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
        if interrupt.wait_until(begin + Duration::from_secs(second)) {
            println!("interrupted in second {second}");
            load.stop();
            break;
        }
        // Checked first, because the load also ends when the exporter is gone.
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
            ledger.record(begin.elapsed(), &exporter.scrape()?);
        }
        if is_due(second, PROGRESS_EVERY) {
            println!("{}", report::progress(&ledger, &kills, load.sent()));
        }
    }

    let (sent, duration) = load.finish()?;
    // Read now: without a capture, the lost time would go on growing while no datagrams are sent.
    let lost_seconds = exporter
        .scrape()?
        .value("tzsp_data_lost_between_iterations_seconds_total");
    thread::sleep(SETTLING);
    ledger.record(begin.elapsed(), &exporter.scrape()?);
    exporter.must_be_alive()?;
    let mut problems = exporter.stop()?;
    problems.splice(0..0, ledger.problems().iter().cloned());
    Ok(Report {
        duration,
        kills,
        sent,
        lost_seconds,
        samples: ledger.into_samples(),
        problems,
    })
}

fn is_due(second: u64, every: u64) -> bool {
    every != 0 && second.is_multiple_of(every)
}

/// Writes the capture that the sensor streams in a loop: a few thousand flows.
fn generate(directory: &Path) -> anyhow::Result<PathBuf> {
    let capture = directory.join("load.pcap");
    let this = env::current_exe().context("cannot find the path of this program")?;
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
