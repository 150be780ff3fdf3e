//! An exporter with traffic and a Prometheus that scrapes it. A known wave of packets is sent
//! between two scrapes, so that rates between these two are exact.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, UNIX_EPOCH};

use humantime::format_rfc3339_millis;
use serde_json::Value;
use tempfile::TempDir;

use crate::live::DATAGRAM;
use crate::prometheus::Prometheus;
use crate::support::{Exporter, eventually};

/// The totals of one wave, added up by hand from `Scenario::send_wave`.
pub(crate) const FRAMES: f64 = 28.0;
pub(crate) const SKIPPED: f64 = 3.0;
pub(crate) const PACKETS: f64 = 25.0;
pub(crate) const BYTES: f64 =
    10.0 * 1000.0 + 5.0 * 400.0 + 4.0 * 200.0 + 3.0 * 100.0 + 168.0 + 60.0;
/// Bytes that hosts send and receive: their flows are the first, third, fourth, fifth and sixth, and
/// the second, third and sixth.
pub(crate) const SENT_BY_HOSTS: f64 = 10.0 * 1000.0 + 4.0 * 200.0 + 3.0 * 100.0 + 168.0 + 60.0;
pub(crate) const RECEIVED_BY_HOSTS: f64 = 5.0 * 400.0 + 4.0 * 200.0 + 60.0;
/// Packets of the two flows that find no free slot.
pub(crate) const OVERFLOW: f64 = 3.0;

/// One label more than the default, and slots for four of the six flows.
const OPTIONS: [&str; 4] = [
    "--labels",
    "from,from_type,to,to_type,protocol,listen_port,sensor",
    "--max-flows",
    "4",
];

pub(crate) struct Scenario {
    port: u16,
    _exporter: Exporter<'static>,
    prometheus: Prometheus,
    /// The times of the two scrapes, in milliseconds since the epoch.
    before: u64,
    after: u64,
}

/// The labels and the value of a series in an answer.
pub(crate) type Sample = (Value, f64);

impl Scenario {
    #[track_caller]
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// A scenario whose exporter knows the name of one host, and gets more options.
    #[track_caller]
    pub(crate) fn with_names(more: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let hosts = directory.path().join("hosts");
        fs::write(&hosts, "192.168.88.50 laptop\n").unwrap();
        let source = format!("hosts={}", hosts.display());
        Self::with(&[&["--names", &source], more].concat())
    }

    /// A scenario whose exporter gets more options.
    #[track_caller]
    pub(crate) fn with(more: &[&str]) -> Self {
        // The exporter recognises a stream within the stream only by a port that was given
        // explicitly.
        let free = UdpSocket::bind("0.0.0.0:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let listen_port = ["--listen-port", &port.to_string()];
        let exporter = Exporter::start(&[&listen_port[..], &OPTIONS, more].concat());
        let prometheus = Prometheus::start(exporter.port, "");
        let mut scenario = Self {
            port,
            _exporter: exporter,
            prometheus,
            before: 0,
            after: 0,
        };
        // The first wave creates the series. A later wave may coincide with a scrape; then it is
        // repeated.
        scenario.send_wave();
        scenario.scrape_of(1);
        for waves in 2.. {
            scenario.send_wave();
            let scrapes = scenario.scrape_of(waves);
            let [.., (before, frames), (after, _)] = scrapes[..] else {
                unreachable!("the waves before were scraped")
            };
            if frames == f64::from(waves - 1) * FRAMES {
                (scenario.before, scenario.after) = (before, after);
                return scenario;
            }
        }
        unreachable!()
    }

    /// All scrapes up to the first that shows this many waves: the time and the number of frames.
    #[track_caller]
    fn scrape_of(&self, waves: u32) -> Vec<(u64, f64)> {
        eventually("a scrape of the wave", || {
            let query = [("query", "tzsp_frames_received_total[1h]")];
            let answer = self.prometheus.get("query?query=vector(1)")?;
            assert_eq!(answer["status"], "success");
            let answer = self.prometheus.ask("query", &query);
            let scrapes = answer["result"][0]["values"].as_array()?.iter();
            let mut scrapes: Vec<_> = scrapes
                .map(|scrape| (milliseconds(&scrape[0]), number(&scrape[1])))
                .collect();
            let is_there = |scrape: &(u64, f64)| scrape.1 == f64::from(waves) * FRAMES;
            let first = scrapes.iter().position(is_there)?;
            scrapes.truncate(first + 1);
            Some(scrapes)
        })
    }

    /// Sends 28 datagrams from two sensors.
    fn send_wave(&self) {
        let (first, second) = (Sensor::new(1, self.port), Sensor::new(2, self.port));
        let host = |last| [192, 168, 88, last];
        let server = [142, 250, 74, 110];
        first.send(10, &packet(host(50), server, 6, 1000));
        first.send(5, &packet(server, host(50), 6, 400));
        second.send(4, &packet(host(51), host(50), 17, 200));
        second.send(3, &packet(host(51), [224, 0, 0, 251], 17, 100));
        // These flows find no free slot. The packet of the first is shorter than its length field.
        let icmp = packet(host(52), server, 1, 84);
        first.send(2, &icmp[..icmp.len() - 20]);
        let mut own_stream = packet(host(53), host(10), 17, 60);
        let destination_port = 5 + 14 + 20 + 2;
        own_stream[destination_port..][..2].copy_from_slice(&self.port.to_be_bytes());
        first.send(1, &own_stream);
        // A keepalive, a datagram that is not TZSP, and a tag that extends past the end.
        first.send(1, &[1, 4, 0, 0]);
        first.send(1, b"hello");
        first.send(1, &[1, 0, 0, 1, 40, 200]);
    }

    /// The seconds between the two scrapes.
    pub(crate) fn seconds(&self) -> f64 {
        (self.after - self.before) as f64 / 1000.0
    }

    /// The same in PromQL's notation of a range.
    pub(crate) fn range(&self) -> String {
        format!("{}ms", self.after - self.before)
    }

    /// Evaluates an expression at the second scrape, as an instant query and at the end of a range
    /// query.
    #[track_caller]
    pub(crate) fn ask(&self, expression: &str) -> Vec<Sample> {
        let time = format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(self.after));
        let time = time.to_string();
        let at = [("query", expression), ("time", &time)];
        let instant = self.prometheus.ask("query", &at);
        assert_eq!(instant["resultType"], "vector", "{expression}");
        let during = [
            ("query", expression),
            ("start", &time),
            ("end", &time),
            ("step", "15"),
        ];
        let range = self.prometheus.ask("query_range", &during);
        let size = |answer: &Value| answer["result"].as_array().unwrap().len();
        assert_eq!(size(&instant), size(&range), "{expression}");
        let series = instant["result"].as_array().unwrap().iter();
        series
            .map(|series| (series["metric"].clone(), number(&series["value"][1])))
            .collect()
    }

    /// The values of a label, requested as Grafana does.
    #[track_caller]
    pub(crate) fn values(&self, label: &str, of: &str) -> Vec<String> {
        let path = format!("label/{label}/values");
        let values = self.prometheus.ask(&path, &[("match[]", of)]);
        let values = values.as_array().unwrap().iter();
        values
            .map(|value| value.as_str().unwrap().to_owned())
            .collect()
    }
}

/// A socket with the address 127.0.0.`last` that sends to a fixed port.
struct Sensor(UdpSocket);

impl Sensor {
    fn new(last: u8, port: u16) -> Self {
        let socket = UdpSocket::bind(SocketAddr::from(([127, 0, 0, last], 0))).unwrap();
        socket.connect(("127.0.0.1", port)).unwrap();
        Self(socket)
    }

    fn send(&self, times: usize, datagram: &[u8]) {
        for _ in 0..times {
            self.0.send(datagram).unwrap();
        }
    }
}

/// A TZSP datagram with a mirrored packet of this length.
pub(crate) fn packet(from: [u8; 4], to: [u8; 4], protocol: u8, length: u16) -> Vec<u8> {
    let ip = 5 + 14;
    let mut datagram = DATAGRAM.to_vec();
    datagram[ip + 2..][..2].copy_from_slice(&length.to_be_bytes());
    datagram[ip + 9] = protocol;
    datagram[ip + 12..][..4].copy_from_slice(&from);
    datagram[ip + 16..][..4].copy_from_slice(&to);
    datagram.resize(ip + usize::from(length), 0);
    datagram
}

/// Converts a time of Prometheus, in seconds with three decimals, to milliseconds.
fn milliseconds(seconds: &Value) -> u64 {
    let milliseconds = (seconds.as_f64().unwrap() * 1000.0).round();
    format!("{milliseconds}").parse().unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}
