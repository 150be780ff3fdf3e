//! Runs `analyze` on a file in every output format: the counts add up, and the output can be parsed.
//!
//! The first byte selects the settings; the rest is the capture, compressed or not.

#![no_main]

use std::collections::HashSet;
use std::io::{Seek, Write};
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use tempfile::NamedTempFile;
use tzsp_packetstream_exporter::aggregator::Settings;
use tzsp_packetstream_exporter::analyze::{self, Options, Output, Stop};
use tzsp_packetstream_exporter::flow::{FlowLimits, Label, Shape};
use tzsp_packetstream_exporter::wire::{DecodeOptions, ListenPorts};

static STOP: LazyLock<Stop> = LazyLock::new(|| Stop::on_signals().unwrap());

const FORMATS: [Output; 5] = [
    Output::Prometheus,
    Output::OpenMetrics,
    Output::Json,
    Output::Table { top: 3 },
    Output::Timeline {
        step: Duration::from_secs(60),
    },
];

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, bytes)) = bytes.split_first() else {
        return;
    };
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    let [prometheus, openmetrics, json, _, timeline] =
        FORMATS.map(|format| run(file.path(), *choice, format, 1));
    let in_threads = run(file.path(), *choice, Output::Prometheus, 2);
    assert_eq!(prometheus, in_threads);
    if prometheus.is_empty() {
        assert!(openmetrics.is_empty() && json.is_empty(), "no capture");
        return;
    }
    let value = |name: &str| sum(&prometheus, name);
    let counted = value("tzsp_observed_packets_total") + value("tzsp_flows_overflow_packets_total");
    let skipped = value("tzsp_frames_skipped_total");
    assert_eq!(
        value("tzsp_frames_received_total"),
        counted + skipped,
        "{prometheus}"
    );
    assert_eq!(counted, value("tzsp_traffic_packets_total"), "{prometheus}");
    check_samples(&prometheus, false);
    check_samples(&openmetrics, false);
    if !timeline.is_empty() {
        check_samples(&timeline, true);
        assert!(timeline.ends_with("# EOF\n"));
    }
    assert!(openmetrics.ends_with("# EOF\n"));
    serde_json::from_str::<serde_json::Value>(&json).unwrap();
});

fn run(capture: &Path, choice: u8, output: Output, jobs: usize) -> String {
    let bit = |number: u32| choice >> number & 1 == 1;
    let options = Options {
        files: vec![capture.to_owned()],
        jobs: Some(jobs),
        quiet: true,
        write_inner: None,
        names: Vec::new(),
        geo_databases: Vec::new(),
        output,
    };
    let plain = bit(0);
    let labels = if bit(1) {
        Label::ALL.into_iter().collect()
    } else if bit(2) {
        [Label::ToType, Label::Vlan].into_iter().collect()
    } else {
        Shape::default().labels
    };
    let settings = Settings {
        decode: DecodeOptions {
            listen_ports: if plain {
                ListenPorts::Plain
            } else {
                ListenPorts::Any
            },
            ipv6: bit(3),
        },
        shape: Shape {
            labels,
            plain,
            ..Shape::default()
        },
        limits: FlowLimits {
            flows: if bit(4) { 2 } else { 1000 },
            idle_flows: if bit(5) { 0 } else { 1000 },
            idle_timeout: Duration::from_secs(if bit(6) { 1 } else { 0 }),
            hold: Duration::ZERO,
            hide_unseen: false,
            hosts: if bit(4) { 2 } else { 1000 },
        },
    };
    let mut out = Vec::new();
    // A timeline fails if the capture spans too many steps.
    if let Some(failure) = analyze::run(options, settings, &STOP, &mut out).failure {
        assert!(matches!(output, Output::Timeline { .. }), "{failure}");
    }
    String::from_utf8(out).unwrap()
}

/// Returns the sum of all samples of a family. All of them are exact in an f64.
fn sum(text: &str, name: &str) -> f64 {
    let samples = text.lines().filter_map(|line| line.strip_prefix(name));
    samples
        .filter(|rest| rest.starts_with(['{', ' ']))
        .map(|rest| rest.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum()
}

/// Checks that each line is a comment or a sample, and that no two samples have the same name, labels
/// and time.
fn check_samples(text: &str, have_time: bool) {
    let mut series = HashSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (labels, numbers) = match line.rfind('}') {
            Some(end) => line.split_at(end + 1),
            None => line.split_at(line.find(' ').unwrap()),
        };
        let numbers: Vec<_> = numbers.split_ascii_whitespace().collect();
        assert_eq!(numbers.len(), 1 + usize::from(have_time), "{line}");
        for number in &numbers {
            assert!(number.parse::<f64>().unwrap().is_finite(), "{line}");
        }
        let time = numbers.get(1).copied().unwrap_or_default();
        assert!(series.insert((labels, time)), "duplicate sample: {line}");
    }
}
