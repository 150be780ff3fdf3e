//! Runs the program for another processor in an emulator.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use super::targets::{Profile, Target};
use super::{NAME, files};
use crate::packet;
use crate::project::{cargo, root, succeed, target};
use crate::soak::scrape::Scrape;

/// The formats in which results are compared.
const FORMATS: [&str; 2] = ["openmetrics", "json"];

/// How long a datagram may take until it is counted.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Builds the program for a target, and compares it with the debug build for this machine on all
/// captures in testdata/. Then receives a datagram with it, and scrapes it.
pub(super) fn check(target: &Target) -> anyhow::Result<()> {
    let program = target.build(Profile::Dev)?;
    let started = Instant::now();
    let captures = compare(target, &program)?;
    live(target, &program)?;
    println!(
        "{}: {captures} captures in {} formats give the same as on this machine, and a live run \
         counts: {:.1} s",
        target.triple,
        FORMATS.len(),
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Analyzes all captures with both programs. Returns the number of captures.
fn compare(other: &Target, program: &Path) -> anyhow::Result<usize> {
    succeed(cargo().args(["build", "--quiet", "--locked", "--package", NAME]))?;
    let native = target()?.join("debug").join(NAME);
    let captures = files(&root().join("testdata"))?;
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = captures.len().div_ceil(threads);
    thread::scope(|scope| {
        let shares = captures.chunks(share).map(|captures| {
            scope.spawn(|| {
                let mut runs = captures
                    .iter()
                    .flat_map(|capture| FORMATS.map(|format| (capture, format)));
                runs.try_for_each(|(capture, format)| {
                    let expected = analyze(Command::new(&native), capture, format)?;
                    let found = analyze(other.command(program), capture, format)?;
                    ensure!(
                        found == expected,
                        "{}: {} as {format} gives {found:?}, and {expected:?} on this machine",
                        other.triple,
                        capture.display()
                    );
                    anyhow::Ok(())
                })
            })
        });
        let shares: Vec<_> = shares.collect();
        shares.into_iter().try_for_each(|share| {
            let result = share.join();
            result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })?;
    Ok(captures.len())
}

fn analyze(mut command: Command, capture: &PathBuf, format: &str) -> anyhow::Result<Output> {
    command
        .args(["analyze", "--format", format])
        .arg(capture)
        .output()
        .with_context(|| format!("cannot run {command:?}"))
}

/// Sends a datagram to the program, and waits until a scrape has counted it.
fn live(other: &Target, program: &Path) -> anyhow::Result<()> {
    let mut command = other.command(program);
    command
        .args(["--listen-port", "0", "--publish-port", "0"])
        .stderr(Stdio::piped());
    let mut exporter = Exporter(command.spawn().with_context(|| format!("{command:?}"))?);
    let log = exporter.0.stderr.take().context("no standard error")?;
    let [udp, http] = ports(log)?;
    let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot open a socket")?;
    let payload = packet::routeros(&packet::lan_frame(6, 100));
    sender
        .send_to(&payload, (Ipv4Addr::LOCALHOST, udp))
        .context("cannot send")?;
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let bytes = Scrape::fetch(http)?.sum("tzsp_observed_bytes_total");
        if bytes > 0.0 {
            ensure!(
                (99.5..100.5).contains(&bytes),
                "{}: {bytes} bytes, not 100",
                other.triple
            );
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("{}: a datagram was not counted", other.triple);
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// An exporter, which is killed when this is dropped.
struct Exporter(Child);

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads from the log on which UDP port the exporter receives, and on which TCP port it publishes.
fn ports(log: ChildStderr) -> anyhow::Result<[u16; 2]> {
    for line in BufReader::new(log).lines() {
        let line = line.context("reading the log")?;
        let number_after = |text: &str| {
            let (_, rest) = line.split_once(text)?;
            let end = rest.find(|character: char| !character.is_ascii_digit());
            rest[..end.unwrap_or(rest.len())].parse().ok()
        };
        if let (Some(udp), Some(http)) = (
            number_after("receiving TZSP on UDP port "),
            number_after("http://localhost:"),
        ) {
            return Ok([udp, http]);
        }
    }
    bail!("the exporter ended without naming its ports")
}
