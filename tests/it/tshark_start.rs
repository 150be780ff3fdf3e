//! How tshark is started, and the errors when it cannot be.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::supervision::ARGUMENTS;
use crate::support::{Exporter, LaunchOptions, eventually, fake_tshark, program};

#[test]
fn tshark_gets_the_measured_options() {
    check_arguments(
        &["--interface", "eth0", "--port", "37008", "--port", "1234"],
        "-p -Q -B 64 -s 384 -f (dst port 37008 or dst port 1234) and udp -i eth0 -w -\n",
    );
    check_arguments(
        &[
            "--interface",
            "eth0",
            "--interface",
            "eth1",
            "--port",
            "1",
            "--snaplen",
            "512",
            "--capture-buffer",
            "8",
            "--promiscuous",
        ],
        "-Q -B 8 -s 512 -f (dst port 1) and udp -i eth0 -i eth1 -w -\n",
    );
}

#[track_caller]
fn check_arguments(typed: &[&str], expected: &str) {
    let tools = fake_tshark("echo \"$@\" > arguments; exec sleep 60");
    let launch = LaunchOptions {
        tools: Some(tools.path()),
        ..LaunchOptions::default()
    };
    let _exporter = Exporter::start_with(&launch, typed);
    let arguments = eventually("the arguments", || {
        let text = fs::read_to_string(tools.path().join("arguments")).ok();
        text.filter(|text| text.ends_with('\n'))
    });
    assert_eq!(arguments, expected);
}

/// The error message when tshark exits before it has captured anything.
#[track_caller]
fn failure_to_start(path: &Path) -> String {
    let system = std::env::var("PATH").unwrap();
    let run = program()
        .args(ARGUMENTS)
        .args(["--publish-port", "0", "--log-level", "error"])
        .env("PATH", format!("{}:{system}", path.display()))
        .assert()
        .code(1);
    String::from_utf8(run.get_output().stderr.clone()).unwrap()
}

#[test]
fn a_failure_to_start_quotes_tshark_and_states_the_remedy() {
    let denied = fake_tshark(
        "echo \"tshark: Couldn't run /usr/bin/dumpcap in child process: Permission denied\" >&2\n\
         exit 1",
    );
    insta::assert_snapshot!(failure_to_start(denied.path()), @r#"error: cannot capture: not permitted: to capture without being root, add the user to the group wireshark (Debian, Ubuntu: dpkg-reconfigure wireshark-common, then usermod -aG wireshark USER), or run: setcap cap_net_raw,cap_net_admin+eip "$(command -v dumpcap)"; or leave out --interface to receive on plain UDP sockets; tshark ended (exit status: 1): Couldn't run /usr/bin/dumpcap in child process: Permission denied"#);

    // A kilobyte of tshark's own advice after a kilobyte about its settings: only the relevant line
    // is quoted.
    let talkative = fake_tshark(
        "for table in $(seq 100); do echo \"Error loading table '$table': Permission denied\"; done >&2\n\
         echo 'tshark: You do not have permission to capture on device \"eth0\".' >&2\n\
         for line in $(seq 100); do echo 'Please check your permissions.'; done >&2\n\
         exit 1",
    );
    let stderr = failure_to_start(talkative.path());
    let remedy = stderr.find("to capture without being root").unwrap();
    let words = stderr
        .find("You do not have permission to capture on device \"eth0\".")
        .unwrap();
    assert!(remedy < words && stderr.len() < 700, "{stderr}");

    let no_device = fake_tshark(
        "[ \"$1\" = -D ] && { echo '1. eth1'; echo '2. any'; exit 0; }\n\
         echo 'tshark: There is no device named \"eth0\".' >&2\n\
         exit 1",
    );
    insta::assert_snapshot!(failure_to_start(no_device.path()), @r#"
    error: cannot capture: tshark ended (exit status: 1): There is no device named "eth0".; --interface takes one of these:
    1. eth1
    2. any
    "#);

    let no_answer = fake_tshark(
        "[ \"$1\" = -D ] && exec sleep 60\n\
         echo 'tshark: There is no device named \"eth0\".' >&2\n\
         exit 1",
    );
    insta::assert_snapshot!(failure_to_start(no_answer.path()), @r#"error: cannot capture: tshark ended (exit status: 1): There is no device named "eth0".; --interface takes one of those that `tshark -D` lists"#);

    let killed = fake_tshark("kill -KILL $$");
    insta::assert_snapshot!(failure_to_start(killed.path()), @"error: cannot capture: tshark ended (signal: 9 (SIGKILL))");

    let something_else = fake_tshark("echo 'This is not a capture, but a longer text.'; exit 0");
    insta::assert_snapshot!(failure_to_start(something_else.path()), @"error: cannot capture: tshark ended (exit status: 0); its output is not a capture stream: this is neither a pcap nor a pcapng capture");
}

#[test]
fn without_tshark_the_error_states_what_to_install() {
    let nothing = TempDir::new().unwrap();
    let run = program()
        .args(ARGUMENTS)
        .args(["--capture", "tshark", "--publish-port", "0"])
        .args(["--log-level", "error"])
        .env("PATH", nothing.path())
        .assert()
        .code(1);
    let stderr = String::from_utf8(run.get_output().stderr.clone()).unwrap();
    insta::assert_snapshot!(stderr, @"error: cannot capture: tshark is not installed, or not on the PATH: install it (Debian and Ubuntu: apt install tshark; Fedora: dnf install wireshark-cli; Alpine: apk add tshark; macOS: brew install wireshark), or leave out --interface to receive on plain UDP sockets");
}
