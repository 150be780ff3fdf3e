//! `--write-inner`: the mirrored frames as a capture, in a file or on standard output.

use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Output, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use insta::assert_snapshot;
use nix::sys::signal::Signal;
use predicates::str::is_empty;
use tempfile::TempDir;

use crate::scrape::Scrape;
use crate::support::{PROGRAM, PipedRun, command, program, testdata, tool};

/// Runs `analyze --write-inner` in testdata/. Returns standard error, and one line for each frame
/// written: original length, captured length, EtherType.
fn lengths(arguments: &[&str]) -> (String, String) {
    let directory = TempDir::new().unwrap();
    let out = directory.path().join("out.pcap");
    let mut command = program();
    command.current_dir(testdata()).arg("analyze");
    command.args(arguments).arg("--write-inner").arg(&out);
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let mut command = Command::new("tshark");
    command.arg("-r").arg(&out).args(["-T", "fields"]);
    for field in ["frame.len", "frame.cap_len", "eth.type"] {
        command.args(["-e", field]);
    }
    let directory = format!("{}/", directory.path().display());
    (stderr.replace(&directory, ""), tool(&mut command))
}

#[test]
fn truncated_frames_keep_their_original_length() {
    let of = |capture: &str| lengths(&[capture]).1;
    // The original length comes from the UDP header of the datagram, from the inner IP header, or
    // from the capture's record header.
    assert_eq!(of("lone_first_fragment.pcap"), "1514\t1467\t0x0800\n");
    let cut = of("inner_frame_cut_at_100_bytes.pcap");
    assert_eq!(cut, "66\t66\t0x0800\n1514\t100\t0x0800\n");
    // 64 bytes minus 5 bytes of TZSP.
    let alone = of("link_type_tzsp_snap_length_64.pcap");
    assert_eq!(
        alone,
        "1514\t59\t0x0800\n9014\t59\t0x0800\n1414\t59\t0x0800\n"
    );
    // 802.11: 24 bytes of header and 8 of LLC and SNAP became 14.
    let fragment = of("wlan_fragments_inside.pcap");
    assert_eq!(fragment, "1514\t522\t0x0800\n");
    // For frames without IP, a TZSP tag holds the original length.
    let arp = [
        &[0x01, 0x00, 0x00, 0x01, 0x29, 0x02, 0x02, 0x00, 0x01][..],
        &[0xff; 12],
        &[0x08, 0x06],
    ]
    .concat();
    let capture = tzsp_alone(&arp);
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("arp.pcap");
    fs::write(&file, capture).unwrap();
    assert_eq!(of(file.to_str().unwrap()), "512\t14\t0x0806\n");
}

/// A pcap of link type 128 with this frame.
fn tzsp_alone(frame: &[u8]) -> Vec<u8> {
    let length = u32::try_from(frame.len()).unwrap();
    let words = [
        0xa1b2_c3d4,
        0x0002_0004,
        0,
        0,
        65_535,
        128,
        1,
        2,
        length,
        length,
    ];
    let mut capture: Vec<u8> = words.into_iter().flat_map(u32::to_be_bytes).collect();
    capture.extend(frame);
    capture
}

#[test]
fn all_mirrored_ethernet_is_written_and_other_frames_are_reported() {
    let (warnings, written) = lengths(&["not_ip_inside.pcap", "raw_ip_inside.pcap"]);
    assert_snapshot!(warnings, @"warning: out.pcap: mirrored frames that were not written: 5 raw IP, 1 empty");
    assert_eq!(written.lines().count(), 5);
    let (warnings, written) = lengths(&["wlan_llc_inside.pcap", "wlan_encrypted_inside.pcap"]);
    assert_snapshot!(warnings, @"warning: out.pcap: mirrored frames that were not written: 9 802.11 that Ethernet cannot carry");
    assert_eq!(written.lines().count(), 6);
    // Only frames to the selected listen ports are written.
    let (warnings, written) = lengths(&["--port", "1234", "listen_ports_keep_flows_apart.pcap"]);
    assert_eq!(warnings, "");
    assert_eq!(written.lines().count(), 1);
    // A capture without frames is valid.
    let (_, written) = lengths(&["not_udp.pcap"]);
    assert_eq!(written, "");
}

/// Runs a shell script in testdata/, with the path of the program in `$0`.
fn shell(script: &str) -> Output {
    let mut command = command("sh");
    command.current_dir(testdata()).args(["-c", script]);
    command.arg(PROGRAM);
    command.output().unwrap()
}

#[test]
fn standard_output_receives_the_same_capture_as_a_file() {
    let to_a_file = lengths(&["type_transmit.pcap", "inner_frame_cut_at_100_bytes.pcap"]).1;
    let run = shell(
        "\"$0\" analyze --write-inner - --format none type_transmit.pcap \
            inner_frame_cut_at_100_bytes.pcap |
            tshark -r - -T fields -e frame.len -e frame.cap_len -e eth.type",
    );
    assert_eq!(String::from_utf8(run.stdout).unwrap(), to_a_file);
    assert_eq!(
        to_a_file,
        "66\t66\t0x0800\n66\t66\t0x0800\n1514\t100\t0x0800\n"
    );
}

/// Wireshark can read along in a pipe: the first frame is written before the input ends. It has 24
/// bytes of file header, 16 of record header, and 66 bytes.
#[test]
fn standard_output_does_not_wait_for_the_end_of_the_input() {
    let capture = fs::read(testdata().join("type_transmit.pcap")).unwrap();
    let (header, record) = capture.split_at(24);
    let capture = [header, &record.repeat(3)].concat();
    let mut child = command(PROGRAM)
        .args(["analyze", "-", "--write-inner", "-", "--format", "none"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&capture).unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 24 + 16 + 66]).unwrap();
    drop(stdin);
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).unwrap();
    assert_eq!(rest.len(), 2 * (16 + 66));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_closed_standard_output_is_not_an_error() {
    // The input is endless, so the output exceeds what a pipe holds.
    let run = shell(
        "record() { tail -c +25 type_transmit.pcap; }
        { cat type_transmit.pcap; while record; do :; done; } 2>/dev/null |
            { \"$0\" analyze --write-inner - --format none - nope.pcap; echo $? >&2; } | head -c 1",
    );
    assert_eq!(run.stdout.len(), 1);
    assert_snapshot!(String::from_utf8(run.stderr).unwrap(), @r"
    error: nope.pcap: No such file or directory (os error 2)
    1
    ");
}

#[test]
fn a_full_standard_output_does_not_hide_errors_of_the_inputs() {
    let run = shell(
        "\"$0\" analyze --write-inner - --format none README.md type_transmit.pcap > /dev/full",
    );
    assert_eq!(run.status.code(), Some(1));
    assert_snapshot!(String::from_utf8(run.stderr).unwrap(), @r"
    error: README.md: this is text, not a capture; write one with: tcpdump -w FILE, or tshark -w FILE
    error: cannot write standard output: No space left on device (os error 28); the file is incomplete
    ");
}

/// Otherwise the program would read its own output and never end.
#[test]
fn standard_output_must_not_be_one_of_the_captures() {
    let directory = TempDir::new().unwrap();
    let capture = directory.path().join("a.pcap");
    fs::copy(testdata().join("type_transmit.pcap"), &capture).unwrap();
    let before = fs::read(&capture).unwrap();
    let path = capture.display();
    let run = shell(&format!(
        "\"$0\" analyze --write-inner - --format none {path} >> {path}"
    ));
    assert_eq!(run.status.code(), Some(1));
    assert_snapshot!(String::from_utf8(run.stderr).unwrap(), @"error: cannot write standard output: it is an input");
    assert_eq!(fs::read(&capture).unwrap(), before);
}

#[test]
fn written_frames_count_the_same_with_plain() {
    let directory = TempDir::new().unwrap();
    let out = directory.path().join("out.pcap");
    for capture in [
        "address_class_edges_from.pcap",
        "protocols.pcap",
        "labels_inside.pcap",
        "wlan_qos_inside.pcap",
        "snap_length_96.pcap",
        "pppoe_under_vlan_inside.pcap",
        "pppoe_mpls_inside.pcap",
        "mpls_inside.pcap",
        "ieee_802_3_inside.pcap",
        "tzsp_prism_inside.pcap",
        "tzsp_radiotap_inside.pcap",
        "tzsp_avs_inside.pcap",
    ] {
        let labels = "from,to,protocol,from_port,to_port,vlan,dscp,ip_version";
        let flows = |arguments: &[&str]| {
            let mut command = program();
            command.current_dir(testdata()).arg("analyze");
            command.args(["--ipv6", "--labels", labels]).args(arguments);
            let run = command.assert().success().stderr(is_empty());
            let text = String::from_utf8(run.get_output().stdout.clone()).unwrap();
            let flows = text
                .lines()
                .filter(|line| line.starts_with("tzsp_observed"));
            flows.map(str::to_owned).collect::<Vec<_>>()
        };
        let out = out.to_str().unwrap();
        let mirrored = flows(&[capture, "--write-inner", out]);
        assert!(!mirrored.is_empty());
        assert_eq!(flows(&["--plain", out]), mirrored, "{capture}");
    }
}

#[test]
fn several_captures_are_written_in_the_order_given() {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let capture = fs::read(testdata().join("lone_first_fragment.pcap")).unwrap();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&capture).unwrap();
    fs::write(path("a.pcap.gz"), encoder.finish().unwrap()).unwrap();
    let gz = path("a.pcap.gz");
    let (warnings, written) = lengths(&["type_transmit.pcap", &gz, "raw_ip_link_type_101.pcap"]);
    assert_eq!(warnings, "");
    assert_eq!(
        written,
        "66\t66\t0x0800\n1514\t1467\t0x0800\n66\t66\t0x0800\n66\t66\t0x0800\n"
    );
}

#[test]
fn a_file_that_must_not_be_overwritten_is_refused() {
    let directory = TempDir::new().unwrap();
    let capture = fs::read(testdata().join("type_transmit.pcap")).unwrap();
    fs::write(directory.path().join("a.pcap"), &capture).unwrap();
    fs::hard_link(
        directory.path().join("a.pcap"),
        directory.path().join("b.pcap"),
    )
    .unwrap();
    let run = |arguments: &[&str]| {
        let mut command = program();
        command.current_dir(directory.path()).arg("analyze");
        let run = command.args(arguments).assert().code(1).stdout(is_empty());
        String::from_utf8(run.get_output().stderr.clone()).unwrap()
    };
    assert_snapshot!(run(&["a.pcap", "--write-inner", "b.pcap"]), @"error: cannot write b.pcap: it is an input");
    assert_eq!(fs::read(directory.path().join("a.pcap")).unwrap(), capture);
    assert_snapshot!(run(&["a.pcap", "--write-inner", "/dev/stdout"]), @"error: cannot write /dev/stdout: standard output is this file");
    assert_snapshot!(run(&["a.pcap", "--write-inner", "nowhere/b.pcap"]), @"error: cannot write nowhere/b.pcap: No such file or directory (os error 2)");
}

#[test]
fn a_full_disk_is_an_error_and_everything_counts() {
    let run = program()
        .current_dir(testdata())
        .args(["analyze", "protocols.pcap", "--write-inner", "/dev/full"])
        .assert()
        .code(1);
    let output = run.get_output();
    assert_snapshot!(String::from_utf8_lossy(&output.stderr), @"error: cannot write /dev/full: No space left on device (os error 28); the file is incomplete");
    let scrape = Scrape::parse(std::str::from_utf8(&output.stdout).unwrap());
    assert_eq!(scrape.sum("tzsp_observed_packets_total"), 14.0);
}

#[test]
fn a_signal_leaves_a_complete_capture() {
    let directory = TempDir::new().unwrap();
    let out = directory.path().join("out.pcap");
    let capture = fs::read(testdata().join("pcap_little_endian_microseconds.pcap")).unwrap();
    let (header, records) = capture.split_at(24);
    let long = [header, &records.repeat(5000)].concat();
    let fed =
        PipedRun::start(&["analyze", "-", "--write-inner", out.to_str().unwrap()]).feed(&long);
    let output = fed.signal(Signal::SIGTERM).wait_for_exit();
    assert_eq!(output.status.code(), Some(0), "{}", output.stderr);
    let frames = output.scrape().value("tzsp_frames_received_total");
    let counted = tool(
        Command::new("capinfos")
            .args(["-M", "-r", "-T", "-c"])
            .arg(&out),
    );
    let (_, counted) = counted.trim().rsplit_once('\t').unwrap();
    assert_eq!(counted.parse::<f64>().unwrap(), frames);
}
