//! `analyze`: several inputs, listen ports, damaged inputs and failing outputs.

use std::fs;
use std::process::Stdio;

use insta::assert_snapshot;
use predicates::str::{contains, is_empty};

use crate::scrape::Scrape;
use crate::support::{PROGRAM, command, program, testdata};

/// Runs in testdata/, so that messages contain file names without a directory.
fn analyze(arguments: &[&str]) -> assert_cmd::assert::Assert {
    let mut command = program();
    command.current_dir(testdata()).arg("analyze");
    command.args(arguments).assert()
}

fn scrape(run: &assert_cmd::assert::Assert) -> Scrape {
    Scrape::parse(std::str::from_utf8(&run.get_output().stdout).unwrap())
}

fn stderr(run: &assert_cmd::assert::Assert) -> &str {
    std::str::from_utf8(&run.get_output().stderr).unwrap()
}

#[test]
fn several_files_add_up() {
    let run = analyze(&["snap_length_96.pcap", "pcapng_little_endian.pcapng"]);
    let run = run.success().stderr(is_empty());
    // 3 packets with 1537 bytes in total, and 2 with 136.
    assert_eq!(scrape(&run).sum("tzsp_observed_packets_total"), 5.0);
    assert_eq!(scrape(&run).sum("tzsp_observed_bytes_total"), 1673.0);
}

#[test]
fn a_dash_is_standard_input() {
    let capture = fs::read(testdata().join("lone_first_fragment.pcap")).unwrap();
    let run = program()
        .args(["analyze", "-"])
        .write_stdin(capture)
        .assert();
    let run = run.success().stderr(is_empty());
    assert_eq!(scrape(&run).sum("tzsp_observed_bytes_total"), 1500.0);
}

#[test]
fn listen_ports_select_the_datagrams_to_decode() {
    let file = "listen_ports_keep_flows_apart.pcap";
    let run = analyze(&["--listen-port", "1234", "--port", "65535", file]).success();
    let ports: Vec<_> = ["1234", "37008", "65535"]
        .map(|port| format!("listen_port=\"{port}\""))
        .iter()
        .map(|label| {
            let scrape = scrape(&run);
            let packets = scrape.family("tzsp_observed_packets_total");
            packets.filter(|(labels, _)| labels.contains(label)).count()
        })
        .collect();
    assert_eq!(ports, [1, 0, 1]);
    let skipped = "tzsp_frames_skipped_total{reason=\"other_port\"}";
    assert_eq!(scrape(&run).value(skipped), 1.0);
    scrape(&run).assert_every_frame_is_accounted_for();
}

#[test]
fn a_missing_file_is_an_error_and_the_others_count() {
    let run = analyze(&["nowhere.pcap", "lone_first_fragment.pcap"]).code(1);
    assert_snapshot!(stderr(&run), @"error: nowhere.pcap: No such file or directory (os error 2)");
    assert_eq!(scrape(&run).sum("tzsp_observed_bytes_total"), 1500.0);
}

#[test]
fn without_any_capture_nothing_is_printed() {
    let run = analyze(&["nowhere.pcap", "README.md", "."]).code(1);
    assert_snapshot!(stderr(&run), @r"
    error: nowhere.pcap: No such file or directory (os error 2)
    error: README.md: this is text, not a capture; write one with: tcpdump -w FILE, or tshark -w FILE
    error: .: Is a directory (os error 21)
    ");
    run.stdout(is_empty());
}

#[test]
fn an_empty_input_is_not_a_capture() {
    let run = program().args(["analyze", "-"]).assert().code(1);
    let run = run.stdout(is_empty());
    assert_snapshot!(stderr(&run), @"error: standard input: it is empty, where a pcap or pcapng capture was expected");
}

#[test]
fn a_capture_cut_in_its_last_record_is_a_warning() {
    let capture = fs::read(testdata().join("snap_length_96.pcap")).unwrap();
    let cut = &capture[..capture.len() - 1];
    let run = program().args(["analyze", "-"]).write_stdin(cut).assert();
    let run = run.success();
    // The header takes 24 bytes, the first two records 16 + 93 and 16 + 96.
    assert_snapshot!(stderr(&run), @"warning: standard input: the capture is cut short: its last record, at byte 245, is incomplete");
    assert_eq!(scrape(&run).value("tzsp_frames_received_total"), 2.0);
}

#[test]
fn a_damaged_record_is_an_error_and_all_others_count() {
    let mut capture = fs::read(testdata().join("snap_length_96.pcap")).unwrap();
    // The captured length of the second record, little endian.
    capture[24 + 16 + 93 + 8..][..4].copy_from_slice(&[0, 0, 0, 0x7f]);
    let run = program()
        .args(["analyze", "-"])
        .write_stdin(capture)
        .assert();
    let run = run.code(1);
    assert_snapshot!(stderr(&run), @"error: standard input: the capture is damaged at byte 133: a record of 2130706432 bytes; 112 bytes were passed over");
    assert_eq!(scrape(&run).value("tzsp_frames_received_total"), 2.0);
}

#[test]
fn a_damaged_block_is_an_error_and_all_others_count() {
    let mut capture = fs::read(testdata().join("pcapng_little_endian.pcapng")).unwrap();
    let last = capture.len() - 4;
    capture[last] ^= 0x04;
    let run = program()
        .args(["analyze", "-"])
        .write_stdin(capture)
        .assert();
    let run = run
        .code(1)
        .stderr(contains("the capture is damaged at byte"));
    assert_eq!(scrape(&run).value("tzsp_frames_received_total"), 1.0);
}

/// A failing output must not prevent the errors of the inputs from being reported.
#[test]
fn a_failed_output_does_not_hide_errors_of_the_inputs() {
    let run = |options: &[&str], stdout: Stdio| {
        let mut command = command(PROGRAM);
        command.current_dir(testdata()).arg("analyze").args(options);
        command.args(["README.md", "protocols.pcap", "nowhere.pcap"]);
        let output = command.stdout(stdout).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let inputs = "error: README.md: this is text, not a capture; \
                  write one with: tcpdump -w FILE, or tshark -w FILE\n\
        error: nowhere.pcap: No such file or directory (os error 2)\n";
    let disk = "error: cannot write to standard output: No space left on device (os error 28)\n";
    for options in [
        &["--format", "prometheus"][..],
        &["--format", "openmetrics"],
        &["--format", "openmetrics", "--every", "1s"],
        &["--format", "json"],
        &["--format", "table"],
    ] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full");
        let stderr = run(options, full.unwrap().into());
        assert_eq!(stderr, format!("{inputs}{disk}"));
        // The reader of the pipe has closed it.
        let gone = std::io::pipe().unwrap().1;
        assert_eq!(run(options, gone.into()), inputs);
    }
}

#[test]
fn a_closed_output_pipe_is_not_an_error() {
    let mut child = command(PROGRAM)
        .args(["analyze", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let capture = testdata().join("address_class_edges_to.pcap");
    let mut stdin = child.stdin.take().unwrap();
    std::io::copy(&mut fs::File::open(capture).unwrap(), &mut stdin).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
