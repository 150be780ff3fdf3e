//! The label `service` and the option `--services`.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::scrape::Scrape;
use crate::support::{program, testdata};

/// Returns the output for a capture with packets of TCP, UDP and ICMP.
fn analyze(arguments: &[&str]) -> String {
    let output = program()
        .current_dir(testdata())
        .args(["analyze", "five_minutes_of_an_office.pcap"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The numbers are those of tshark: 121 packets of TCP with 127,600 bytes and 15 of UDP with 1,500
/// bytes, all from or to port 443; 10 of ICMP with 840 bytes.
#[test]
fn packets_are_counted_by_service() {
    let scrape = Scrape::parse(&analyze(&["--labels=service"]));
    scrape.assert_every_frame_is_accounted_for();
    for (service, packets, bytes) in [("https", 136.0, 129_100.0), ("", 10.0, 840.0)] {
        let labels = format!("{{service=\"{service}\"}}");
        let value = |family: &str| scrape.value(&format!("{family}{labels}"));
        assert_eq!(value("tzsp_observed_packets_total"), packets);
        assert_eq!(value("tzsp_observed_bytes_total"), bytes);
    }
    assert_eq!(scrape.family("tzsp_observed_packets_total").count(), 2);
}

#[test]
fn every_format_shows_services() {
    let json = analyze(&["--labels=service", "--format=json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let flows = serde_json::json!([
        {"service": "https", "bytes": 129_100, "packets": 136},
        {"service": null, "bytes": 840, "packets": 10},
    ]);
    assert_eq!(json["flows"], flows);

    let openmetrics = analyze(&["--labels=service", "--format=openmetrics"]);
    assert!(openmetrics.contains("tzsp_observed_packets_total{service=\"https\"} 136"));

    let table = analyze(&["--labels=to,service", "--format=table"]);
    let (_, by_service) = table.split_once("By service: 2\n").unwrap();
    let rows: Vec<Vec<&str>> = by_service
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows[0], ["service", "bytes", "share", "packets"]);
    assert_eq!(rows[2], ["https", "129.10", "kB", "99.4", "%", "136"]);
    assert_eq!(rows[3], ["840", "B", "0.6", "%", "10"]);
    let without = analyze(&["--labels=to", "--format=table"]);
    assert!(!without.contains("By service"), "{without}");
}

/// The same packets count in the same flows, however the work is divided.
#[test]
fn several_threads_and_parts_of_the_time_count_alike() {
    let one = analyze(&["--labels=from,service", "--jobs=1"]);
    assert_eq!(analyze(&["--labels=from,service", "--jobs=2"]), one);
    let every = ["--labels=service", "--format=openmetrics", "--every=60s"];
    let timeline = analyze(&every);
    let last = timeline
        .lines()
        .rfind(|line| line.starts_with("tzsp_observed_packets_total{service=\"https\"}"));
    assert_eq!(last.unwrap().split(' ').nth(1), Some("136"));
}

#[test]
fn a_file_adds_and_replaces_names() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("services");
    fs::write(&file, "web 443/tcp # not UDP\n").unwrap();
    let option = format!("--services={}", file.display());
    let scrape = Scrape::parse(&analyze(&["--labels=service", &option]));
    for (service, packets) in [("web", 121.0), ("https", 15.0), ("", 10.0)] {
        let sample = format!("tzsp_observed_packets_total{{service=\"{service}\"}}");
        assert_eq!(scrape.value(&sample), packets);
    }
}

/// Comments of older systems are not in UTF-8.
#[test]
#[expect(clippy::print_stderr, reason = "the test says what it skips")]
fn files_of_debian_wireshark_and_older_systems_can_be_used() {
    let directory = TempDir::new().unwrap();
    let older = directory.path().join("services");
    fs::write(&older, b"# M\xfcller\nweb 443/udp # M\xfcller\n").unwrap();
    for (file, https_over_udp) in [
        (Path::new("/etc/services"), "https"),
        (Path::new("/usr/share/wireshark/services"), "https"),
        (&older, "web"),
    ] {
        if !file.exists() {
            eprintln!("skipped: {} is not there", file.display());
            continue;
        }
        let option = format!("--services={}", file.display());
        let scrape = Scrape::parse(&analyze(&["--labels=protocol,service", &option]));
        let sample =
            format!("tzsp_observed_packets_total{{protocol=\"udp\",service=\"{https_over_udp}\"}}");
        assert_eq!(scrape.value(&sample), 15.0, "{}", file.display());
    }
}

/// Both modes refuse it at the start.
#[track_caller]
fn check_refused(arguments: &[&str], expected: &str) {
    for mode in [&["analyze", "x.pcap"][..], &["--listen-port=1"]] {
        let output = program().args(mode).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        let first = error.lines().next().unwrap_or_default();
        assert_eq!(first, format!("error: {expected}"));
    }
}

#[test]
fn a_wrong_file_is_named_with_its_line() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("services");
    fs::write(&file, "nas 5000/tcp\nnas 5000\n").unwrap();
    let file = file.display();
    let option = format!("--services={file}");
    let problem = format!(
        "cannot use the services of {file}: line 2: '5000' is not a port and a protocol: write \
         them such as 5000/tcp"
    );
    check_refused(&["--labels=service", &option], &problem);
    let missing = directory.path().join("missing");
    let problem = format!(
        "cannot use the services of {}: No such file or directory (os error 2)",
        missing.display()
    );
    let option = format!("--services={}", missing.display());
    check_refused(&["--labels=service", &option], &problem);
    let problem = "'--services' gives names to the label 'service': add it to '--labels'";
    check_refused(&[&option], problem);
}
