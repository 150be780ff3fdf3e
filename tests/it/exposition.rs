//! The formats of `/metrics`, each read by a program other than the one under test.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::live::{DATAGRAM, send};
use crate::prometheus::Prometheus;
use crate::scrape::Scrape;
use crate::support::{Exporter, eventually};

const OPENMETRICS: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8";

/// The content type and the body of `/metrics` for a client that accepts this.
#[track_caller]
fn scrape(exporter: &Exporter<'_>, accept: &str) -> (String, Vec<u8>) {
    let request = ureq::get(exporter.url("/metrics")).header("accept", accept);
    let mut response = request.call().unwrap();
    let headers = response.headers();
    assert_eq!(headers["vary"], "Accept, Accept-Encoding");
    let content_type = headers["content-type"].to_str().unwrap().to_owned();
    (content_type, response.body_mut().read_to_vec().unwrap())
}

/// An exporter with one flow.
fn exporter(arguments: &[&str]) -> Exporter<'static> {
    let mut exporter = Exporter::start(&[&["--listen-port", "0"], arguments].concat());
    send(exporter.udp_port(), &DATAGRAM);
    exporter.scrape_until("a flow", |scrape| scrape.value("tzsp_flows") == 1.0);
    exporter
}

#[test]
fn the_content_type_is_what_the_client_asks_for() {
    let exporter = exporter(&[]);
    for (accept, content_type, end) in [
        ("*/*", "text/plain; version=0.0.4; charset=utf-8", " 1"),
        (
            "text/plain;version=1.0.0",
            "text/plain; version=1.0.0; charset=utf-8; escaping=underscores",
            " 1",
        ),
        (
            OPENMETRICS,
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
            "# EOF",
        ),
        (
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text; version=0.0.1; charset=utf-8",
            "# EOF",
        ),
    ] {
        let (answered, body) = scrape(&exporter, accept);
        assert_eq!(answered, content_type);
        let text = String::from_utf8(body).unwrap();
        assert!(text.ends_with(&format!("{end}\n")), "{text}");
    }
}

/// All samples, as the reference implementation of OpenMetrics reads them: `TYPE NAME LABELS VALUE`.
fn parsed_by_python(openmetrics: &[u8]) -> Vec<String> {
    const SCRIPT: &str = "import sys\n\
        from prometheus_client.openmetrics.parser import text_string_to_metric_families\n\
        for family in text_string_to_metric_families(sys.stdin.read()):\n\
        \x20   for sample in family.samples:\n\
        \x20       labels = ','.join(f'{name}={value}' for name, value in sample.labels.items())\n\
        \x20       print(family.type, sample.name, labels, sample.value)\n";
    let mut python = Command::new("/usr/bin/python3")
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3 is missing; `cargo xtask ci` installs it");
    python.stdin.take().unwrap().write_all(openmetrics).unwrap();
    let output = python.wait_with_output().unwrap();
    let problems = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{problems}");
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(str::to_owned).collect()
}

#[test]
fn openmetrics_is_valid_for_the_reference_parser() {
    let exporter = exporter(&[]);
    let (_, openmetrics) = scrape(&exporter, OPENMETRICS);
    let parsed = parsed_by_python(&openmetrics);
    for sample in [
        "counter tzsp_frames_received_total  1",
        "counter tzsp_frames_skipped_total reason=not_tzsp 0",
        "gauge tzsp_capture_up  1",
        "counter tzsp_traffic_packets_total",
    ] {
        let is_there = parsed.iter().any(|line| line.starts_with(sample));
        assert!(is_there, "{sample}: {parsed:#?}");
    }
    let text = Scrape::parse(&String::from_utf8(openmetrics).unwrap());
    assert_eq!(parsed.len(), text.len());
}

/// Debian's Prometheus prefers OpenMetrics. In the other formats, the names of counter families have
/// the suffix of their samples.
#[test]
fn prometheus_scrapes_openmetrics_from_the_daemon() {
    let exporter = exporter(&[]);
    let prometheus = Prometheus::start(exporter.port, "");
    eventually("a flow", || {
        let flows = prometheus.query("tzsp_observed_packets_total");
        flows.filter(|&packets| packets == 1.0)
    });
    assert_eq!(prometheus.query("up"), Some(1.0));
    let metadata = prometheus.get("metadata?metric=tzsp_frames_received");
    let metadata = metadata.unwrap();
    let family = &metadata["data"]["tzsp_frames_received"][0];
    assert_eq!(family["type"], "counter", "{metadata}");
}
