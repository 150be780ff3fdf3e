//! The README says what the program says.

use std::fs;
use std::path::Path;

use tzsp_packetstream_exporter::metrics::{self, Refused};
use tzsp_packetstream_exporter::wire::{Skipped, Truncated};

use crate::support::program;

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

#[test]
fn help_is_quoted_as_it_is() {
    for arguments in [&["--help"][..], &["analyze", "--help"]] {
        let help = program().args(arguments).output().unwrap().stdout;
        // Markdown editors strip spaces at the end of lines.
        let help: String = String::from_utf8(help)
            .unwrap()
            .lines()
            .map(|line| line.trim_end().to_owned() + "\n")
            .collect();
        let command = arguments.join(" ");
        let block = format!("```text\n$ tzsp_packetstream_exporter {command}\n{help}```\n");
        assert!(readme().contains(&block), "the README lacks this:\n{block}");
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
    assert!(readme().contains(&table), "the README lacks this:\n{table}");
}

#[test]
fn every_reason_and_cause_is_explained() {
    let readme = readme();
    for reason in Skipped::ALL {
        let row = format!("| `{}` |", reason.label());
        assert!(readme.contains(&row), "{row}");
    }
    for reason in Refused::ALL {
        let row = format!("| `{}` |", reason.label());
        assert!(readme.contains(&row), "{row}");
    }
    for cause in Truncated::ALL {
        // Wherever the line breaks.
        let explained = format!("`{}` (", cause.label());
        assert!(words(&readme).contains(&explained), "{explained}");
    }
}

/// The text with single spaces, so that it does not matter where lines break.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
