//! docs/series.md: its numbers of series are those that its command counts.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::guide::blocks_of;
use crate::readme::page;
use crate::support::tool;

/// The numbers in the table were counted by another program from the packets of the capture.
#[test]
fn the_series_of_a_home_are_those_in_the_table() {
    let page = page("docs/series.md");
    let row = page.lines().find(|line| line.starts_with("| home |"));
    let cells = row.unwrap().trim_end_matches(" |").split(" | ").skip(2);
    let expected: Vec<_> = cells.collect();
    assert_eq!(expected.len(), 5);

    let directory = TempDir::new().unwrap();
    let capture = directory.path().join("home.pcap");
    let blocks = blocks_of(&page, "sh");
    let mut commands = blocks.iter().filter(|block| block.contains("home.pcap"));
    let commands = commands.next().unwrap();
    let commands = commands.replace("home.pcap", capture.to_str().unwrap());
    let programs = Path::new(env!("CARGO_BIN_EXE_tzsp_packetstream_exporter"));
    let programs = programs.parent().unwrap().display();
    let path = std::env::var("PATH").unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-e", "-c", &commands]);
    shell.current_dir(env!("CARGO_MANIFEST_DIR"));
    let counted = tool(shell.env("PATH", format!("{programs}:{path}")));
    assert_eq!(counted.lines().collect::<Vec<_>>(), expected);
}
