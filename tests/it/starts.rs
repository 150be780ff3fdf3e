//! What start timestamps change in PromQL, shown with a real Prometheus 3. Debian 12 has none; `cargo
//! xtask ci` unpacks the one of Debian unstable. Without it, the test says so and passes.

use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::live::{DATAGRAM, send};
use crate::prometheus::Prometheus;
use crate::support::{Exporter, LaunchOptions, eventually};

/// Where `cargo xtask ci` puts the newer Prometheus.
fn newer_prometheus() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = root.join("target/tools/prometheus/usr/bin/prometheus");
    program.exists().then_some(program)
}

/// An exporter and the Prometheus server that scrapes it.
struct Site {
    exporter: Option<Exporter<'static>>,
    prometheus: Prometheus,
    listen_port: u16,
    publish_port: u16,
    arguments: &'static [&'static str],
}

impl Site {
    fn new(
        program: &Path,
        features: &[&str],
        settings: &str,
        arguments: &'static [&'static str],
    ) -> Self {
        let udp = UdpSocket::bind("0.0.0.0:0").unwrap();
        let tcp = TcpListener::bind("0.0.0.0:0").unwrap();
        let publish_port = tcp.local_addr().unwrap().port();
        let mut site = Self {
            exporter: None,
            prometheus: Prometheus::start_program(program, features, publish_port, settings),
            listen_port: udp.local_addr().unwrap().port(),
            publish_port,
            arguments,
        };
        drop((udp, tcp));
        eventually("Prometheus", || site.prometheus.get("status/buildinfo"));
        site.start();
        site
    }

    /// Starts the exporter again. A flow is seen in a single scrape, and is forgotten at the next
    /// one.
    fn start(&mut self) {
        self.exporter = None;
        let launch = LaunchOptions {
            publish_port: self.publish_port,
            ..LaunchOptions::default()
        };
        let listen_port = self.listen_port.to_string();
        let limits = [
            "--listen-port",
            &listen_port,
            "--labels",
            "from",
            "--flow-idle-timeout",
            "50ms",
            "--max-flows",
            "1",
            "--max-idle-flows",
            "0",
        ];
        let arguments = [&limits, self.arguments].concat();
        self.exporter = Some(Exporter::start_with(&launch, &arguments));
    }

    /// Sends packets of the flow from 10.0.0.`host`.
    fn send(&self, host: u8, packets: u32) {
        let mut datagram = DATAGRAM;
        datagram[31..35].copy_from_slice(&[10, 0, 0, host]);
        for _ in 0..packets {
            send(self.listen_port, &datagram);
        }
    }

    /// The samples of a flow: time and value.
    fn samples(&self, from: &str) -> Vec<(f64, f64)> {
        let query = format!("tzsp_observed_packets_total{{from=\"{from}\"}}[1h]");
        let answer = self.prometheus.ask("query", &[("query", &query)]);
        let Some(samples) = answer["result"][0]["values"].as_array() else {
            return Vec::new();
        };
        let samples = samples.iter().map(|sample| {
            let value = sample[1].as_str().unwrap();
            (sample[0].as_f64().unwrap(), value.parse().unwrap())
        });
        samples.collect()
    }

    /// Waits until the newest sample of a flow has this value.
    #[track_caller]
    fn wait_for_sample(&self, from: &str, value: f64) {
        eventually("a sample", || {
            let samples = self.samples(from);
            samples
                .last()
                .filter(|(_, newest)| *newest == value)
                .copied()
        });
    }

    /// Waits until no flow is shown any more.
    #[track_caller]
    fn wait_until_hidden(&self) {
        eventually("a scrape without flows", || {
            let flows = self.prometheus.query("tzsp_flows");
            flows.filter(|&flows| flows == 0.0)
        });
    }

    /// The increase over the last hour, evaluated at the newest sample, so that nothing is
    /// extrapolated behind it.
    fn increase(&self, from: &str) -> Option<f64> {
        let newest = self.samples(from).last()?.0.to_string();
        let query = format!("increase(tzsp_observed_packets_total{{from=\"{from}\"}}[1h])");
        let parameters = [("query", query.as_str()), ("time", &newest)];
        let answer = self.prometheus.ask("query", &parameters);
        let value = answer["result"][0]["value"][1].as_str()?;
        value.parse().ok()
    }

    fn values(&self, from: &str) -> Vec<f64> {
        let samples = self.samples(from).into_iter();
        samples.map(|(_, value)| value).collect()
    }
}

const FEATURE: &str = "--enable-feature=created-timestamp-zero-ingestion";

#[test]
fn with_start_timestamps_prometheus_counts_from_zero() {
    let Some(program) = newer_prometheus() else {
        #[expect(clippy::print_stderr, reason = "a test that did not run says so")]
        {
            eprintln!(
                "with_start_timestamps_prometheus_counts_from_zero: not tested, because \
                 Prometheus 3 is not in target/tools; `cargo xtask ci` tries to unpack it there"
            );
        }
        return;
    };
    let openmetrics = "  scrape_protocols: [OpenMetricsText1.0.0]\n";
    let mut sites = [
        Site::new(&program, &[], "", &[]),
        Site::new(&program, &[FEATURE], "", &[]),
        Site::new(&program, &[FEATURE], openmetrics, &["--web.created-series"]),
    ];
    let began = UNIX_EPOCH.elapsed().unwrap().as_secs_f64();

    // A short flow, seen in one scrape.
    for site in &sites {
        site.send(1, 7);
    }
    for site in &sites {
        site.wait_for_sample("10.0.0.1", 7.0);
    }
    for site in &sites {
        site.wait_until_hidden();
    }
    // A flow that was forgotten and returns higher.
    for site in &sites {
        site.send(2, 3);
    }
    for site in &sites {
        site.wait_for_sample("10.0.0.2", 3.0);
    }
    for site in &sites {
        site.wait_until_hidden();
    }
    for site in &sites {
        site.send(2, 5);
    }
    for site in &sites {
        site.wait_for_sample("10.0.0.2", 5.0);
    }
    for site in &sites {
        site.wait_until_hidden();
    }
    // A flow before and after a restart, with a higher count.
    for site in &sites {
        site.send(3, 3);
    }
    for site in &sites {
        site.wait_for_sample("10.0.0.3", 3.0);
    }
    for site in &mut sites {
        site.start();
    }
    for site in &sites {
        site.send(3, 5);
    }
    for site in &sites {
        site.wait_for_sample("10.0.0.3", 5.0);
    }
    for site in &sites {
        site.wait_until_hidden();
    }
    // Packets beyond the limit of one flow.
    for site in &sites {
        site.send(4, 1);
        site.send(5, 4);
    }
    for site in &sites {
        site.wait_for_sample("other", 4.0);
    }

    let [without, with @ ..] = &sites;
    assert_eq!(without.values("10.0.0.1"), [7.0]);
    assert_eq!(without.increase("10.0.0.1"), None);
    // The difference is 2. Prometheus assumes that the counter grew as fast for half of the
    // interval before the first sample.
    for from in ["10.0.0.2", "10.0.0.3"] {
        assert_eq!(without.values(from), [3.0, 5.0]);
        assert_eq!(without.increase(from), Some(3.0));
    }
    assert!(without.increase("other").unwrap_or_default() == 0.0);
    for with in with {
        assert_eq!(with.values("10.0.0.1"), [0.0, 7.0]);
        assert_eq!(with.increase("10.0.0.1"), Some(7.0));
        for from in ["10.0.0.2", "10.0.0.3"] {
            assert_eq!(with.values(from), [0.0, 3.0, 0.0, 5.0]);
            assert_eq!(with.increase(from), Some(8.0));
        }
        assert_eq!(with.values("other")[..2], [0.0, 4.0]);
        assert_eq!(with.increase("other"), Some(4.0));
        // The 0 is at the start, which is before the sample and after the test began. It is rounded
        // down to milliseconds.
        let [(zero, _), (first, _)] = with.samples("10.0.0.1")[..] else {
            panic!("two samples");
        };
        let earliest = began - 0.001;
        assert!((earliest..first).contains(&zero), "{began} {zero} {first}");
        // The starts are not stored as series of their own.
        let created = with.prometheus.query("tzsp_observed_packets_created");
        assert_eq!(created, None);
    }
}
