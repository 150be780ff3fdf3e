//! `analyze --every`: promtool turns its output into blocks, and a real Prometheus answers queries
//! over the time of the capture.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use insta::assert_snapshot;
use tempfile::TempDir;

use crate::formats::printed;
use crate::prometheus::Prometheus;
use crate::scrape::Scrape;
use crate::support::{captures, eventually, file_name, program, testdata, tool};

const OFFICE: &str = "five_minutes_of_an_office.pcap";
/// The time of its first frames, 2024-01-15 10:00:00 UTC, in seconds since the epoch.
const BEGIN: u64 = 1_705_312_800;
const EVERY_15S: [&str; 4] = ["--format", "openmetrics", "--every", "15s"];

/// Starts a Prometheus with the blocks that promtool creates from a timeline.
#[track_caller]
fn prometheus_of(timeline: &str) -> Prometheus {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("capture.om"), timeline).unwrap();
    let mut promtool = Command::new("promtool");
    promtool.args([
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        "capture.om",
        "data",
    ]);
    tool(promtool.current_dir(directory.path()));
    let prometheus = Prometheus::start_in(directory, "");
    eventually("an answer", || prometheus.query("vector(1)"));
    prometheus
}

/// Checks the value of a query at a time, given in seconds after the first frames.
#[track_caller]
fn check(prometheus: &Prometheus, at: u64, query: &str, expected: Option<f64>) {
    let escaped: String = query
        .chars()
        .map(|letter| match letter {
            '{' => "%7B".to_owned(),
            '}' => "%7D".to_owned(),
            '"' => "%22".to_owned(),
            letter => letter.to_string(),
        })
        .collect();
    let value = prometheus.query(&format!("{escaped}&time={}", BEGIN + at));
    assert_eq!(value, expected, "{query} at {at}");
}

/// The rates of the office capture, worked out by hand: see xtask/src/fixtures/office.rs.
#[test]
fn prometheus_answers_queries_over_the_time_of_the_capture() {
    let prometheus = prometheus_of(&printed(OFFICE, &EVERY_15S));
    let bytes = "tzsp_observed_bytes_total";
    let stream = format!("{bytes}{{from=\"142.250.74.110\"}}");
    let backup = format!("{bytes}{{from=\"192.168.88.51\"}}");
    let scanner = "tzsp_observed_packets_total{from=\"203.0.113.9\"}";

    // 1400 bytes every five seconds, for the whole five minutes.
    check(
        &prometheus,
        300,
        &format!("rate({stream}[1m])"),
        Some(280.0),
    );
    check(&prometheus, 60, &format!("rate({stream}[1m])"), Some(280.0));
    check(
        &prometheus,
        300,
        &format!("increase({stream}[5m])"),
        Some(84_000.0),
    );
    // The packets of the first interval count too.
    check(
        &prometheus,
        15,
        &format!("increase({stream}[15s])"),
        Some(4200.0),
    );
    check(&prometheus, 0, &stream, Some(0.0));

    // The backup runs in the third minute, with a packet of 1400 bytes every two seconds.
    check(&prometheus, 105, &backup, None);
    check(&prometheus, 120, &backup, Some(0.0));
    check(
        &prometheus,
        180,
        &format!("increase({backup}[1m])"),
        Some(42_000.0),
    );
    check(
        &prometheus,
        180,
        &format!("rate({backup}[1m])"),
        Some(700.0),
    );
    check(
        &prometheus,
        300,
        &format!("increase({backup}[1m])"),
        Some(0.0),
    );

    // The scanner sends one packet, at 200.7 seconds.
    check(
        &prometheus,
        210,
        &format!("increase({scanner}[15s])"),
        Some(1.0),
    );
    check(
        &prometheus,
        300,
        &format!("increase({scanner}[5m])"),
        Some(1.0),
    );

    let all = "sum(increase(tzsp_traffic_bytes_total[5m]))";
    check(&prometheus, 300, all, Some(129_940.0));
    let all = "sum(tzsp_observed_packets_total)";
    check(&prometheus, 300, all, Some(146.0));
    check(
        &prometheus,
        300,
        "increase(tzsp_frames_received_total[5m])",
        Some(150.0),
    );
    let arp = "increase(tzsp_frames_skipped_total{reason=\"inner_not_ip\"}[5m])";
    check(&prometheus, 300, arp, Some(2.0));
    check(
        &prometheus,
        0,
        "count(tzsp_frames_skipped_total)",
        Some(19.0),
    );
    // The last sample is at 300 seconds. An instant query finds it for another five minutes.
    check(
        &prometheus,
        299,
        "count_over_time(tzsp_frames_received_total[5m])",
        Some(20.0),
    );
    check(
        &prometheus,
        301,
        "count_over_time(tzsp_frames_received_total[5m])",
        Some(20.0),
    );

    let log = prometheus.log();
    let complaint = log
        .lines()
        .find(|line| line.contains("level=warn") || line.contains("level=error"));
    assert_eq!(complaint, None, "{log}");
}

/// The last sample of each series, in the order in which the series first appear.
fn last_samples(timeline: &str) -> String {
    let text = timeline.strip_suffix("# EOF\n").expect("the end is there");
    let mut last: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    let mut order = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let [at, value, series] = line.rsplitn(3, ' ').collect::<Vec<_>>()[..] else {
            panic!("no sample: {line}");
        };
        let sample = (at.parse().unwrap(), value.parse().unwrap());
        match last.insert(series, sample) {
            None => order.push(series),
            Some(before) => {
                assert!(before.0 < sample.0 && before.1 <= sample.1, "{line}");
                assert_eq!(order.last(), Some(&series), "a series is in one piece");
            }
        }
    }
    let lines = order
        .iter()
        .map(|series| format!("{series} {}\n", last[series].1));
    lines.collect()
}

/// With any labels and limits, the last samples equal those without `--every`.
#[test]
fn the_last_samples_of_a_timeline_equal_the_metrics() {
    let options: [&[&str]; 7] = [
        &[],
        &[
            "--ipv6",
            "--labels",
            "from,to_type,sensor,vlan,from_port,dscp,ip_version",
        ],
        &[
            "--ipv6",
            "--prefix-length",
            "public=0",
            "--labels",
            "from,to_type",
        ],
        &["--max-flows", "2"],
        &["--max-flows", "1", "--labels", "from,protocol"],
        &["--ipv6", "--max-hosts", "2"],
        &["--max-hosts", "0"],
    ];
    let telling = [
        "labels_inside",
        "protocols",
        "address_class_edges_to",
        "five_minutes",
    ];
    for capture in captures() {
        let name = file_name(&capture);
        let is_telling = telling.iter().any(|begin| name.starts_with(begin));
        let number = if is_telling { options.len() } else { 1 };
        for options in options.into_iter().take(number) {
            let timeline = printed(name, &[options, &EVERY_15S].concat());
            let samples = last_samples(&timeline);
            let metrics = printed(name, &[options, &["--format", "openmetrics"]].concat());
            let metrics: String = metrics
                .lines()
                .filter(|line| !line.starts_with('#'))
                .map(|line| line.to_owned() + "\n")
                .collect();
            if Scrape::parse(&metrics).value("tzsp_frames_received_total") == 0.0 {
                assert_eq!(samples, "", "{name}");
                continue;
            }
            let sorted = |text: &str| {
                let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
                lines.sort();
                lines
            };
            assert_eq!(sorted(&samples), sorted(&metrics), "{name} {options:?}");
        }
    }
}

#[test]
fn a_timeline_of_two_flows() {
    let options = [
        "--format",
        "openmetrics",
        "--every",
        "1s",
        "--labels",
        "from,to",
    ];
    assert_snapshot!(printed("packets_of_one_flow_merge.pcap", &options));
    assert_snapshot!(printed("pcap_without_frames.pcap", &options));
}

#[test]
fn an_idle_flow_ends_and_returns_with_its_value() {
    // The office sends a DNS query in the first 15 seconds of each minute.
    let idle = ["--flow-idle-timeout", "15s", "--labels", "from,to,protocol"];
    let text = printed(OFFICE, &[&idle[..], &EVERY_15S].concat());
    let series = "tzsp_observed_packets_total{from=\"192.168.88.50\",to=\"192.168.88.1\",\
                  protocol=\"udp\"} ";
    let series: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix(series))
        .collect();
    let expected: Vec<_> = (0..5)
        .flat_map(|minute| {
            let at = BEGIN + minute * 60;
            [(minute, at), (minute + 1, at + 15), (minute + 1, at + 30)]
        })
        .map(|(value, at)| format!("{value} {at}"))
        .collect();
    assert_eq!(series, expected);
}

#[test]
fn files_may_come_in_any_order_and_several_at_a_time() {
    let all: Vec<_> = captures();
    let run = |files: &[std::path::PathBuf], jobs: &str| {
        let mut command = program();
        command
            .arg("analyze")
            .args(EVERY_15S)
            .args(["--jobs", jobs]);
        let output = command.args(files).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let one = run(&all, "1");
    let mut reversed = all;
    reversed.reverse();
    assert_eq!(run(&reversed, "7"), one);
}

#[test]
fn a_long_silence_has_no_samples_and_a_warning() {
    let run = program()
        .current_dir(testdata())
        .arg("analyze")
        .args(EVERY_15S)
        .args(["packets_of_one_flow_merge.pcap", OFFICE])
        .assert()
        .success();
    let stderr = std::str::from_utf8(&run.get_output().stderr).unwrap();
    assert_snapshot!(stderr);
    let text = std::str::from_utf8(&run.get_output().stdout).unwrap();
    let received: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("tzsp_frames_received_total "))
        .take(4)
        .collect();
    // 22:13:20 is in the step that begins at 22:13:15. The office capture begins with 3 packets of
    // the stream, 2 acknowledgements, a DNS query and its answer, a ping and its answer.
    assert_eq!(
        received,
        [
            "0 1699999995",
            "3 1700000010",
            "3 1705312800",
            "12 1705312815"
        ]
    );
}

#[test]
fn too_many_samples_are_refused() {
    // A frame every 299 seconds is not a silence: 20,000 times 299 samples of 22 series.
    let capture = testdata().join("packets_of_one_flow_merge.pcap");
    let capture = fs::read(capture).unwrap();
    let (header, records) = capture.split_at(24);
    let length = u32::from_le_bytes(records[8..12].try_into().unwrap()) as usize;
    let frame = &records[..16 + length];
    let mut stream = header.to_vec();
    for time in (0..20_000_u32).map(|number| number * 299) {
        let start = stream.len();
        stream.extend(frame);
        stream[start..][..4].copy_from_slice(&time.to_le_bytes());
    }
    let run = program()
        .args(["analyze", "--format", "openmetrics", "--every", "1s"])
        .args(["/nowhere.pcap", "-"])
        .write_stdin(stream)
        .assert()
        .code(1)
        .stdout(predicates::str::is_empty());
    let stderr = std::str::from_utf8(&run.get_output().stderr).unwrap();
    assert_snapshot!(stderr);
}

#[test]
fn without_a_temporary_directory_nothing_is_written() {
    // More flows than fit into memory, with one packet of 52 bytes each.
    const FLOWS: u32 = 120_000;
    let capture = fs::read(testdata().join("packets_of_one_flow_merge.pcap")).unwrap();
    let (header, records) = capture.split_at(24);
    let length = u32::from_le_bytes(records[8..12].try_into().unwrap()) as usize;
    let record = &records[..16 + length];
    let mut stream = header.to_vec();
    for flow in 0..FLOWS {
        let start = stream.len();
        stream.extend(record);
        // The inner source address follows the record header, Ethernet, IPv4, UDP, TZSP, Ethernet
        // and 12 bytes of IPv4.
        let source = start + 16 + 14 + 20 + 8 + 5 + 14 + 12;
        stream[source..][..4].copy_from_slice(&(0x0a00_0000 + flow).to_be_bytes());
    }
    let arguments = ["analyze", "--format", "openmetrics", "--every", "1s"];
    let arguments = [&arguments[..], &["--labels", "from", "-"]].concat();
    let run = program()
        .args(&arguments)
        .env("TMPDIR", "/nowhere")
        .write_stdin(stream.clone())
        .assert()
        .code(1)
        .stdout(predicates::str::is_empty());
    let stderr = std::str::from_utf8(&run.get_output().stderr).unwrap();
    assert_snapshot!(stderr);
    // With a temporary directory, the sorted parts are merged.
    let mut command = program();
    let run = command.args(&arguments).write_stdin(stream);
    let run = run.assert().success();
    let text = String::from_utf8(run.get_output().stdout.clone()).unwrap();
    let samples = Scrape::parse(&last_samples(&text));
    let bytes = samples.sum("tzsp_observed_bytes_total");
    assert_eq!(bytes, f64::from(FLOWS) * 52.0);
    assert_eq!(samples.sum("tzsp_traffic_bytes_total"), bytes);
    samples.assert_every_frame_is_accounted_for();
}
