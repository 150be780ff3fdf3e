//! Command lines: help, version, and errors of usage.

use std::process::Output;

use insta::assert_snapshot;

use crate::support::{program, testdata};

#[track_caller]
fn run(arguments: &[&str]) -> String {
    let output = program().args(arguments).output().unwrap();
    let Output {
        status,
        stdout,
        stderr,
    } = output;
    format!(
        "status: {}\n--- stdout\n{}--- stderr\n{}",
        status.code().unwrap(),
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap()
    )
}

#[test]
fn version() {
    assert_snapshot!(run(&["--version"]));
}

#[test]
fn help() {
    assert_snapshot!(run(&["--help"]));
}

#[test]
fn help_of_healthcheck() {
    assert_snapshot!(run(&["healthcheck", "--help"]));
}

#[test]
fn help_of_analyze() {
    assert_snapshot!(run(&["analyze", "--help"]));
}

/// A packet that is captured on two interfaces would count twice.
#[test]
fn overlapping_interfaces() {
    let all = [
        &["--interface", "eth0", "--interface", "eth0"][..],
        &["--interface", "any", "--interface", "eth0"],
        &["--interface", "any", "--interface", "any"],
        &["--interface", "any", "--promiscuous"],
    ]
    .map(run);
    assert_snapshot!(all.concat());
}

#[test]
fn capture_options_without_an_interface() {
    let all = [&["--capture", "native"][..], &["--promiscuous"]].map(run);
    assert_snapshot!(all.concat());
}

#[test]
fn duplicate_in_a_list_of_listen_ports() {
    let list = ["--listen-port", "1,37008", "--port", "2,1"];
    let all = [&list[..], &["--listen-port", "1,,2"]].map(run);
    assert_snapshot!(all.concat());
    assert_snapshot!(run(&["analyze", "--listen-port", "9,9", "x.pcap"]));
}

#[test]
fn unknown_option() {
    assert_snapshot!(run(&["--listen-prot", "37008"]));
}

/// The internal argument that starts child processes is neither a subcommand nor suggested.
#[test]
fn unknown_subcommand() {
    let all = ["run", "run-child", "analyse"].map(|typed| run(&[typed]));
    for stderr in &all {
        assert!(!stderr.contains("tip: a similar subcommand exists: 'run-child'"));
    }
    assert_snapshot!(all.concat());
}

#[test]
fn capture_without_the_analyze_subcommand() {
    let capture = testdata().join("protocols.pcap");
    let stderr = run(&[capture.to_str().unwrap()]);
    let advice = format!("to read captures, write 'analyze {}'", capture.display());
    assert!(stderr.contains(&advice), "{stderr}");
}

/// The error about an option of `analyze` names `analyze` and shows its usage.
#[test]
fn options_of_the_other_mode() {
    let all = [
        &["analyze", "--interface", "eth0", "x.pcap"][..],
        &["analyze", "--publish", "9184", "x.pcap"],
        &["analyze", "--nope", "x.pcap"],
        &["--listen-port", "37008", "--top", "3"],
        &["--listen-port", "37008", "--plain"],
    ];
    assert_snapshot!(all.map(run).concat());
}

#[test]
fn listen_port_twice() {
    assert_snapshot!(run(&[
        "--listen-port",
        "37008",
        "--port",
        "1234",
        "--port",
        "37008"
    ]));
}

#[test]
fn listen_port_too_large() {
    assert_snapshot!(run(&["--listen-port", "65536"]));
}

#[test]
fn listen_port_not_a_number() {
    assert_snapshot!(run(&["--listen-port", "tzsp"]));
}

#[test]
fn listen_port_0_with_an_interface() {
    assert_snapshot!(run(&["--interface", "eth0", "--listen-port", "0"]));
}

#[test]
fn publish_port_negative() {
    assert_snapshot!(run(&["--listen-port", "37008", "--publish-port=-1"]));
}

#[test]
fn analyze_without_a_file() {
    assert_snapshot!(run(&["analyze"]));
}

#[test]
fn analyze_with_live_options() {
    assert_snapshot!(run(&["--listen-port", "37008", "analyze", "x.pcap"]));
}

#[test]
fn analyze_with_a_listen_port_twice() {
    assert_snapshot!(run(&[
        "analyze",
        "--listen-port",
        "1",
        "--listen-port",
        "1",
        "x.pcap"
    ]));
}

/// Every number out of range is rejected with the range that is accepted.
#[test]
fn invalid_numbers() {
    let invalid = [
        ("--listen-port", "", "0 to 65535"),
        ("--publish-port", "65536", "0 to 65535"),
        ("--capture-buffer", "0", "1 to 2047"),
        ("--capture-buffer", "2048", "1 to 2047"),
        ("--snaplen", "3", "96 to 262144"),
        ("--snaplen", "262145", "96 to 262144"),
        ("--receive-buffer", "1024", "1 to 1023"),
        ("--max-sensors", "many", "1 to 1000"),
        ("--max-sensors", "1001", "1 to 1000"),
    ];
    for (option, value, range) in invalid {
        let stderr = run(&["--interface", "lo", &format!("{option}={value}")]);
        let expected = format!(": write a number from {range}\n");
        assert!(stderr.contains(&expected), "{option} {value}: {stderr}");
    }
    let stderr = run(&["--web.max-requests=many"]);
    assert!(
        stderr.contains(": write a whole number such as 40\n"),
        "{stderr}"
    );
    for jobs in ["0", "1025", "all"] {
        let stderr = run(&["analyze", &format!("--jobs={jobs}"), "x.pcap"]);
        let expected = ": write a number from 1 to 1024\n";
        assert!(stderr.contains(expected), "{jobs}: {stderr}");
    }
}

/// Every flow option rejects invalid values, live and in `analyze`.
#[test]
fn invalid_values_of_the_flow_options() {
    let wrong = [
        ("--max-flows", "0"),
        ("--max-flows", "many"),
        ("--max-idle-flows", "-1"),
        ("--flow-idle-timeout", "1 fortnight"),
        ("--hold-new-flows", "15"),
        ("--labels", "from,port"),
        ("--labels", "to,from,to"),
        ("--network", "192.0.2.0/24"),
        ("--network", "office=192.0.2.0"),
        ("--network", "office=192.0.2.1/24"),
        ("--network", "my office=192.0.2.0/24"),
        ("--network", "other=192.0.2.0/24"),
        ("--prefix-length", "public"),
        ("--prefix-length", "public=24/129"),
        ("--prefix-length", "office=24"),
        ("--hosts", "private,office"),
        ("--hosts", "private,shared,private"),
        ("--hosts", ""),
        ("--max-hosts", "-1"),
        ("--max-hosts", "50001"),
    ];
    let all: String = wrong
        .iter()
        .map(|(option, value)| {
            let value = format!("{option}={value}");
            let analyze = run(&["analyze", &value, "x.pcap"]);
            assert!(analyze.starts_with("status: 2\n"), "{analyze}");
            let live = run(&["--listen-port", "1", &value]);
            // The part that is the same for each option.
            live.split("\nFor more").next().unwrap().to_owned() + "\n"
        })
        .collect();
    assert_snapshot!(all);
}

#[test]
fn plain_with_a_listen_port() {
    assert_snapshot!(run(&["analyze", "--plain", "--port", "1", "x.pcap"]));
}

/// The option is refused with any value, because a one-shot run is never scraped.
#[test]
fn flow_hold_with_analyze() {
    let all = ["0", "15s", "x"].map(|time| run(&["analyze", "--hold-new-flows", time, "x.pcap"]));
    assert_eq!(all[0], all[1]);
    assert_eq!(all[1], all[2]);
    assert_snapshot!(all[0]);
}

#[test]
fn write_inner_with_conflicting_options() {
    let all = [
        run(&["analyze", "--write-inner", "-", "x.pcap"]),
        run(&["analyze", "--write-inner", "-", "--format=table", "x.pcap"]),
        run(&[
            "analyze",
            "--write-inner",
            "y.pcap",
            "--jobs",
            "2",
            "x.pcap",
        ]),
        run(&["analyze", "--write-inner", "y.pcap", "--plain", "x.pcap"]),
    ];
    assert_snapshot!(all.concat());
}

#[test]
fn contradictory_flow_options() {
    let networks = [
        "--network=a=192.0.2.0/24",
        "--network=b=192.0.2.0/24",
        "x.pcap",
    ];
    let lengths = [
        "--prefix-length=public=8",
        "--prefix-length=public=9",
        "x.pcap",
    ];
    let all = [networks, lengths].map(|options| run(&[&["analyze"], &options[..]].concat()));
    assert_snapshot!(all.concat());
}

#[test]
fn options_of_another_format() {
    let all = [
        &["--top", "5"][..],
        &["--every", "15s"],
        &["--every", "15s", "--format", "none"],
        &["--every", "1500ms", "--format", "openmetrics"],
        &["--format", "tables"],
    ]
    .map(|options| run(&[&["analyze"], options, &["x.pcap"]].concat()));
    let top =
        ["0", "10001"].map(|top| run(&["analyze", "--format", "table", "--top", top, "x.pcap"]));
    assert_snapshot!([&all[..], &top].concat().concat());
}
