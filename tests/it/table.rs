//! `--format table`: rows, widths and colours.

use std::fs::File;
use std::io::Read;
use std::process::Stdio;

use insta::assert_snapshot;
use nix::pty::{Winsize, openpty};

use crate::formats::printed;
use crate::support::{PROGRAM, captures, command, file_name, program, testdata};

const TABLE: [&str; 2] = ["--format", "table"];

#[test]
fn top_shortens_each_table() {
    let options = [&TABLE[..], &["--top", "3"]].concat();
    assert_snapshot!(printed("address_class_edges_to.pcap", &options));
}

#[test]
fn addresses_folded_into_a_network_are_one_source() {
    let fold = [
        "--prefix-length",
        "public=0",
        "--network",
        "lab=198.51.100.0/24",
    ];
    let options = [&TABLE[..], &fold].concat();
    assert_snapshot!(printed("address_class_edges_from.pcap", &options));
}

#[test]
fn evicted_idle_flows_are_mentioned() {
    let leave = ["--max-flows", "1", "--flow-idle-timeout", "1ms"];
    let options = [&TABLE[..], &leave].concat();
    assert_snapshot!(printed("packets_of_one_flow_merge.pcap", &options));
}

/// The sum of a column equals that of the text format: 53 packets of 40 bytes.
#[test]
fn all_rows_are_shown_if_they_fit() {
    let options = [&TABLE[..], &["--top", "53"]].concat();
    let text = printed("address_class_edges_to.pcap", &options);
    let flows = text
        .split("\n\n")
        .find(|part| part.starts_with("Top flows"));
    let rows = flows
        .unwrap()
        .lines()
        .filter(|line| line.contains(" 40 B "));
    assert_eq!(rows.count(), 53);
}

#[test]
fn no_line_of_a_table_is_wider_than_the_terminal() {
    for columns in ["40", "60", "80", "100"] {
        for capture in captures() {
            let mut command = program();
            command
                .args(["analyze", "--ipv6", "--format", "table"])
                .arg(&capture);
            let output = command.env("COLUMNS", columns).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            // Titles mention omitted columns, and may be wider.
            let rows = text
                .split("\n\n")
                .skip(1)
                .flat_map(|part| part.lines().skip(1));
            let width = rows
                .map(|row| row.chars().count())
                .max()
                .unwrap_or_default();
            assert!(
                width <= columns.parse().unwrap(),
                "{}\n{text}",
                file_name(&capture)
            );
        }
    }
}

#[test]
fn a_narrow_terminal_omits_the_least_useful_columns() {
    for columns in ["100", "72", "50"] {
        let mut command = program();
        command.current_dir(testdata()).env("COLUMNS", columns);
        command.args([
            "analyze",
            "--ipv6",
            "--format",
            "table",
            "labels_inside.pcap",
        ]);
        let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
        assert_snapshot!(format!("columns_{columns}"), text);
    }
}

#[test]
fn a_terminal_has_colours_and_a_width() {
    assert_snapshot!(on_a_terminal(72, &[]).replace('\x1b', "ESC"));
}

#[test]
fn no_color_means_no_colour() {
    let plain = on_a_terminal(72, &[("NO_COLOR", "1")]);
    assert!(!plain.contains('\x1b'), "{plain}");
    let coloured = on_a_terminal(72, &[]);
    assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
    assert_eq!(on_a_terminal(72, &[("TERM", "dumb")]), plain);
}

#[test]
fn the_columns_variable_overrides_the_terminal() {
    let columns = [("COLUMNS", "200"), ("NO_COLOR", "1")];
    let wide = on_a_terminal(50, &columns);
    assert_eq!(
        wide,
        printed("labels_inside.pcap", &["--ipv6", "--format", "table"])
    );
}

/// The output on a terminal of this width.
fn on_a_terminal(columns: u16, environment: &[(&str, &str)]) -> String {
    let size = Winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let terminal = openpty(Some(&size), None).unwrap();
    let mut command = command(PROGRAM);
    command
        .current_dir(testdata())
        .args([
            "analyze",
            "--ipv6",
            "--format",
            "table",
            "labels_inside.pcap",
        ])
        .env("TERM", "xterm")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(File::from(terminal.slave))
        .stderr(Stdio::null());
    // Each of these variables overrides the terminal's colours or width.
    for name in ["CI", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "NO_COLOR"] {
        if environment.iter().all(|(given, _)| *given != name) {
            command.env_remove(name);
        }
    }
    let mut child = command.spawn().unwrap();
    // The command holds the terminal open.
    drop(command);
    let mut shown = Vec::new();
    // On Linux, reading ends with an error once the other side is closed.
    let _ = File::from(terminal.master).read_to_end(&mut shown);
    assert!(child.wait().unwrap().success());
    String::from_utf8(shown).unwrap().replace("\r\n", "\n")
}
