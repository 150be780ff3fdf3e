//! Several files at a time, files that are the same, captures in which nothing counts, signals
//! and progress.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::ops::Range;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::Path;
use std::process::Stdio;

use insta::assert_snapshot;
use nix::fcntl::OFlag;
use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use predicates::str::is_empty;
use tempfile::TempDir;

use crate::scrape::Scrape;
use crate::support::{Fed, PROGRAM, captures, command, eventually, program, testdata};

fn analyze(directory: &Path, arguments: &[&str]) -> assert_cmd::assert::Assert {
    let mut command = program();
    command.current_dir(directory).arg("analyze");
    command.args(arguments).assert()
}

fn stdout(run: &assert_cmd::assert::Assert) -> &str {
    std::str::from_utf8(&run.get_output().stdout).unwrap()
}

fn stderr(run: &assert_cmd::assert::Assert) -> &str {
    std::str::from_utf8(&run.get_output().stderr).unwrap()
}

/// More packets than threads hand over at once.
#[test]
fn large_files_lose_nothing_between_threads() {
    let directory = TempDir::new().unwrap();
    let capture = fs::read(testdata().join("packets_of_one_flow_merge.pcap")).unwrap();
    // Three packets of 680 bytes together.
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

/// A capture with two packets of 85 bytes from each of these hosts: 10.0.0.0 and so many on.
fn packets_from(hosts: Range<u16>, at: u32) -> Vec<u8> {
    capture_of(hosts, at, |record, host| {
        // The mirrored packet's source, behind the record's header, Ethernet, IPv4, UDP, TZSP,
        // Ethernet and 12 bytes of IPv4.
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

/// Runs with these files with one job, and then again and again with more, which must not make a
/// difference. Returns the output.
#[track_caller]
fn the_same_with_any_jobs(directory: &Path, options: &[&str], files: &[&str]) -> String {
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

/// Options that change what is written, also those with which files are read one after the other.
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
fn no_option_lets_the_order_or_the_number_of_jobs_make_a_difference() {
    let directory = TempDir::new().unwrap();
    for (name, hosts, at) in [
        ("a.pcap", 0..200, 0),
        ("b.pcap", 100..300, DAY),
        ("c.pcap", 250..400, 7200),
    ] {
        fs::write(directory.path().join(name), packets_from(hosts, at)).unwrap();
    }
    for options in OPTIONS {
        let one =
            the_same_with_any_jobs(directory.path(), options, &["a.pcap", "b.pcap", "c.pcap"]);
        for files in [
            ["c.pcap", "b.pcap", "a.pcap"],
            ["b.pcap", "a.pcap", "c.pcap"],
        ] {
            let other = the_same_with_any_jobs(directory.path(), options, &files);
            assert!(other == one, "{options:?} with {files:?}");
        }
    }
    // Those of the last hour before the newest frame: all in b.pcap.
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
fn where_slots_run_out_the_order_of_the_files_decides_and_the_number_of_jobs_does_not() {
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
        the_same_with_any_jobs(directory.path(), more, &files);
    }
    let hosts = |files: &[&str]| {
        let one = the_same_with_any_jobs(directory.path(), &["--max-flows", "150"], files);
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

/// The traffic families tell 10,000 series apart.
#[test]
fn where_the_series_of_the_traffic_run_out_only_the_order_of_the_files_decides() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("a.pcap"), packets_to(1..8001)).unwrap();
    fs::write(directory.path().join("b.pcap"), packets_to(4001..16_001)).unwrap();
    let one = the_same_with_any_jobs(directory.path(), &[], &["a.pcap", "b.pcap"]);
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
fn what_is_wrong_with_a_file_is_reported_once_also_if_it_is_read_again() {
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
fn a_pipe_counts_once_although_slots_run_out() {
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
fn a_file_counts_once_by_whatever_name() {
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

#[test]
fn where_nothing_counts_it_is_told_what_is_there() {
    let run = |arguments: &[&str]| {
        let run = analyze(&testdata(), arguments).success();
        stderr(&run).to_owned()
    };
    assert_snapshot!(run(&["--listen-port", "9", "listen_ports_keep_flows_apart.pcap"]), @r"
    warning: nothing was counted; the frames are: 3 other_port
      other_port: UDP to a port that is not listened to; with `--listen-port`, also TZSP without UDP
      UDP port 1234: 1 datagram, 1 like TZSP; to count them: --listen-port 1234
      UDP port 37008: 1 datagram, 1 like TZSP; to count them: --listen-port 37008
      UDP port 65535: 1 datagram, 1 like TZSP; to count them: --listen-port 65535
    ");
    assert_snapshot!(run(&["not_udp.pcap", "not_tzsp.pcap"]), @r"
    warning: nothing was counted; the frames are: 3 not_udp, 4 not_tzsp
      not_udp: IP without UDP
      not_tzsp: an empty datagram, or one that is not TZSP version 1. Remedy: find out who sends it, and let only the routers send to this port
      UDP port 37008: 4 datagrams, 0 like TZSP
      no TZSP; to count the frames' own packets: --plain
    ");
    assert_snapshot!(run(&["routeros_wireless_sniffer.pcap"]), @r"
    warning: nothing was counted; the frames are: 2 inner_wlan_no_data
      inner_wlan_no_data: 802.11 management and control, and data frames without data (null function)
      UDP port 37008: 2 datagrams, 2 like TZSP; what they carry counts in no flow
    ");
    assert_snapshot!(run(&["pcap_without_frames.pcap"]), @"warning: nothing was counted: there are no frames");
}

/// A pcap of Ethernet, or another link type, with these frames.
fn pcap(link: u8, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut capture = b"\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\x04\0".to_vec();
    capture.extend([link, 0, 0, 0]);
    for frame in frames {
        let length = u32::try_from(frame.len()).unwrap().to_le_bytes();
        capture.extend([&[1, 0, 0, 0, 0, 0, 0, 0][..], &length, &length, frame].concat());
    }
    capture
}

/// A frame of Ethernet with this EtherType and nothing in it.
fn frame_of(ether_type: u16) -> Vec<u8> {
    [&[0xff; 12][..], &ether_type.to_be_bytes(), &[0; 4]].concat()
}

#[test]
fn link_types_and_ether_types_that_do_not_count_are_named() {
    let run = |options: &[&str], captures: &[Vec<u8>]| {
        let directory = TempDir::new().unwrap();
        let names: Vec<_> = (0..captures.len())
            .map(|number| number.to_string())
            .collect();
        for (name, capture) in names.iter().zip(captures) {
            fs::write(directory.path().join(name), capture).unwrap();
        }
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let run = analyze(directory.path(), &[options, &names].concat()).success();
        stderr(&run).to_owned()
    };
    // USB, one link type without a name, and frames that mirror nothing.
    let captures = [
        pcap(220, &[vec![0], vec![0]]),
        pcap(99, &[vec![0]]),
        pcap(1, &[0x0806, 0x88cc, 0x0806, 0x0026, 0x0107].map(frame_of)),
    ];
    assert_snapshot!(run(&[], &captures), @r"
    warning: nothing was counted; the frames are: 3 unsupported_link, 5 not_ip
      unsupported_link: a link type that cannot carry the stream, or is not decoded. Remedy: capture on an Ethernet interface, or on `any`
      not_ip: neither IPv4 nor IPv6
      link type 220 (USB_LINUX_MMAPPED): 2 frames
      link type 99: 1 frame
      no EtherType (LLC): 2 frames
      EtherType 0x0806 (ARP): 2 frames
      EtherType 0x88cc (LLDP): 1 frame
    ");
    // More EtherTypes than are named, behind TZSP without a datagram.
    let types = [
        (0x8809, 7),
        (0x0806, 6),
        (0x888e, 5),
        (0x9999, 4),
        (0x88cc, 3),
        (0x8863, 2),
        (0x9000, 1),
    ];
    let mirrored = types.map(|(ether_type, frames)| {
        vec![[&[1, 0, 0, 1, 1][..], &frame_of(ether_type)].concat(); frames]
    });
    assert_snapshot!(run(&[], &[pcap(128, &mirrored.concat())]), @r"
    warning: nothing was counted; the frames are: 28 inner_not_ip
      inner_not_ip: a mirrored frame without IP, such as ARP or LLC without SNAP
      mirrored EtherType 0x8809 (slow protocols, such as LACP): 7 frames
      mirrored EtherType 0x0806 (ARP): 6 frames
      mirrored EtherType 0x888e (802.1X): 5 frames
      mirrored EtherType 0x9999: 4 frames
      mirrored EtherType 0x88cc (LLDP): 3 frames
      2 other mirrored EtherTypes: 3 frames
    ");
    let own = [pcap(1, &[0x88cc, 0x88cc, 0x0806].map(frame_of))];
    assert_snapshot!(run(&["--plain"], &own), @r"
    warning: nothing was counted; the frames are: 3 inner_not_ip
      inner_not_ip: a mirrored frame without IP, such as ARP or LLC without SNAP
      EtherType 0x88cc (LLDP): 2 frames
      EtherType 0x0806 (ARP): 1 frame
    ");
}

/// More than a pipe and a buffer hold: 5,000 copies of two packets.
fn long_capture() -> Vec<u8> {
    let capture = fs::read(testdata().join("pcap_little_endian_microseconds.pcap")).unwrap();
    let (header, records) = capture.split_at(24);
    [header, &records.repeat(5000)].concat()
}

#[test]
fn a_signal_prints_what_was_counted_so_far() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let fed = Fed::start(&["analyze", "-"]).feed(&long_capture());
        let output = fed.signal(signal).ended();
        assert_eq!(output.status.code(), Some(0), "{}", output.stderr);
        assert_eq!(
            output.stderr,
            "warning: interrupted: the output is of what was read until then\n"
        );
        let scrape = output.scrape();
        scrape.assert_every_frame_is_accounted_for();
        // All but what was still in the pipe: 64 KiB.
        let frames = scrape.value("tzsp_frames_received_total");
        assert!(frames > 9000.0, "{frames}");
    }
}

#[test]
fn a_signal_ends_the_wait_for_a_writer() {
    let directory = TempDir::new().unwrap();
    let fifo = directory.path().join("fifo");
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let child = command(PROGRAM)
        .arg("analyze")
        .arg(&fifo)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let writer = eventually("a reader", || {
        let mut options = OpenOptions::new();
        let options = options.write(true);
        let options = options.custom_flags(OFlag::O_NONBLOCK.bits());
        options.open(&fifo).ok()
    });
    kill(
        Pid::from_raw(i32::try_from(child.id()).unwrap()),
        Signal::SIGINT,
    )
    .unwrap();
    let output = child.wait_with_output().unwrap();
    drop(writer);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout, b"");
}

#[test]
fn a_terminal_shows_progress_and_the_output_is_the_same() {
    let (status, progress, output) = on_a_terminal(&[]);
    assert!(status, "{progress}");
    assert!(progress.contains("/s"), "{progress}");
    let (status, progress, quiet_output) = on_a_terminal(&["--quiet"]);
    assert!(status, "{progress}");
    assert_eq!(progress, "");
    assert_eq!(output, quiet_output);
    assert_eq!(
        Scrape::parse(&output).value("tzsp_frames_received_total"),
        10_000.0
    );
}

/// Whether it succeeded, what the terminal showed, and its output.
fn on_a_terminal(options: &[&str]) -> (bool, String, String) {
    let terminal = openpty(None, None).unwrap();
    let mut child = command(PROGRAM)
        .arg("analyze")
        .args(options)
        .arg("-")
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(File::from(terminal.slave))
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&long_capture()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let mut shown = Vec::new();
    // Linux ends it with an error.
    let _ = File::from(terminal.master).read_to_end(&mut shown);
    (
        output.status.success(),
        String::from_utf8(shown).unwrap(),
        String::from_utf8(output.stdout).unwrap(),
    )
}
