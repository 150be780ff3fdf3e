//! Measures scrapes of 100,000 flows from a running exporter.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
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
    let exporters = bench
        .exporters()
        .map(|exporter| Scraped::start(bench, exporter));
    let mut scraped = exporters.collect::<anyhow::Result<Vec<_>>>()?;
    for _ in 0..bench.pairs {
        for scraped in &mut scraped {
            scraped.plain.measure(&scraped.daemon, TEXT, "identity")?;
        }
    }
    for scraped in &mut scraped {
        scraped.growth = scraped.daemon.peak()? - scraped.resident;
    }
    for _ in 0..bench.pairs {
        for scraped in &mut scraped {
            let Scraped {
                daemon, protobuf, ..
            } = scraped;
            protobuf.measure(daemon, PROTOBUF, "identity")?;
        }
    }
    for scraped in &mut scraped {
        // The peak includes that of the text, which was first: protobuf adds nothing to it.
        scraped.growth_with_protobuf = scraped.daemon.peak()? - scraped.resident;
    }
    for _ in 0..bench.pairs {
        for scraped in &mut scraped {
            let Scraped { daemon, .. } = scraped;
            scraped.gzip.measure(daemon, TEXT, "gzip")?;
            scraped.gzip_protobuf.measure(daemon, PROTOBUF, "gzip")?;
        }
    }
    for scraped in &scraped {
        check_flows(bench, &scraped.daemon)?;
    }

    let row = |quantity, values: fn(&Scraped) -> Vec<f64>, most: Option<f64>| {
        let values: Vec<_> = scraped.iter().map(values).collect();
        bench.row(
            name,
            quantity,
            &values,
            |value| *value,
            most.map(Goal::at_most),
        )
    };
    let ours = scraped.first().context("no exporter was measured")?;
    let beside_text = |quantity, protobuf: &[f64], text: &[f64], goal| {
        Row::compared(name, quantity, protobuf, "text", text, goal)
    };
    Ok(vec![
        row(
            "plain, last byte ms",
            |of| of.plain.last.clone(),
            Some(40.0),
        ),
        row("plain, first byte ms", |of| of.plain.first.clone(), None),
        row("plain, memory added MiB", |of| vec![of.growth], Some(2.0)),
        row("memory before MiB", |of| vec![of.resident], None),
        row("gzip, CPU ms", |of| of.gzip.cpu.clone(), Some(200.0)),
        row(
            "gzip, first byte ms",
            |of| of.gzip.first.clone(),
            Some(20.0),
        ),
        row("gzip, last byte ms", |of| of.gzip.last.clone(), None),
        row(
            "protobuf, memory added MiB",
            |of| vec![of.growth_with_protobuf],
            Some(ours.growth),
        ),
        beside_text(
            "protobuf, last byte ms",
            &ours.protobuf.last,
            &ours.plain.last,
            Some(Goal::times(1.0)),
        ),
        beside_text(
            "protobuf in gzip, CPU ms",
            &ours.gzip_protobuf.cpu,
            &ours.gzip.cpu,
            None,
        ),
    ])
}

/// A running exporter with 100,000 flows, and the measurements of its scrapes.
struct Scraped {
    daemon: Daemon,
    /// The resident memory before the first scrape, in MiB.
    resident: f64,
    /// By how much the scrapes raised the peak of the resident memory, in MiB.
    growth: f64,
    /// The same, after scrapes in protobuf too.
    growth_with_protobuf: f64,
    plain: Timings,
    protobuf: Timings,
    gzip: Timings,
    gzip_protobuf: Timings,
}

impl Scraped {
    fn start(bench: &Bench, exporter: &Path) -> anyhow::Result<Self> {
        let capture = bench.inputs.path(input::SCRAPE)?;
        let daemon = Daemon::start(Command::new(exporter), 100_000)?;
        let to = format!("127.0.0.1:{}", daemon.listen_port);
        succeed(
            bench
                .xtask()
                .arg("replay")
                .arg(capture)
                .args(["--to", &to, "--pps", PPS])
                .stdout(Stdio::null()),
        )?;
        daemon.settle()?;
        // The first request allocates memory that later ones reuse. It is not part of the measurement.
        fetch(daemon.publish_port, "/-/healthy", TEXT, "identity")?;
        let resident = daemon.resident()?;
        daemon.reset_peak()?;
        Ok(Self {
            daemon,
            resident,
            growth: 0.0,
            growth_with_protobuf: 0.0,
            plain: Timings::default(),
            protobuf: Timings::default(),
            gzip: Timings::default(),
            gzip_protobuf: Timings::default(),
        })
    }
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
