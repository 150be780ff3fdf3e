//! Measures the CPU time and the losses of the daemon while it receives a stream.

use std::io::{BufRead, BufReader, Read};
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Bench;
use super::daemon::{self, Daemon};
use super::drain::{Drained, READY};
use super::input::{self, Input};
use super::table::{Goal, Row};
use crate::replay::Datagrams;
use crate::soak::exporter::{Exporter, LISTEN_PORT};
use crate::soak::load::Load;
use crate::soak::network::{COLLECTOR, COLLECTOR_LINK, Network};

/// Compares the exporter with a loop that only receives, at the highest rate that one core can send.
pub(super) fn udp(bench: &Bench, name: &'static str) -> anyhow::Result<Vec<Row>> {
    if bench.other.is_some() {
        let runs = bench.in_turn(|exporter| into_exporter(bench, exporter, &mut Vec::new()))?;
        return Ok(vec![
            bench.row(name, "CPU us a datagram", &runs, Reception::cpu_each, None),
            bench.row(name, "datagrams lost", &runs, Reception::lost, None),
        ]);
    }
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut send_times = Vec::new();
    for _ in 0..bench.pairs {
        ours.push(into_exporter(
            bench,
            &bench.programs.exporter,
            &mut send_times,
        )?);
        theirs.push(into_drain(bench, &mut send_times)?);
    }
    let each = |runs: &[Reception]| runs.iter().map(Reception::cpu_each).collect::<Vec<_>>();
    let lost = |runs: &[Reception]| runs.iter().map(Reception::lost).collect::<Vec<_>>();
    let peer = "recvmmsg alone";
    Ok(vec![
        Row::compared(
            name,
            "CPU us a datagram",
            &each(&ours),
            peer,
            &each(&theirs),
            Some(Goal::times(1.3)),
        ),
        Row::compared(
            name,
            "datagrams lost",
            &lost(&ours),
            peer,
            &lost(&theirs),
            Some(Goal::at_most(0.0)),
        ),
        // 500,000 datagrams/s.
        Row::without_peer(
            name,
            "replay, us a datagram",
            &send_times,
            Some(Goal::at_most(2.0)),
        ),
    ])
}

/// The result of sending a stream to a receiver. `sent` and `received` are numbers of datagrams.
pub(super) struct Reception {
    pub(super) sent: f64,
    pub(super) received: f64,
    pub(super) cpu_seconds: f64,
}

impl Reception {
    /// Returns the CPU time per datagram, in microseconds.
    pub(super) fn cpu_each(&self) -> f64 {
        self.cpu_seconds / self.received * 1e6
    }

    pub(super) fn lost(&self) -> f64 {
        self.sent - self.received
    }
}

/// Sends all of `A` to an exporter. Appends the time per datagram sent to `send_times`, in
/// microseconds.
fn into_exporter(
    bench: &Bench,
    exporter: &Path,
    send_times: &mut Vec<f64>,
) -> anyhow::Result<Reception> {
    let daemon = Daemon::start(pinned(exporter, RECEIVER), 50_000)?;
    let before = daemon.cpu()?;
    let sent = replay(bench, daemon.listen_port, send_times)?;
    daemon.settle()?;
    let cpu_seconds = daemon.cpu()? - before;
    let received = daemon.scrape()?.value("tzsp_frames_received_total");
    Ok(Reception {
        sent,
        received,
        cpu_seconds,
    })
}

/// Does the same with the minimal receiver.
fn into_drain(bench: &Bench, send_times: &mut Vec<f64>) -> anyhow::Result<Reception> {
    let port = daemon::free_udp_port()?;
    let mut child = pinned(&bench.programs.xtask, RECEIVER)
        .args(["drain", &port.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run xtask")?;
    let mut output = BufReader::new(child.stdout.take().context("its output is piped")?);
    await_line(&mut output, READY)?;
    let sent = replay(bench, port, send_times)?;
    let mut last = String::new();
    output.read_to_string(&mut last)?;
    child.wait()?;
    let drained: Drained = serde_json::from_str(&last).context("parsing the receiver's output")?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    Ok(Reception {
        sent,
        received: drained.datagrams as f64,
        cpu_seconds: drained.cpu_seconds,
    })
}

/// The cores of the sending and of the receiving process.
const SENDER: &str = "0";
pub(super) const RECEIVER: &str = "1";

pub(super) fn pinned(program: &Path, core: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", core]).arg(program);
    command
}

/// Sends all of `A` as fast as possible. Returns the number of datagrams, and appends the time per
/// datagram to `send_times`, in microseconds.
pub(super) fn replay(bench: &Bench, port: u16, send_times: &mut Vec<f64>) -> anyhow::Result<f64> {
    let (sent, rate) = send(bench, port, input::A, &["--segments"])?;
    send_times.push(1e6 / rate);
    Ok(sent)
}

/// Sends `RATES` `rounds` times, at `pps` datagrams per second. Returns the number of datagrams.
pub(super) fn replay_at(bench: &Bench, port: u16, pps: u64, rounds: u64) -> anyhow::Result<f64> {
    let (pps, rounds) = (pps.to_string(), rounds.to_string());
    let options = ["--pps", &pps, "--loop", &rounds];
    let (sent, _) = send(bench, port, input::RATES, &options)?;
    Ok(sent)
}

/// Runs `xtask replay`. Returns the number of datagrams sent and the number per second.
fn send(bench: &Bench, port: u16, input: Input, options: &[&str]) -> anyhow::Result<(f64, f64)> {
    let output = pinned(&bench.programs.xtask, SENDER)
        .arg("replay")
        .arg(bench.inputs.path(input)?)
        .args(["--to", &format!("127.0.0.1:{port}")])
        .args(options)
        .output()
        .context("cannot replay")?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let sent = number_before(&stdout, " datagrams sent");
    let rate = number_before(&stdout, " datagrams/s");
    sent.zip(rate)
        .with_context(|| format!("replay printed {stdout:?} and {stderr:?}"))
}

/// Returns the number in front of `words`.
fn number_before(text: &str, words: &str) -> Option<f64> {
    let (before, _) = text.split_once(words)?;
    before.split_whitespace().next_back()?.parse().ok()
}

/// The rate of the stream between the namespaces in datagrams per second, and its duration in
/// seconds.
const PPS: u32 = 100_000;
const SECONDS: u64 = 5;

/// How long the last datagrams may take to appear in the counters.
const SETTLING: Duration = Duration::from_secs(1);

/// Compares the exporter's CPU time with that of the tshark and dumpcap that it runs, and its losses
/// with those of dumpcap alone.
pub(super) fn tshark(bench: &Bench, name: &'static str) -> anyhow::Result<Vec<Row>> {
    for program in ["tshark", "dumpcap", "ip"] {
        if !bench.has(program) {
            bail!("{program} is not available");
        }
    }
    if bench.other.is_some() {
        let runs = bench.in_turn(|exporter| through_exporter(bench, exporter))?;
        return Ok(vec![
            bench.row(name, "CPU s", &runs, |through| through.exporter, None),
            bench.row(name, "datagrams lost", &runs, |through| through.lost, None),
        ]);
    }
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let (mut lost, mut lost_alone) = (Vec::new(), Vec::new());
    for _ in 0..bench.pairs {
        let through = through_exporter(bench, &bench.programs.exporter)?;
        ours.push(through.exporter);
        theirs.push(through.capture);
        lost.push(through.lost);
        lost_alone.push(through_dumpcap(bench)?);
    }
    Ok(vec![
        Row::compared(
            name,
            "CPU s",
            &ours,
            "its tshark and dumpcap",
            &theirs,
            Some(Goal::times(0.15)),
        ),
        Row::compared(
            name,
            "datagrams lost",
            &lost,
            "dumpcap to /dev/null",
            &lost_alone,
            Some(Goal::times(1.0)),
        ),
    ])
}

/// The result of a stream through the exporter with tshark.
struct Through {
    /// The CPU time of the exporter, in seconds.
    exporter: f64,
    /// The CPU time of tshark and dumpcap, in seconds.
    capture: f64,
    /// The number of datagrams lost.
    lost: f64,
}

fn through_exporter(bench: &Bench, exporter: &Path) -> anyhow::Result<Through> {
    let network = Network::new()?;
    let log = tempfile::NamedTempFile::new().context("creating a file for the log")?;
    let mut exporter = Exporter::start(
        exporter,
        &network.collector,
        log.path(),
        &["--capture", "tshark", "--interface", COLLECTOR_LINK],
    )?;
    exporter.await_capture()?;
    let mut capture = Vec::new();
    for name in ["tshark", "dumpcap"] {
        for id in network.collector.processes(name)? {
            capture.push(daemon::process(id.as_raw().unsigned_abs())?);
        }
    }
    let own = daemon::process(exporter.id())?;
    let theirs = || capture.iter().map(daemon::cpu).sum::<anyhow::Result<f64>>();

    let (own_before, theirs_before) = (daemon::cpu(&own)?, theirs()?);
    let sent = stream(bench, &network)?;
    thread::sleep(SETTLING);
    let (own_after, theirs_after) = (daemon::cpu(&own)?, theirs()?);
    let received = exporter.scrape()?.value("tzsp_frames_received_total");
    let complaints = exporter.stop()?;
    if !complaints.is_empty() {
        bail!("{}", complaints.join("\n"));
    }
    Ok(Through {
        exporter: own_after - own_before,
        capture: theirs_after - theirs_before,
        lost: sent - received,
    })
}

/// Sends the same stream to dumpcap alone, with the options that the exporter uses. Returns the
/// number of datagrams lost.
fn through_dumpcap(bench: &Bench) -> anyhow::Result<f64> {
    let network = Network::new()?;
    let filter = format!("(dst port {LISTEN_PORT}) and udp");
    let mut command = Command::new("dumpcap");
    command
        .args(["-q", "-p", "-B", "64", "-s", "256", "-f", &filter])
        .args(["-i", COLLECTOR_LINK, "-w", "/dev/null"])
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = network
        .collector
        .run(|| command.spawn().context("cannot run dumpcap"))?;
    // The exporter binds its port as well: otherwise the host would answer each datagram with an ICMP
    // error.
    let _port = network.collector.run(|| {
        let port = UdpSocket::bind(("0.0.0.0", LISTEN_PORT)).context("cannot bind the port")?;
        socket2::SockRef::from(&port).set_recv_buffer_size(1)?;
        Ok(port)
    })?;
    let mut output = BufReader::new(child.stderr.take().context("its errors are piped")?);
    await_line(&mut output, "File: /dev/null")?;
    let sent = stream(bench, &network)?;
    thread::sleep(SETTLING);
    let id = i32::try_from(child.id()).context("a process id fits")?;
    kill(Pid::from_raw(id), Signal::SIGINT).context("cannot stop dumpcap")?;
    let mut last = String::new();
    output.read_to_string(&mut last)?;
    child.wait()?;
    let captured = last
        .lines()
        .find_map(|line| line.trim().strip_prefix("Packets captured: "))
        .and_then(|number| number.parse::<f64>().ok())
        .with_context(|| format!("dumpcap printed {last:?}"))?;
    Ok(sent - captured)
}

/// Streams from the sensor to the collector. Returns the number of datagrams.
fn stream(bench: &Bench, network: &Network) -> anyhow::Result<f64> {
    let datagrams = Datagrams::read(&bench.inputs.path(input::SCRAPE)?)?;
    let wanted = bench.inputs.shrunk(u64::from(PPS) * SECONDS);
    let (sent, _) = Load::start(&network.sensor, COLLECTOR, datagrams, PPS, wanted).finish()?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    Ok(sent as f64)
}

/// Reads lines until one equals `wanted`.
fn await_line(output: &mut impl BufRead, wanted: &str) -> anyhow::Result<()> {
    let mut text = String::new();
    while output.read_line(&mut text)? > 0 {
        if text
            .lines()
            .last()
            .is_some_and(|line| line.trim() == wanted)
        {
            return Ok(());
        }
    }
    bail!("the output ended before {wanted:?}: {}", text.trim_end())
}
