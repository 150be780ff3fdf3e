//! Several sites: an exporter for each, a Prometheus with the shipped rules, and another Prometheus
//! that federates it.

use std::fs;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::guide::expressions;
use crate::live::send;
use crate::prometheus::Prometheus;
use crate::rules::{check_metrics, contrib};
use crate::support::{Exporter, LaunchOptions, eventually};
use crate::traffic::packet;

const ADDED: &str = "instance_from_type_to_type_protocol:tzsp_traffic_bytes:added";

/// The shipped rules, evaluated every second.
fn fast_rules() -> String {
    let rules = fs::read_to_string(contrib("prometheus/recording.rules.yml")).unwrap();
    let rules = rules.replace("interval: 1m", "interval: 1s");
    rules.replace("interval: 15s", "interval: 1s")
}

#[track_caller]
fn prometheus(scrape_configs: &str) -> Prometheus {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("rules.yml"), fast_rules()).unwrap();
    let configuration = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
         rule_files: [rules.yml]\n\
         scrape_configs:\n{scrape_configs}"
    );
    Prometheus::start_in(directory, &configuration)
}

/// Waits until an expression with one result has this value.
#[track_caller]
fn wait(prometheus: &Prometheus, query: &str, expected: f64) {
    wait_for(prometheus, query, |value| value == expected);
}

#[track_caller]
fn wait_for(prometheus: &Prometheus, query: &str, is_right: impl Fn(f64) -> bool) {
    eventually(query, || {
        prometheus.get("query?query=vector(1)")?;
        let answer = prometheus.ask("query", &[("query", query)]);
        let value = answer["result"][0]["value"][1].as_str()?;
        is_right(value.parse().unwrap()).then_some(())
    });
}

struct Site {
    exporter: Exporter<'static>,
    udp_port: u16,
}

impl Site {
    /// Starts its exporter, which publishes on this port; with 0, on a free one.
    #[track_caller]
    fn start(publish_port: u16) -> Self {
        let launch = LaunchOptions {
            publish_port,
            ..LaunchOptions::default()
        };
        let mut exporter = Exporter::start_with(&launch, &["--listen-port", "0"]);
        let udp_port = exporter.udp_port();
        Self { exporter, udp_port }
    }

    /// Sends this many packets of this many bytes.
    fn mirrors(&self, packets: u16, bytes: u16) {
        for _ in 0..packets {
            send(
                self.udp_port,
                &packet([192, 168, 88, 50], [142, 250, 74, 110], 6, bytes),
            );
        }
    }

    fn target(&self, site: &str) -> String {
        let port = self.exporter.port;
        format!("{{targets: ['localhost:{port}'], labels: {{site: {site}}}}}")
    }
}

#[test]
fn totals_of_all_sites_are_exact_despite_a_restarted_exporter() {
    let [paris, mut oslo, rome, standby] = [0; 4].map(Site::start);
    let [a, b, c] =
        [(&paris, "paris"), (&oslo, "oslo"), (&rome, "rome")].map(|(site, name)| site.target(name));
    let d = standby.target("oslo");
    let mut local = prometheus(&format!(
        "- {{job_name: tzsp, static_configs: [{a}, {b}, {c}]}}\n\
         - {{job_name: tzsp-b, static_configs: [{d}]}}\n"
    ));
    let global = prometheus(&format!(
        "- job_name: federate\n  honor_labels: true\n  honor_timestamps: false\n  \
         metrics_path: /federate\n  params: {{'match[]': ['{{__name__=~\"tzsp_(traffic|frames).+\"}}']}}\n  \
         static_configs: [{{targets: ['localhost:{}']}}]\n",
        local.port
    ));
    // The rules count increases only after the first sample of an exporter.
    for prometheus in [&local, &global] {
        let seen = "count(tzsp_frames_received_total offset 2s)";
        wait(prometheus, seen, 4.0);
    }

    let total = format!("sum(sum_over_time({ADDED}{{job='tzsp'}}[1h]))");
    paris.mirrors(100, 1001);
    oslo.mirrors(7, 1003);
    standby.mirrors(7, 1003);
    rome.mirrors(30, 77);
    let before = 100_100.0 + 7021.0 + 2310.0;
    wait(&local, &total, before);
    wait(&global, &total, before);

    // The second exporter in Oslo counts the packets that the first one misses.
    let port = oslo.exporter.port;
    oslo.exporter.signal(Signal::SIGTERM);
    let (status, log) = oslo.exporter.wait_for_exit();
    assert!(status.success(), "{log}");
    wait(&local, "sum(up{job='tzsp'})", 2.0);
    paris.mirrors(3, 1500);
    standby.mirrors(2, 999);
    oslo = Site::start(port);
    // Prometheus detects a reset only if it sees a lower value. So the restarted counter must not
    // exceed its old value before it has been scraped.
    for prometheus in [&local, &global] {
        let seen = "instance:tzsp_counters:seen{counter='frames_received',job='tzsp',site='oslo'}";
        wait(prometheus, seen, 0.0);
    }
    for site in [&oslo, &standby] {
        site.mirrors(50, 1234);
    }
    rome.mirrors(1, 40);
    let after = before + 4500.0 + 61_700.0 + 40.0;
    wait(&local, &total, after);
    wait(&global, &total, after);
    let of_oslo = format!("sum(sum_over_time({ADDED}{{job='tzsp',site='oslo'}}[1h]))");
    wait(&local, &of_oslo, 7021.0 + 61_700.0);

    // Prometheus itself is stopped for a while.
    local.restart(|| {
        paris.mirrors(11, 300);
        oslo.mirrors(1, 20);
        standby.mirrors(1, 20);
    });
    let after = after + 3300.0 + 20.0;
    wait(&local, &total, after);
    wait(&global, &total, after);

    // Expressions from the guide. The first and the third sum both jobs. The second is a rate over
    // five minutes, for which this test does not wait.
    let standby = 7021.0 + 2.0 * 999.0 + 61_700.0 + 20.0;
    let both = Some(after + standby);
    let pairs_once = after + 2.0 * 999.0;
    let expected = [both, None, both, Some(pairs_once)];
    let expressions: Vec<_> = expressions(true).collect();
    assert_eq!(expressions.len(), expected.len());
    for (expression, expected) in expressions.iter().zip(expected) {
        check_metrics(expression);
        let sum = format!("sum({expression})");
        match expected {
            Some(expected) => wait(&global, &sum, expected),
            None => wait_for(&global, &sum, |rate| rate > 0.0),
        }
    }
}
