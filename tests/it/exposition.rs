//! The formats of `/metrics`, each read by a program other than the one under test.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use etherparse::IpNumber;
use tzsp_packetstream_exporter::aggregator::FrameCounts;
use tzsp_packetstream_exporter::flow::{
    Arrivals, Classes, FlowLimits, FlowTable, HostClasses, Label, Sensor, SensorSnapshot, Services,
    Shape,
};
use tzsp_packetstream_exporter::geo::FileState;
use tzsp_packetstream_exporter::metrics::{
    self, CaptureState, Format, OwnState, ProcessState, Refused, WallClock, WebState,
};
use tzsp_packetstream_exporter::names::{Name, NameTable};
use tzsp_packetstream_exporter::wire::Observation;

use crate::live::{DATAGRAM, send};
use crate::prometheus::Prometheus;
use crate::protoc::decoded;
use crate::scrape::Scrape;
use crate::support::{Exporter, eventually};

pub(crate) const PROTOBUF: &str = "application/vnd.google.protobuf;\
                        proto=io.prometheus.client.MetricFamily;encoding=delimited";
const PROTOBUF_TYPE: &str = "application/vnd.google.protobuf; \
                             proto=io.prometheus.client.MetricFamily; encoding=delimited";
const OPENMETRICS: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8";

/// The content type and the body of `/metrics` for a client that accepts this.
#[track_caller]
pub(crate) fn scrape(exporter: &Exporter<'_>, accept: &str) -> (String, Vec<u8>) {
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
        ("*/*", "text/plain; version=0.0.4; charset=utf-8", " 1\n"),
        (
            "text/plain;version=1.0.0",
            "text/plain; version=1.0.0; charset=utf-8; escaping=underscores",
            " 1\n",
        ),
        (
            OPENMETRICS,
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
            "# EOF\n",
        ),
        (
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text; version=0.0.1; charset=utf-8",
            "# EOF\n",
        ),
        (PROTOBUF, PROTOBUF_TYPE, ""),
    ] {
        let (answered, body) = scrape(&exporter, accept);
        assert_eq!(answered, content_type);
        assert!(body.ends_with(end.as_bytes()), "{accept}");
    }
}

#[test]
fn protobuf_can_be_compressed() {
    let exporter = exporter(&[]);
    let request = ureq::get(exporter.url("/metrics")).header("accept", PROTOBUF);
    let response = request.call().unwrap();
    // ureq requests gzip, and decompresses the answer.
    let mut body = response.into_body();
    let families = decoded(&body.read_to_vec().unwrap());
    assert!(families.iter().any(|family| family.name == "tzsp_flows"));
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

/// With this feature, the same release prefers protobuf.
#[test]
fn prometheus_scrapes_protobuf_from_the_daemon() {
    let exporter = exporter(&[]);
    let feature = ["--enable-feature=native-histograms"];
    let program = Path::new("prometheus");
    let prometheus = Prometheus::start_program(program, &feature, exporter.port, "");
    eventually("a flow", || {
        let flows = prometheus.query("tzsp_observed_packets_total");
        flows.filter(|&packets| packets == 1.0)
    });
    assert_eq!(prometheus.query("up"), Some(1.0));
    let metadata = prometheus.get("metadata?metric=tzsp_frames_received_total");
    let metadata = metadata.unwrap();
    let family = &metadata["data"]["tzsp_frames_received_total"][0];
    assert_eq!(family["type"], "counter", "{metadata}");
}

/// The same moment in a format.
fn written(format: Format, table: &mut FlowTable, created_series: bool) -> Vec<u8> {
    let name = |text: &str| Name::new(text.as_bytes()).unwrap();
    let names = NameTable::of([
        (Ipv4Addr::new(10, 0, 0, 1).into(), name("say \"hi\" \\ü")),
        (Ipv6Addr::from([0xee; 16]).into(), name(&"n".repeat(253))),
    ]);
    written_with_names(format, table, created_series, &names)
}

pub(crate) fn written_with_names(
    format: Format,
    table: &mut FlowTable,
    created_series: bool,
    names: &NameTable,
) -> Vec<u8> {
    let mut out = Vec::new();
    let own = OwnState {
        frames: &FrameCounts::default(),
        sensors: &SensorSnapshot {
            sensors: vec![Sensor {
                address: Some("2001:db8::1".parse().unwrap()),
                listen_port: 37008,
                arrivals: Arrivals {
                    frames: 70_000_000_000,
                    first: Duration::from_millis(1_700_000_007_007),
                    newest: Duration::from_millis(1_700_000_012_345),
                },
            }],
            listen_ports: vec![(37008, None)],
        },
        capture: &CaptureState::default(),
        web: &WebState::new([7; Refused::ALL.len()], 1, true),
        process: &ProcessState {
            cpu: Some(Duration::from_millis(1500)),
            received: Some(u64::MAX),
            ..ProcessState::default()
        },
        clock: &WallClock::new(Duration::from_secs(1_700_000_000)),
        created_series,
        names: Some(names),
        databases: &[FileState {
            file: "/var/lib/\"a\".mmdb".to_owned(),
            built: Duration::from_secs(1_700_000_000),
            bytes: 9_000_000,
            failures: 1,
        }],
    };
    let snapshot = table.scrape(Duration::from_secs(100));
    metrics::write_scrape(&mut out, format, snapshot, &own).unwrap();
    out
}

/// A table with flows of both kinds, with long and short label values, and packets beyond its
/// limit. Each packet comes 1.001 s after the one before it.
fn table() -> FlowTable {
    let networks = [
        "a=10.0.0.0/8".to_owned(),
        format!("{}=::/1", "n".repeat(60)),
    ];
    let networks = networks.map(|network| network.parse().unwrap());
    let classes = Classes::new(&networks, &["public=24/48".parse().unwrap()]).unwrap();
    let shape = Shape {
        labels: Label::ALL.into_iter().collect(),
        hosts: HostClasses::named(&classes, ["a", "broadcast"]).unwrap(),
        classes,
        plain: false,
        services: Services::registered(),
        ..Shape::default()
    };
    let limits = FlowLimits {
        flows: 5,
        idle_flows: 0,
        idle_timeout: Duration::ZERO,
        hold: Duration::ZERO,
        hide_unseen: false,
        hosts: 1,
    };
    let mut table = FlowTable::new(shape, limits);
    let packet = Observation {
        source: [10, 0, 0, 1].into(),
        destination: [142, 250, 74, 110].into(),
        protocol: IpNumber::TCP,
        listen_port: 37008,
        sensor: [192, 168, 88, 1].into(),
        ports: Some((54321, 443)),
        vlan: Some(7),
        dscp: 63,
        bytes: u64::from(u32::MAX),
        truncated: None,
    };
    let long = Ipv6Addr::from([0xee; 16]);
    let packets = [
        packet,
        Observation {
            ports: None,
            vlan: None,
            ..packet
        },
        Observation {
            source: long.into(),
            destination: Ipv6Addr::from([0x26; 16]).into(),
            sensor: long.into(),
            ..packet
        },
        Observation {
            source: Ipv6Addr::LOCALHOST.into(),
            protocol: IpNumber(253),
            sensor: Ipv6Addr::UNSPECIFIED.into(),
            ..packet
        },
        Observation {
            source: Ipv4Addr::BROADCAST.octets().into(),
            ..packet
        },
        Observation {
            source: [10, 0, 0, 2].into(),
            ..packet
        },
    ];
    let mut batch = table.packets(packets.len());
    for (number, packet) in (0..).zip(packets) {
        batch.push(Duration::from_millis(1001 * number), &packet);
    }
    table.record(&mut batch);
    table
}

/// Compares all families and samples in protobuf with those of the same moment in text.
#[track_caller]
fn check_protobuf(table: &mut FlowTable) {
    let text = String::from_utf8(written(Format::Text, table, false)).unwrap();
    let families = decoded(&written(Format::Protobuf, table, false));
    let mut lines = Vec::new();
    for family in &families {
        lines.push(format!("# HELP {} {}", family.name, family.help));
        lines.push(format!("# TYPE {} {}", family.name, family.kind));
        for sample in &family.samples {
            let labels = sample.labels.iter();
            let labels = labels.map(|(name, value)| {
                let value = value.replace('\\', "\\\\").replace('"', "\\\"");
                format!("{name}=\"{value}\"")
            });
            let labels: Vec<_> = labels.collect();
            let labels = if labels.is_empty() {
                String::new()
            } else {
                format!("{{{}}}", labels.join(","))
            };
            lines.push(format!("{}{labels} {}", family.name, sample.value));
        }
    }
    // Values in protobuf are floating-point numbers; those of the flows are small enough for both.
    assert_eq!(lines, text.lines().collect::<Vec<_>>());
    assert!(families.len() > 30, "{}", families.len());
}

#[test]
fn protobuf_has_the_same_families_and_samples_as_text() {
    check_protobuf(&mut table());
}

/// A label is copied if the series before it has the same value, so neighbours share some here.
#[test]
fn protobuf_is_the_same_as_text_where_neighbours_share_values() {
    let mut table = FlowTable::new(Shape::default(), LIMITS);
    let long =
        |last| Ipv6Addr::from([0xeeee, 0xeeee, 0xeeee, 0xeeee, 0xeeee, 0xeeee, 0xeeee, last]);
    let addresses: [IpAddr; 5] = [
        Ipv4Addr::UNSPECIFIED.into(),
        Ipv4Addr::new(10, 0, 0, 1).into(),
        Ipv6Addr::UNSPECIFIED.into(),
        long(1).into(),
        long(2).into(),
    ];
    let mut batch = table.packets(1000);
    for source in addresses {
        for destination in addresses {
            for (protocol, listen_port) in [(6, 37008), (6, 0), (17, 0), (17, 65535)] {
                let packet = Observation {
                    source: source.into(),
                    destination: destination.into(),
                    protocol: IpNumber(protocol),
                    listen_port,
                    ..Observation::default()
                };
                batch.push(Duration::ZERO, &packet);
            }
        }
    }
    table.record(&mut batch);
    check_protobuf(&mut table);
}

pub(crate) const LIMITS: FlowLimits = FlowLimits {
    flows: 1000,
    idle_flows: 0,
    idle_timeout: Duration::ZERO,
    hold: Duration::ZERO,
    hide_unseen: false,
    hosts: 0,
};

#[test]
fn counters_have_starts_and_gauges_have_none() {
    let families = decoded(&written(Format::Protobuf, &mut table(), false));
    let starts = |name: &str| {
        let mut families = families.iter();
        let family = families.find(|family| family.name == name).unwrap();
        let starts = family.samples.iter().map(|sample| sample.start);
        starts.collect::<Vec<_>>()
    };
    let at = |seconds: u64, millis: u64| Some((1_700_000_000 + seconds, millis * 1_000_000));
    // Sorted: 10.0.0.1 without ports, with ports, 255.255.255.255, ::1 and eeee:..., and then what
    // found no slot.
    let flows = [at(1, 1), at(0, 0), at(4, 4), at(3, 3), at(2, 2), at(5, 5)];
    assert_eq!(starts("tzsp_observed_bytes_total"), flows);
    assert_eq!(starts("tzsp_observed_packets_total"), flows);
    // 10.0.0.1, and `other`: 255.255.255.255 and 10.0.0.2.
    assert_eq!(starts("tzsp_host_bytes_total"), [at(0, 0), at(4, 4)]);
    assert_eq!(starts("tzsp_frames_received_total"), [at(0, 0)]);
    assert_eq!(starts("tzsp_sensor_frames_total"), [at(7, 7)]);
    assert_eq!(starts("process_cpu_seconds_total"), [at(0, 0)]);
    // It counts since the system's start.
    assert_eq!(starts("process_network_receive_bytes_total"), [None]);
    for family in families.iter().filter(|family| family.kind == "gauge") {
        assert!(family.samples.iter().all(|sample| sample.start.is_none()));
    }
}

/// `_created` in OpenMetrics has the starts of protobuf, and everything else is as without it.
#[test]
fn created_series_have_the_starts_of_protobuf() {
    let mut table = table();
    let families = decoded(&written(Format::Protobuf, &mut table, false));
    let mut expected = Vec::new();
    for family in &families {
        for sample in &family.samples {
            if let Some((seconds, nanos)) = sample.start {
                expected.push(seconds as f64 + nanos as f64 / 1e9);
            }
        }
    }
    let openmetrics = written(Format::OpenMetrics, &mut table, true);
    let parsed = parsed_by_python(&openmetrics);
    let created = parsed.iter().filter_map(|line| {
        let (sample, value) = line.rsplit_once(' ')?;
        let is_created = sample.split(' ').nth(1)?.ends_with("_created");
        is_created.then(|| value.parse::<f64>().unwrap())
    });
    assert_eq!(created.collect::<Vec<_>>(), expected);
    let without = String::from_utf8(written(Format::OpenMetrics, &mut table, false)).unwrap();
    let with = String::from_utf8(openmetrics).unwrap();
    let others = with.lines().filter(|line| !line.contains("_created"));
    assert_eq!(
        others.collect::<Vec<_>>(),
        without.lines().collect::<Vec<_>>()
    );
}

#[test]
fn the_daemon_writes_created_series_only_on_request() {
    for (arguments, expected) in [(&[][..], false), (&["--web.created-series"][..], true)] {
        let exporter = exporter(arguments);
        let (_, body) = scrape(&exporter, OPENMETRICS);
        let text = String::from_utf8(body).unwrap();
        assert_eq!(text.contains("tzsp_observed_bytes_created{"), expected);
        let (_, body) = scrape(&exporter, "*/*");
        assert!(!String::from_utf8(body).unwrap().contains("_created"));
    }
}

/// The start of a flow is in the interval in which its first packet was sent.
#[test]
fn a_flow_of_the_daemon_starts_when_its_first_packet_arrives() {
    let mut exporter = Exporter::start(&["--listen-port", "0"]);
    let now = || UNIX_EPOCH.elapsed().unwrap();
    let before = now();
    send(exporter.udp_port(), &DATAGRAM);
    exporter.scrape_until("a flow", |scrape| scrape.value("tzsp_flows") == 1.0);
    let after = now();
    let (_, body) = scrape(&exporter, PROTOBUF);
    let families = decoded(&body);
    let start = |name: &str| {
        let mut families = families.iter();
        let family = families.find(|family| family.name == name).unwrap();
        let (seconds, nanos) = family.samples[0].start.unwrap();
        Duration::new(seconds, u32::try_from(nanos).unwrap())
    };
    let millisecond = Duration::from_millis(1);
    for name in [
        "tzsp_observed_bytes_total",
        "tzsp_traffic_packets_total",
        "tzsp_sensor_frames_total",
    ] {
        let start = start(name);
        assert!(
            (before.saturating_sub(millisecond)..=after).contains(&start),
            "{name}: {start:?}"
        );
    }
    assert!(start("tzsp_frames_received_total") <= before);
}
