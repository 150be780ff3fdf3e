//! The output formats of `analyze` other than the text format of Prometheus.

use insta::assert_snapshot;
use serde_json::Value;

use crate::scrape::Scrape;
use crate::support::{analyze, captures, file_name, program, testdata};

/// The output of `analyze` for a capture in testdata/.
#[track_caller]
pub(crate) fn printed(capture: &str, options: &[&str]) -> String {
    let mut command = program();
    command.current_dir(testdata()).args(["analyze", capture]);
    command.env_remove("COLUMNS").env_remove("CLICOLOR_FORCE");
    let output = command.args(options).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

const FORMATS: [&str; 3] = ["openmetrics", "json", "table"];

#[test]
fn each_format_of_two_flows() {
    for format in FORMATS {
        let text = printed("packets_of_one_flow_merge.pcap", &["--format", format]);
        assert_snapshot!(format!("two_flows_{format}"), text);
    }
}

#[test]
fn each_format_of_no_frames() {
    for format in FORMATS {
        let text = printed("pcap_without_frames.pcap", &["--format", format]);
        assert_snapshot!(format!("no_frames_{format}"), text);
    }
}

#[test]
fn each_format_of_all_labels() {
    let all = "from,from_type,to,to_type,protocol,listen_port,sensor,from_port,to_port,vlan,dscp,\
               ip_version";
    for format in FORMATS {
        let options = ["--ipv6", "--labels", all, "--format", format];
        let text = printed("labels_inside.pcap", &options);
        assert_snapshot!(format!("all_labels_{format}"), text);
    }
}

#[test]
fn each_format_without_address_labels() {
    for format in FORMATS {
        let options = ["--ipv6", "--labels", "to_type,vlan", "--format", format];
        let text = printed("labels_inside.pcap", &options);
        assert_snapshot!(format!("no_ends_{format}"), text);
    }
}

#[test]
fn each_format_with_the_flow_limit_reached() {
    for format in FORMATS {
        let options = ["--max-flows", "2", "--format", format];
        let text = printed("protocols.pcap", &options);
        assert_snapshot!(format!("overflow_{format}"), text);
    }
}

#[test]
fn the_default_is_the_text_format_of_prometheus() {
    let capture = "packets_of_one_flow_merge.pcap";
    let text = printed(capture, &[]);
    assert_eq!(printed(capture, &["--format", "prometheus"]), text);
}

/// OpenMetrics has the same samples as the text format.
#[test]
fn openmetrics_has_the_same_samples() {
    for capture in captures() {
        let name = file_name(&capture);
        let text = printed(name, &["--format", "openmetrics"]);
        let samples = text.strip_suffix("# EOF\n").expect(name);
        let prometheus = analyze(&capture);
        for family in ["tzsp_frames_", "tzsp_observed_", "tzsp_traffic_"] {
            let of = |scrape: &Scrape| -> Vec<_> {
                let text = scrape.text.lines().filter(|line| line.starts_with(family));
                let mut lines: Vec<_> = text.map(str::to_owned).collect();
                lines.sort();
                lines
            };
            assert_eq!(of(&Scrape::parse(samples)), of(&prometheus), "{name}");
        }
    }
}

/// JSON has the same sums as the text format.
#[test]
fn json_has_the_same_numbers() {
    for capture in captures() {
        let name = file_name(&capture);
        let json: Value = serde_json::from_str(&printed(name, &["--format", "json"])).unwrap();
        let sum = |rows: &Value, field: &str| -> f64 {
            let rows = rows.as_array().unwrap().iter();
            rows.map(|row| row[field].as_f64().unwrap()).sum()
        };
        let scrape = analyze(&capture);
        for (field, unit) in [("bytes", "bytes"), ("packets", "packets")] {
            let family = format!("tzsp_observed_{unit}_total");
            assert_eq!(
                sum(&json["flows"], field) + 0.0,
                scrape.sum(&family),
                "{name}"
            );
            assert_eq!(
                sum(&json["traffic"], field) + 0.0,
                scrape.sum(&family),
                "{name}"
            );
            assert_eq!(
                json["total"][field].as_f64(),
                Some(scrape.sum(&family)),
                "{name}"
            );
        }
        let frames = scrape.value("tzsp_frames_received_total");
        assert_eq!(json["frames"]["received"].as_f64(), Some(frames), "{name}");
        for (part, label) in [("skipped", "reason"), ("truncated", "cause")] {
            for (value, count) in json["frames"][part].as_object().unwrap() {
                let sample = format!("tzsp_frames_{part}_total{{{label}=\"{value}\"}}");
                assert_eq!(count.as_f64(), Some(scrape.value(&sample)), "{name}");
            }
        }
        let flows = json["flows"].as_array().unwrap().iter();
        let bytes: Vec<_> = flows.map(|flow| flow["bytes"].as_u64().unwrap()).collect();
        assert!(bytes.is_sorted_by(|left, right| left >= right), "{name}");
    }
}
