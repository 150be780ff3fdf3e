//! `--capture native`: privileges, interfaces, and the choice between tshark and packet sockets.

use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::namespace::{COLLECTOR_LINK, Network, SENSOR_LINK};
use crate::native::{native, native_on_cable};
use crate::network::{PORT, capture, frames_of, stream, wait_for};
use crate::support::PROGRAM;
use crate::support::{Exporter, LaunchOptions, program, tool};

/// Runs a command as an unprivileged user with the capability CAP_NET_RAW alone.
const WITH_NET_RAW: [&str; 8] = [
    "setpriv",
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
    "--inh-caps=-all,+net_raw",
    "--ambient-caps=-all,+net_raw",
    "--bounding-set=-all,+net_raw",
    "--no-new-privs",
];

#[test]
fn cap_net_raw_is_enough() {
    let network = Network::new();
    let arguments = [
        "--capture",
        "native",
        "--interface",
        COLLECTOR_LINK,
        "--promiscuous",
        "--capture-buffer",
        "2047",
    ];
    let mut exporter = capture(&network, &WITH_NET_RAW, &arguments);
    let line = exporter.wait_for_line("the capture buffer of cable0 has");
    assert!(
        line.contains("sysctl -w net.core.rmem_max=2146435072"),
        "{line}"
    );
    stream(&network, 100);
    let scrape = wait_for(&exporter, 100.0);
    assert_eq!(scrape.sum("tzsp_observed_bytes_total"), 4000.0);
}

#[test]
fn without_the_capability_the_error_begins_with_the_remedy() {
    let output = Command::new(PROGRAM)
        .args([
            "--interface",
            "lo",
            "--capture",
            "native",
            "--listen-port",
            "9",
        ])
        .args(["--publish-port", "0", "--log-level", "error"])
        .uid(65_534)
        .gid(65_534)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(String::from_utf8(output.stderr).unwrap(), @r#"error: cannot capture: run as root, or allow the program to capture: setcap cap_net_raw+ep "$(command -v tzsp_packetstream_exporter)", or in systemd AmbientCapabilities=CAP_NET_RAW: Operation not permitted (os error 1)"#);
}

#[test]
fn an_unknown_interface_is_an_error_that_lists_the_known_ones() {
    let network = Network::new();
    let stderr = network.collector.run(|| {
        let run = program()
            .args(["--interface", "nope0", "--capture", "native"])
            .args(["--log-level", "error"])
            .assert()
            .code(1);
        String::from_utf8(run.get_output().stderr.clone()).unwrap()
    });
    insta::assert_snapshot!(stderr, @r#"error: cannot capture: there is no interface "nope0"; --interface takes one of these: lo, cable0, any"#);
}

#[test]
fn two_names_of_one_interface_are_refused() {
    let network = Network::new();
    let alternative = [
        "link",
        "property",
        "add",
        "dev",
        COLLECTOR_LINK,
        "altname",
        "lan",
    ];
    network.collector.ip(&alternative);
    let stderr = network.collector.run(|| {
        let run = program()
            .args(["--interface", COLLECTOR_LINK, "--interface", "lan"])
            .args(["--capture", "native", "--log-level", "error"])
            .assert()
            .code(1);
        String::from_utf8(run.get_output().stderr.clone()).unwrap()
    });
    insta::assert_snapshot!(stderr, @"error: cannot capture: cable0 and lan are the same interface, so everything would count twice");
}

#[test]
fn without_tshark_the_capture_is_native_and_the_log_states_why() {
    let network = Network::new();
    let nothing = TempDir::new().unwrap();
    let launch = LaunchOptions {
        host: Some(&network.collector),
        environment: &[("PATH", nothing.path().to_str().unwrap())],
        ..LaunchOptions::default()
    };
    let mut exporter = Exporter::start_with(&launch, &["--interface", COLLECTOR_LINK]);
    let line = exporter.wait_for_line("use --capture to choose");
    assert!(
        line.contains("capturing through packet sockets, because tshark is not installed;"),
        "{line}"
    );
    exporter.wait_for_line("capturing on cable0");
    stream(&network, 10);
    wait_for(&exporter, 10.0);
    drop(exporter);

    let launch = LaunchOptions {
        host: Some(&network.collector),
        ..LaunchOptions::default()
    };
    let mut exporter = Exporter::start_with(&launch, &["--interface", COLLECTOR_LINK]);
    let line = exporter.wait_for_line("use --capture to choose");
    assert!(
        line.contains("capturing through tshark, because /"),
        "{line}"
    );
    assert!(line.contains("tshark is installed;"), "{line}");
}

#[test]
fn without_any_option_datagrams_to_37008_are_received() {
    let network = Network::new();
    let launch = LaunchOptions {
        host: Some(&network.collector),
        ..LaunchOptions::default()
    };
    let mut exporter = Exporter::start_with(&launch, &[]);
    assert_eq!(exporter.udp_port(), PORT);
    stream(&network, 10);
    wait_for(&exporter, 10.0);
}

#[test]
fn an_interface_is_promiscuous_only_with_the_option_and_during_capture() {
    let network = Network::new();
    let is_promiscuous = || {
        let shown = network
            .collector
            .run(|| tool(Command::new("ip").args(["-details", "link", "show", COLLECTOR_LINK])));
        !shown.contains("promiscuity 0 ")
    };
    let exporter = native_on_cable(&network);
    assert!(!is_promiscuous());
    drop(exporter);
    let exporter = native(&network, &["--interface", COLLECTOR_LINK, "--promiscuous"]);
    assert!(is_promiscuous());
    // A stream to the hardware address of another host.
    let mut frame = frames_of(&["routeros_ephemeral_source_port.pcap"])[0].clone();
    frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 0x77]);
    network.sensor.send_frames(SENSOR_LINK, &[frame]);
    wait_for(&exporter, 1.0);
    exporter.signal(Signal::SIGTERM);
    exporter.wait_for_exit();
    assert!(!is_promiscuous());
}
