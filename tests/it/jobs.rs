//! `analyze` with several files: jobs, the order of files, and files that are given twice.

use std::fs::{self};
use std::ops::Range;
use std::os::unix::fs::symlink;
use std::path::Path;

use insta::assert_snapshot;
use predicates::str::is_empty;
use tempfile::TempDir;

use crate::scrape::Scrape;
use crate::support::{captures, program, testdata};

pub(crate) fn analyze(directory: &Path, arguments: &[&str]) -> assert_cmd::assert::Assert {
    let mut command = program();
    command.current_dir(directory).arg("analyze");
    command.args(arguments).assert()
}

fn stdout(run: &assert_cmd::assert::Assert) -> &str {
    std::str::from_utf8(&run.get_output().stdout).unwrap()
}

pub(crate) fn stderr(run: &assert_cmd::assert::Assert) -> &str {
    std::str::from_utf8(&run.get_output().stderr).unwrap()
}

/// More packets than one block between threads holds.
#[test]
fn large_files_are_counted_completely_across_threads() {
    let directory = TempDir::new().unwrap();
    let capture = fs::read(testdata().join("packets_of_one_flow_merge.pcap")).unwrap();
    // Three packets with 680 bytes in total.
    let (header, records) = capture.split_at(24);
    for (name, rounds) in [("a.pcap", 10_000), ("b.pcap", 12_000)] {
        let repeated = [header, &records.repeat(rounds)].concat();
        fs::write(directory.path().join(name), repeated).unwrap();
    }
    for jobs in ["1", "2"] {
        let run = analyze(directory.path(), &["--jobs", jobs, "a.pcap", "b.pcap"]);
        let scrape = Scrape::parse(stdout(&run.success()));
        assert_eq!(scrape.value("tzsp_frames_received_total"), 66_000.0);
        assert_eq!(scrape.sum("tzsp_observed_packets_total"), 66_000.0);
        assert_eq!(scrape.sum("tzsp_observed_bytes_total"), 14_960_000.0);
    }
}

#[test]
fn the_result_depends_neither_on_the_order_nor_on_the_number_of_jobs() {
    let mut files = captures();
    let run = |files: &[std::path::PathBuf], jobs: &str| {
        let mut command = program();
        let command = command.args(["analyze", "--jobs", jobs]).args(files);
        let run = command.assert().success().stderr(is_empty());
        stdout(&run).to_owned()
    };
    let one = run(&files, "1");
    assert_eq!(run(&files, "7"), one);
    files.reverse();
    assert_eq!(run(&files, "3"), one);
    assert_eq!(run(&files, "1024"), one);
    Scrape::parse(&one).assert_every_frame_is_accounted_for();
}

const DAY: u32 = 24 * 60 * 60;

/// A capture with two packets of 85 bytes from each of these hosts, numbered from 10.0.0.0 on.
fn packets_from(hosts: Range<u16>, at: u32) -> Vec<u8> {
    capture_of(hosts, at, |record, host| {
        // The source address of the mirrored packet follows the record header, Ethernet, IPv4, UDP,
        // TZSP, Ethernet and 12 bytes of IPv4.
        let [high, low] = host.to_be_bytes();
        record[16 + 14 + 20 + 8 + 5 + 14 + 12..][..4].copy_from_slice(&[10, 0, high, low]);
    })
}

/// A capture with two packets to each of these ports.
fn packets_to(ports: Range<u16>) -> Vec<u8> {
    capture_of(ports, 0, |record, port| {
        record[16 + 14 + 20 + 2..][..2].copy_from_slice(&port.to_be_bytes());
    })
}

fn capture_of(kinds: Range<u16>, at: u32, change: impl Fn(&mut [u8], u16)) -> Vec<u8> {
    let capture = fs::read(testdata().join("pcap_little_endian_microseconds.pcap")).unwrap();
    let (header, records) = capture.split_at(24);
    let captured = u32::from_le_bytes(records[8..12].try_into().unwrap());
    let mut record = records[..16 + captured as usize].to_vec();
    record[..4].copy_from_slice(&(1_700_000_000 + at).to_le_bytes());
    let mut capture = header.to_vec();
    for kind in kinds.clone().chain(kinds) {
        change(&mut record, kind);
        capture.extend(&record);
    }
    capture
}

/// Runs with one job, then repeatedly with more, and checks that the output stays the same. Returns
/// the output.
#[track_caller]
fn output_with_any_number_of_jobs(directory: &Path, options: &[&str], files: &[&str]) -> String {
    let run = |jobs: &str| {
        let arguments = [options, &["--jobs", jobs], files].concat();
        stdout(&analyze(directory, &arguments).success()).to_owned()
    };
    let one = run("1");
    for jobs in ["2", "3", "4", "2", "3", "4"] {
        assert!(run(jobs) == one, "{options:?} with {jobs} jobs");
    }
    one
}

/// Options that change the output, including those with which files are read one after the other.
const OPTIONS: [&[&str]; 20] = [
    &[],
    &["--flow-idle-timeout", "1h"],
    &[
        "--flow-idle-timeout",
        "1h",
        "--max-idle-flows",
        "50",
        "--format",
        "json",
    ],
    &["--max-idle-flows", "0"],
    &["--labels", "from"],
    &["--labels", "from_type,to_port,vlan,dscp,ip_version"],
    &["--labels", "from,sensor", "--flow-idle-timeout", "30h"],
    &["--prefix-length", "private=28"],
    &["--network", "lab=10.0.0.0/25", "--prefix-length", "lab=27"],
    &["--listen-port", "37008"],
    &["--listen-port", "9"],
    &["--plain"],
    &["--plain", "--flow-idle-timeout", "1h"],
    &["--ipv6"],
    &["--format", "prometheus"],
    &["--format", "openmetrics"],
    &["--format", "json"],
    &["--format", "table", "--top", "3"],
    &["--format", "openmetrics", "--every", "1h"],
    &[
        "--format",
        "openmetrics",
        "--every",
        "1h",
        "--flow-idle-timeout",
        "2h",
    ],
];

#[test]
fn with_any_option_the_result_is_independent_of_order_and_jobs() {
    let directory = TempDir::new().unwrap();
    for (name, hosts, at) in [
        ("a.pcap", 0..200, 0),
        ("b.pcap", 100..300, DAY),
        ("c.pcap", 250..400, 7200),
    ] {
        fs::write(directory.path().join(name), packets_from(hosts, at)).unwrap();
    }
    for options in OPTIONS {
        let one = output_with_any_number_of_jobs(
            directory.path(),
            options,
            &["a.pcap", "b.pcap", "c.pcap"],
        );
        for files in [
            ["c.pcap", "b.pcap", "a.pcap"],
            ["b.pcap", "a.pcap", "c.pcap"],
        ] {
            let other = output_with_any_number_of_jobs(directory.path(), options, &files);
            assert!(other == one, "{options:?} with {files:?}");
        }
    }
    // Flows of the last hour before the newest frame: all are in b.pcap.
    let options = ["--flow-idle-timeout", "1h", "c.pcap", "b.pcap", "a.pcap"];
    let run = analyze(directory.path(), &options).success();
    let scrape = Scrape::parse(stdout(&run));
    assert_eq!(scrape.family("tzsp_observed_packets_total").count(), 200);
    // Two packets of each host in each file.
    assert_eq!(
        scrape.sum("tzsp_observed_packets_total"),
        400.0 + 200.0 + 100.0
    );
}

#[test]
fn when_slots_run_out_the_file_order_matters_and_the_number_of_jobs_does_not() {
    let directory = TempDir::new().unwrap();
    for (name, hosts, at) in [
        ("a.pcap", 0..200, 0),
        ("b.pcap", 100..300, DAY),
        ("c.pcap", 250..400, 2 * DAY),
    ] {
        fs::write(directory.path().join(name), packets_from(hosts, at)).unwrap();
    }
    let files = ["a.pcap", "b.pcap", "c.pcap"];
    for more in [
        &["--max-flows", "150"][..],
        &["--max-flows", "150", "--format", "json"],
        &["--max-flows", "150", "--format", "table"],
        &["--max-flows", "150", "--labels", "from,from_type"],
        &["--max-flows", "150", "--flow-idle-timeout", "1h"],
        &[
            "--max-flows",
            "150",
            "--flow-idle-timeout",
            "30h",
            "--max-idle-flows",
            "10",
        ],
        &[
            "--max-flows",
            "150",
            "--format",
            "openmetrics",
            "--every",
            "1h",
        ],
    ] {
        output_with_any_number_of_jobs(directory.path(), more, &files);
    }
    let hosts = |files: &[&str]| {
        let one = output_with_any_number_of_jobs(directory.path(), &["--max-flows", "150"], files);
        let scrape = Scrape::parse(&one);
        assert_eq!(scrape.sum("tzsp_observed_packets_total"), 1100.0);
        let flows = scrape.family("tzsp_observed_packets_total");
        let hosts = flows.filter_map(|(labels, _)| {
            let (_, rest) = labels.split_once("from=\"10.0.")?;
            let (high, low) = rest.split_once('"')?.0.split_once('.')?;
            Some(high.parse::<u16>().unwrap() * 256 + low.parse::<u16>().unwrap())
        });
        let mut hosts: Vec<_> = hosts.collect();
        hosts.sort_unstable();
        hosts
    };
    assert_eq!(hosts(&files), (0..150).collect::<Vec<_>>());
    let files = ["c.pcap", "b.pcap", "a.pcap"];
    assert_eq!(hosts(&files), (250..400).collect::<Vec<_>>());
}

/// The traffic families have at most 10,000 series.
#[test]
fn when_traffic_series_run_out_only_the_file_order_matters() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("a.pcap"), packets_to(1..8001)).unwrap();
    fs::write(directory.path().join("b.pcap"), packets_to(4001..16_001)).unwrap();
    let one = output_with_any_number_of_jobs(directory.path(), &[], &["a.pcap", "b.pcap"]);
    let scrape = Scrape::parse(&one);
    let mut ports: Vec<u16> = scrape
        .family("tzsp_traffic_packets_total")
        .filter_map(|(labels, _)| {
            let (_, port) = labels.split_once("listen_port=\"")?;
            port.split_once('"')?.0.parse().ok()
        })
        .collect();
    ports.sort_unstable();
    assert_eq!(ports, (1..10_001).collect::<Vec<_>>());
}

#[test]
fn errors_of_a_file_that_is_read_twice_are_reported_once() {
    let directory = TempDir::new().unwrap();
    for (name, hosts) in [("a.pcap", 0..200), ("b.pcap", 100..300)] {
        let mut capture = packets_from(hosts, 0);
        capture.pop();
        fs::write(directory.path().join(name), capture).unwrap();
    }
    let files = ["--max-flows", "2", "a.pcap", "nowhere.pcap", "b.pcap"];
    let run = analyze(directory.path(), &[&["--jobs", "3"][..], &files].concat()).code(1);
    assert_eq!(
        stderr(&run).matches("a.pcap").count(),
        1,
        "{}",
        stderr(&run)
    );
    assert_eq!(stderr(&run).matches("nowhere.pcap").count(), 1);
    let scrape = Scrape::parse(stdout(&run));
    assert_eq!(scrape.value("tzsp_frames_received_total"), 798.0);
}

/// Standard input cannot be read a second time.
#[test]
fn a_pipe_counts_once_even_when_slots_run_out() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("b.pcap"), packets_from(100..300, 0)).unwrap();
    let run = program()
        .current_dir(directory.path())
        .args(["analyze", "--jobs", "2", "--max-flows", "2", "-", "b.pcap"])
        .write_stdin(packets_from(0..200, 0))
        .assert()
        .success();
    let scrape = Scrape::parse(stdout(&run));
    assert_eq!(scrape.value("tzsp_frames_received_total"), 800.0);
    assert_eq!(scrape.sum("tzsp_observed_packets_total"), 800.0);
}

#[test]
fn a_file_given_under_several_names_counts_once() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("a.pcap");
    fs::copy(testdata().join("lone_first_fragment.pcap"), &file).unwrap();
    fs::hard_link(&file, directory.path().join("hard.pcap")).unwrap();
    symlink(&file, directory.path().join("soft.pcap")).unwrap();
    let names = ["a.pcap", "./a.pcap", "hard.pcap", "soft.pcap"];
    let run = analyze(directory.path(), &names).success();
    assert_snapshot!(stderr(&run), @r"
    warning: ./a.pcap: same file as a.pcap; counted once
    warning: hard.pcap: same file as a.pcap; counted once
    warning: soft.pcap: same file as a.pcap; counted once
    ");
    let scrape = Scrape::parse(stdout(&run));
    assert_eq!(scrape.value("tzsp_frames_received_total"), 1.0);
}

#[test]
fn standard_input_counts_once() {
    let capture = fs::read(testdata().join("lone_first_fragment.pcap")).unwrap();
    let run = program()
        .args(["analyze", "-", "-"])
        .write_stdin(capture)
        .assert()
        .success();
    assert_snapshot!(stderr(&run), @"warning: standard input: same file as standard input; counted once");
    let scrape = Scrape::parse(stdout(&run));
    assert_eq!(scrape.value("tzsp_frames_received_total"), 1.0);
}
