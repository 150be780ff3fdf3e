//! The options for labels and limits of flows.

use insta::assert_snapshot;

use crate::live::{DATAGRAM, send};
use crate::scrape::Scrape;
use crate::support::{Exporter, program, testdata};

/// The samples of one metric family that `analyze` prints. It must not print a warning.
#[track_caller]
fn packets(capture: &str, options: &[&str]) -> String {
    let (samples, warnings) = packets_and_warnings(capture, options);
    assert_eq!(warnings, "");
    samples
}

/// The samples of one metric family that `analyze` prints, and its warnings.
#[track_caller]
fn packets_and_warnings(capture: &str, options: &[&str]) -> (String, String) {
    let mut command = program();
    command.current_dir(testdata()).args(["analyze", capture]);
    let output = command.args(options).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    Scrape::parse(&text).assert_every_frame_is_accounted_for();
    let family = "tzsp_observed_packets_total";
    let samples: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix(family))
        .collect();
    let warnings = String::from_utf8(output.stderr).unwrap();
    (samples.join("\n") + "\n", warnings)
}

#[test]
fn all_labels_at_once() {
    let all = "ip_version,dscp,vlan,to_port,from_port,sensor,listen_port,protocol,to_type,to,\
               from_type,from";
    assert_snapshot!(packets("labels_inside.pcap", &["--ipv6", "--labels", all]));
}

#[test]
fn each_label_alone() {
    let labels = "from from_type to to_type protocol listen_port sensor from_port to_port vlan \
                  dscp ip_version";
    let all: String = labels
        .split_whitespace()
        .map(|label| packets("labels_inside.pcap", &["--ipv6", "--labels", label]))
        .collect();
    assert_snapshot!(all);
}

#[test]
fn networks_and_prefix_lengths() {
    let fold = [
        "--ipv6",
        "--labels",
        "from,from_type,to,to_type",
        "--network",
        "desks=192.168.88.0/26",
        "--network",
        "lan=192.168.0.0/16",
        "--network",
        "lan=2001:db8:88::/48",
        "--prefix-length",
        "public=0",
        "--prefix-length",
        "lan=24/64",
    ];
    assert_snapshot!(packets("labels_inside.pcap", &fold));
    assert_snapshot!(packets(
        "address_class_edges_to.pcap",
        &[
            "--labels",
            "to,to_type",
            "--prefix-length",
            "public=0",
            "--prefix-length",
            "reserved=8",
            "--prefix-length",
            "private=32",
        ]
    ));
}

#[test]
fn reaching_the_flow_limit_is_a_warning() {
    let (samples, warnings) = packets_and_warnings("protocols.pcap", &["--max-flows", "12"]);
    assert_snapshot!(samples);
    // 14 flows. The demand is an estimate, so its value is not checked here.
    let begin = "warning: the limit of 12 flows was reached: 2 packets were counted as `other`; there were about 1";
    assert!(warnings.starts_with(begin), "{warnings}");
    let end = " flows: raise --max-flows, or choose fewer --labels\n";
    assert!(warnings.ends_with(end), "{warnings}");

    let labels = ["--max-flows", "1", "--labels", "from,protocol"];
    let (samples, warnings) = packets_and_warnings("protocols.pcap", &labels);
    assert_snapshot!(samples);
    let begin = "warning: the limit of 1 flows was reached: 13 packets were counted as `other`; there were about 1";
    assert!(warnings.starts_with(begin), "{warnings}");
}

#[test]
fn reaching_the_live_flow_limit_is_logged_once_and_exported() {
    let mut exporter = Exporter::start(&["--listen-port", "0", "--max-flows", "1"]);
    let port = exporter.udp_port();
    let mut other = DATAGRAM;
    // The last octet of the inner source address.
    other[5 + 14 + 15] = 4;
    for _ in 0..3 {
        send(port, &DATAGRAM);
        send(port, &other);
    }
    let scrape = exporter.scrape_until("six datagrams", |scrape| {
        scrape.value("tzsp_frames_received_total") == 6.0
    });
    let values = [
        "",
        "_limit",
        "_overflow_packets_total",
        "_demand",
        "_idle",
        "_forgotten_total",
    ]
    .map(|name| scrape.value(&format!("tzsp_flows{name}")));
    // For two flows, the estimate is wrong once in 16,384 runs.
    assert_eq!(values, [1.0, 1.0, 3.0, 2.0, 0.0, 0.0]);
    assert_eq!(scrape.value("tzsp_flows_idle_limit"), 10.0);
    exporter.wait_for_line("the limit of 1 flows was reached");
    exporter.signal(nix::sys::signal::Signal::SIGTERM);
    let (_, log) = exporter.wait_for_exit();
    assert_eq!(log.matches("the limit of").count(), 1, "{log}");
}

#[test]
fn the_live_sensor_is_the_sender_of_the_datagram() {
    let mut exporter = Exporter::start(&["--listen-port", "0", "--labels", "sensor"]);
    let port = exporter.udp_port();
    send(port, &DATAGRAM);
    let sixth = std::net::UdpSocket::bind("[::1]:0").unwrap();
    sixth.send_to(&DATAGRAM, ("::1", port)).unwrap();
    let scrape = exporter.scrape_until("two datagrams", |scrape| {
        scrape.value("tzsp_frames_received_total") == 2.0
    });
    for sensor in ["127.0.0.1", "::1"] {
        let sample = format!("tzsp_observed_packets_total{{sensor=\"{sensor}\"}}");
        assert_eq!(scrape.value(&sample), 1.0);
    }
}
