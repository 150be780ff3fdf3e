//! The guides to RouterOS and to trouble name what is there.

use std::fs;
use std::path::{Path, PathBuf};

use tzsp_packetstream_exporter::metrics;
use tzsp_packetstream_exporter::wire::Skipped;

use crate::support::program;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn guide(name: &str) -> String {
    fs::read_to_string(root().join("contrib").join(name)).unwrap()
}

/// Whatever stands between backticks.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The parts of a text that consist of these characters.
fn words(text: &str, is_part: impl Fn(char) -> bool) -> impl Iterator<Item = &str> {
    text.split(move |character| !is_part(character))
}

#[test]
fn every_metric_and_option_that_a_guide_names_is_there() {
    let families: Vec<_> = metrics::ALL.iter().map(|family| family.name).collect();
    let help = [&["--help"][..], &["analyze", "--help"]]
        .map(|arguments| program().args(arguments).output().unwrap().stdout);
    let help = String::from_utf8(help.concat()).unwrap();
    let options: Vec<_> = words(&help, |c| c.is_ascii_alphanumeric() || "-.".contains(c)).collect();
    let mut metrics = 0;
    let mut named = 0;
    for name in ["routeros.md", "troubleshooting.md"] {
        let guide = guide(name);
        for metric in words(&guide, |c| c.is_ascii_lowercase() || c == '_') {
            // The ends of patterns for grep, and the program's own name, are none.
            if metric.starts_with("tzsp_")
                && !["tzsp_", "tzsp_malformed", "tzsp_keepalive"].contains(&metric)
            {
                assert!(families.contains(&metric), "{name}: {metric}");
                metrics += 1;
            }
        }
        for option in code(&guide).filter(|code| code.starts_with("--")) {
            let option = option.split_whitespace().next().unwrap();
            assert!(options.contains(&option), "{name}: {option}");
            named += 1;
        }
    }
    assert!(metrics >= 10, "{metrics}");
    assert!(named >= 10, "{named}");
}

/// Text in quotes is what the log says.
#[test]
fn what_troubleshooting_quotes_is_what_the_program_says() {
    let sources = sources(&root().join("src"));
    let guide = guide("troubleshooting.md");
    let quotes: Vec<_> = guide.split('"').skip(1).step_by(2).collect();
    assert!(quotes.len() >= 8, "{quotes:?}");
    for quote in quotes {
        assert!(sources.contains(quote), "nothing says {quote:?}");
    }
}

/// All sources, with strings that go on in the next line put together.
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
fn reasons_are_named_as_they_are() {
    let reasons = Skipped::ALL.map(Skipped::label);
    let guide = guide("troubleshooting.md");
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
