//! Measures scrapes of 100,000 flows from a running exporter.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::daemon::Daemon;
use super::table::{Goal, Row};
use super::{Bench, input};
use crate::project::succeed;

/// Datagrams per second: slow enough that none is lost.
const PPS: &str = "50000";

/// The formats, as an `Accept` header names them.
const TEXT: &str = "text/plain";
const PROTOBUF: &str =
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";

/// How long the exporter may take to answer.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(20);

pub(super) fn run(bench: &Bench, name: &'static str) -> anyhow::Result<Vec<Row>> {
    let capture = bench.inputs.path(input::SCRAPE)?;
    let daemon = Daemon::start(bench.exporter(), 100_000)?;
    let to = format!("127.0.0.1:{}", daemon.listen_port);
    succeed(
        bench
            .xtask()
            .arg("replay")
            .arg(capture)
            .args(["--to", &to, "--pps", PPS])
            .stdout(std::process::Stdio::null()),
    )?;
    daemon.settle()?;
    // The first request allocates memory that later ones reuse. It is not part of the measurement.
    fetch(daemon.publish_port, "/-/healthy", TEXT, "identity")?;
    let resident = daemon.resident()?;
    daemon.reset_peak()?;

    let mut plain = Timings::default();
    for _ in 0..bench.pairs {
        plain.measure(&daemon, TEXT, "identity")?;
    }
    let growth = daemon.peak()? - resident;
    let mut protobuf = Timings::default();
    for _ in 0..bench.pairs {
        protobuf.measure(&daemon, PROTOBUF, "identity")?;
    }
    let growth_with_protobuf = daemon.peak()? - resident;
    let mut gzip = Timings::default();
    let mut gzip_protobuf = Timings::default();
    for _ in 0..bench.pairs {
        gzip.measure(&daemon, TEXT, "gzip")?;
        gzip_protobuf.measure(&daemon, PROTOBUF, "gzip")?;
    }
    check_flows(bench, &daemon)?;

    let limited = |quantity, values: &[f64], max: f64| {
        Row::without_peer(name, quantity, values, Some(Goal::at_most(max)))
    };
    Ok(vec![
        limited("plain, last byte ms", &plain.last, 40.0),
        Row::without_peer(name, "plain, first byte ms", &plain.first, None),
        limited("plain, memory added MiB", &[growth], 2.0),
        Row::without_peer(name, "memory before MiB", &[resident], None),
        Row::compared(
            name,
            "protobuf, last byte ms",
            &protobuf.last,
            "plain text",
            &plain.last,
            Some(Goal::times(1.0)),
        ),
        // The peak includes that of the text, which was first: protobuf adds nothing to it.
        limited(
            "protobuf, memory added MiB",
            &[growth_with_protobuf],
            growth,
        ),
        limited("gzip, CPU ms", &gzip.cpu, 200.0),
        limited("gzip, first byte ms", &gzip.first, 20.0),
        Row::without_peer(name, "gzip, last byte ms", &gzip.last, None),
        Row::compared(
            name,
            "protobuf in gzip, CPU ms",
            &gzip_protobuf.cpu,
            "text in gzip",
            &gzip.cpu,
            None,
        ),
    ])
}

/// Checks that the exporter had all flows during the measurement.
fn check_flows(bench: &Bench, daemon: &Daemon) -> anyhow::Result<()> {
    let wanted = bench.inputs.shrunk(100_000);
    let flows = daemon.scrape()?.value("tzsp_flows");
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    if (flows - wanted as f64).abs() > 0.5 {
        bail!("the exporter has {flows} flows instead of {wanted}");
    }
    Ok(())
}

/// The measurements of each scrape, in milliseconds.
#[derive(Default)]
struct Timings {
    first: Vec<f64>,
    last: Vec<f64>,
    cpu: Vec<f64>,
}

impl Timings {
    fn measure(&mut self, daemon: &Daemon, accept: &str, encoding: &str) -> anyhow::Result<()> {
        let before = daemon.cpu()?;
        let (first, last) = fetch(daemon.publish_port, "/metrics", accept, encoding)?;
        self.cpu.push((daemon.cpu()? - before) * 1000.0);
        self.first.push(first.as_secs_f64() * 1000.0);
        self.last.push(last.as_secs_f64() * 1000.0);
        Ok(())
    }
}

/// Fetches a page. Returns the times from the start of the request to the first and to the last byte
/// of the body.
fn fetch(
    port: u16,
    path: &str,
    accept: &str,
    encoding: &str,
) -> anyhow::Result<(Duration, Duration)> {
    let begin = Instant::now();
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("cannot connect")?;
    stream.set_read_timeout(Some(RESPONSE_TIMEOUT))?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\
         Accept-Encoding: {encoding}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut head = Vec::new();
    let mut piece = vec![0; 1 << 16];
    let mut first = None;
    loop {
        let length = stream.read(&mut piece).context("reading the answer")?;
        if length == 0 {
            break;
        }
        if first.is_none() {
            head.extend_from_slice(&piece[..length]);
            let end = head.windows(4).position(|bytes| bytes == b"\r\n\r\n");
            if end.is_some_and(|end| end + 4 < head.len()) {
                first = Some(begin.elapsed());
            }
        }
    }
    let last = begin.elapsed();
    let head = String::from_utf8_lossy(&head).into_owned();
    let (status, _) = head.split_once("\r\n").unwrap_or_default();
    let wanted = format!("content-encoding: {encoding}\r\n");
    if !status.ends_with(" 200 OK") {
        bail!("the exporter answered {status:?} to {path}");
    }
    if encoding != "identity" && !head.to_ascii_lowercase().contains(&wanted) {
        bail!("the exporter did not answer in {encoding}");
    }
    let first = first.context("the exporter answered without a body")?;
    Ok((first, last))
}
