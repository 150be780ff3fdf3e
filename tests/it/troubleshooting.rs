//! The guides name metrics, options, log lines and reasons that exist.

use std::fs;
use std::path::{Path, PathBuf};

use tzsp_packetstream_exporter::metrics;
use tzsp_packetstream_exporter::wire::Skipped;

use crate::readme::page;
use crate::support::program;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Code spans: the text between backticks.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The parts of a text that consist of these characters.
fn words(text: &str, is_part: impl Fn(char) -> bool) -> impl Iterator<Item = &str> {
    text.split(move |character| !is_part(character))
}

/// The pages that name metrics and options. The queries of docs/promql.md are tested by running them.
const PAGES: [&str; 13] = [
    "README.md",
    "SECURITY.md",
    "docs/analyze.md",
    "docs/geo.md",
    "docs/metrics.md",
    "docs/migrating.md",
    "docs/names.md",
    "docs/operating.md",
    "docs/options.md",
    "docs/routeros.md",
    "docs/series.md",
    "docs/troubleshooting.md",
    "docs/windows.md",
];

/// Options of cargo and of xtask that the pages name.
const OPTIONS_OF_OTHERS: [&str; 5] = ["--target", "--all", "--program", "--image", "--check"];

#[test]
fn every_metric_and_option_in_a_page_exists() {
    let families: Vec<_> = metrics::ALL.iter().map(|family| family.name).collect();
    let reasons = Skipped::ALL.map(Skipped::label);
    let help = [
        &["--help"][..],
        &["analyze", "--help"],
        &["healthcheck", "--help"],
    ]
    .map(|arguments| program().args(arguments).output().unwrap().stdout);
    let help = String::from_utf8(help.concat()).unwrap();
    let options: Vec<_> = words(&help, |c| c.is_ascii_alphanumeric() || "-.".contains(c)).collect();
    let mut metrics = 0;
    let mut named = 0;
    for name in PAGES {
        let page = page(name);
        for metric in words(&page, |c| c.is_ascii_lowercase() || c == '_') {
            // Beginnings of names in patterns, the program's name and reasons are not metrics.
            if metric.starts_with("tzsp_")
                && !metric.ends_with('_')
                && metric != "tzsp_packetstream_exporter"
                && !reasons.contains(&metric)
            {
                assert!(families.contains(&metric), "{name}: {metric}");
                metrics += 1;
            }
        }
        for option in code(&page).filter(|code| code.starts_with("--")) {
            let option = option.split_whitespace().next().unwrap();
            if OPTIONS_OF_OTHERS.contains(&option) {
                continue;
            }
            assert!(options.contains(&option), "{name}: {option}");
            named += 1;
        }
    }
    assert!(metrics >= 50, "{metrics}");
    assert!(named >= 50, "{named}");
}

/// Text in quotes is from the log.
#[test]
fn log_lines_quoted_in_troubleshooting_exist() {
    let sources = sources(&root().join("src"));
    let guide = page("docs/troubleshooting.md");
    let quotes: Vec<_> = guide.split('"').skip(1).step_by(2).collect();
    assert!(quotes.len() >= 8, "{quotes:?}");
    for quote in quotes {
        assert!(sources.contains(quote), "not in any source: {quote:?}");
    }
}

/// The text of all source files, with strings that span lines joined.
fn sources(folder: &Path) -> String {
    let mut text = String::new();
    let mut entries: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(entry) = entries.pop() {
        if entry.is_dir() {
            entries.extend(
                fs::read_dir(entry)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else {
            text += &fs::read_to_string(entry).unwrap();
        }
    }
    let lines: Vec<_> = text.split("\\\n").map(str::trim_start).collect();
    lines.concat()
}

#[test]
fn reasons_in_troubleshooting_exist() {
    let reasons = Skipped::ALL.map(Skipped::label);
    let guide = page("docs/troubleshooting.md");
    let table = guide.split("| `reason` |").nth(1).unwrap();
    let table = table.split("\n\n").next().unwrap();
    let named: Vec<_> = table
        .lines()
        .filter_map(|line| line.split('|').nth(1))
        .flat_map(code)
        .collect();
    assert!(named.len() >= 8, "{named:?}");
    for reason in named {
        assert!(reasons.contains(&reason), "{reason}");
    }
}
