//! README.md, docs and SECURITY.md agree with the program.

use std::fs;
use std::path::Path;
use std::process::Command;

use tzsp_packetstream_exporter::metrics::{self, Refused};
use tzsp_packetstream_exporter::report::Explanation;
use tzsp_packetstream_exporter::wire::{Skipped, Truncated};

use crate::support::{program, tool};

pub(crate) fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

#[test]
fn help_is_quoted_as_it_is() {
    let options = page("docs/options.md");
    for arguments in [
        &["--help"][..],
        &["analyze", "--help"],
        &["healthcheck", "--help"],
    ] {
        let help = program().args(arguments).output().unwrap().stdout;
        // Markdown editors strip spaces at the end of lines.
        let help: String = String::from_utf8(help)
            .unwrap()
            .lines()
            .map(|line| line.trim_end().to_owned() + "\n")
            .collect();
        let command = arguments.join(" ");
        let block = format!("```text\n$ tzsp_packetstream_exporter {command}\n{help}```\n");
        assert!(
            options.contains(&block),
            "docs/options.md lacks this:\n{block}"
        );
    }
}

#[test]
fn the_readme_shows_a_scrape_as_it_is() {
    let capture = "testdata/packets_of_one_flow_merge.pcap";
    let mut analyze = Command::new(env!("CARGO_BIN_EXE_tzsp_packetstream_exporter"));
    analyze.args(["analyze", capture]);
    let printed = tool(analyze.current_dir(env!("CARGO_MANIFEST_DIR")));
    let readme = page("README.md");
    assert!(readme.contains(&format!("replay {capture} ")));
    let (_, scrape) = readme.split_once("```text\n# TYPE").unwrap();
    let (scrape, _) = scrape.split_once("```\n").unwrap();
    let samples: Vec<_> = scrape.lines().skip(1).collect();
    assert_eq!(samples.len(), 2);
    for sample in samples {
        assert!(printed.lines().any(|line| line == sample), "{sample}");
    }
}

/// A command that is copied from a page prints what the page shows.
#[test]
fn commands_on_test_captures_print_what_is_quoted() {
    let analyze = page("docs/analyze.md");
    let blocks = analyze.split("```text\n$ ").skip(1);
    let blocks = blocks.map(|block| block.split_once("```\n").unwrap().0);
    let blocks: Vec<_> = blocks.filter(|block| block.contains("testdata/")).collect();
    assert_eq!(blocks.len(), 2);
    let programs = Path::new(env!("CARGO_BIN_EXE_tzsp_packetstream_exporter"));
    let programs = programs.parent().unwrap().display();
    for block in blocks {
        // Indented lines belong to the command.
        let length = block.find("\n    ").map_or(0, |first| first + 1);
        let length = length + block[length..].find('\n').unwrap();
        let (command, quoted) = block.split_at(length);
        let mut shell = Command::new("sh");
        shell
            .args(["-c", command])
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        let path = std::env::var("PATH").unwrap();
        shell.env("PATH", format!("{programs}:{path}"));
        shell.env_remove("COLUMNS").env_remove("CLICOLOR_FORCE");
        assert_eq!(
            tool(&mut shell),
            quoted.trim_start_matches('\n'),
            "{command}"
        );
    }
}

#[test]
fn the_table_of_metrics_is_complete() {
    let table: String = metrics::ALL
        .map(|family| {
            format!(
                "| `{}` | {} | {} | {} |\n",
                family.name,
                family.kind.name(),
                family.labels.join(", "),
                family.help
            )
        })
        .concat();
    let table = format!("| metric | type | labels | meaning |\n|---|---|---|---|\n{table}\n");
    let metrics = page("docs/metrics.md");
    assert!(
        metrics.contains(&table),
        "docs/metrics.md lacks this:\n{table}"
    );
}

#[test]
fn every_reason_and_cause_is_explained() {
    let metrics = page("docs/metrics.md");
    let security = page("SECURITY.md");
    let reasons = Skipped::ALL.map(|reason| {
        let Explanation { meaning, remedy } = Explanation::of(reason);
        let remedy = remedy.unwrap_or("nothing: ordinary");
        format!("| `{}` | {meaning} | {remedy} |\n", reason.label())
    });
    let reasons = reasons.concat();
    assert!(
        metrics.contains(&reasons),
        "docs/metrics.md lacks this:\n{reasons}"
    );
    for reason in Refused::ALL {
        let row = format!("| `{}` |", reason.label());
        assert!(security.contains(&row), "{row}");
    }
    for cause in Truncated::ALL {
        // Wherever the line breaks.
        let explained = format!("`{}` (", cause.label());
        assert!(words(&metrics).contains(&explained), "{explained}");
    }
}

/// The text with single spaces, so that it does not matter where lines break.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
