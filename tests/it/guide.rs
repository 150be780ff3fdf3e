//! contrib/README.md: what it tells to ask is asked, and what it tells to configure is valid.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use crate::dashboard::{is_near, sum};
use crate::rules::{alerts, check_metrics, contrib};
use crate::support::tool;
use crate::traffic::{BYTES, OVERFLOW, PACKETS, SKIPPED, Scene};

fn guide() -> String {
    fs::read_to_string(contrib("README.md")).unwrap()
}

/// Its blocks of a language.
fn blocks(language: &str) -> Vec<String> {
    let (guide, begin) = (guide(), format!("```{language}\n"));
    let blocks = guide.split(&begin).skip(1);
    let blocks = blocks.map(|block| block.split_once("\n```").unwrap().0.to_owned());
    blocks.collect()
}

/// Those expressions that ask for what recording rules made, or not.
pub(crate) fn expressions(recorded: bool) -> impl Iterator<Item = String> {
    let blocks = blocks("promql").into_iter();
    blocks.filter(move |block| block.contains(":tzsp_") == recorded)
}

#[test]
fn what_the_guide_asks_is_answered() {
    let scene = Scene::new();
    let seconds = scene.seconds();
    let bits = |bytes: f64| bytes * 8.0 / seconds;
    // From private addresses: the first, third and fourth flow of a wave. To them: the second and
    // the third. To the internet: the first, and one without a place. From it: the second.
    let (from_private, to_private, to_public, from_public) = (11_100.0, 2800.0, 10_168.0, 2000.0);
    let expected = [
        bits(BYTES),
        PACKETS / seconds,
        bits(from_private),
        bits(to_private),
        bits(from_private + to_private),
        from_private,
        // With whom 192.168.88.50 talks: the first.
        bits(10_000.0),
        bits(to_public),
        bits(from_public),
        to_public / BYTES,
        // Who is new: four flows, and two protocols of those without a place.
        6.0,
        bits(BYTES),
        bits(BYTES),
        // Nothing was dropped, two frames were truncated, and the capture ran all the time.
        0.0,
        2.0 / seconds,
        0.0,
        SKIPPED / seconds,
        // All four places are taken.
        1.0,
        OVERFLOW / PACKETS,
        bits(BYTES),
    ];
    let expressions: Vec<_> = expressions(false).collect();
    assert_eq!(expressions.len(), expected.len());
    for (expression, expected) in expressions.iter().zip(expected) {
        check_metrics(expression);
        let ranges = ["[5m]", "[1h]", "[1d]"];
        let expression = ranges.iter().fold(expression.clone(), |expression, range| {
            expression.replace(range, &format!("[{}]", scene.range()))
        });
        let samples = scene.ask(&expression);
        assert!(!samples.is_empty(), "{expression}");
        let sum = sum(&samples);
        assert!(
            is_near(sum, expected),
            "{sum}, not {expected}: {expression}"
        );
    }

    // Two for each of six flows, of which the last two are `other`, for each of two routers, and for
    // each of five combinations of kinds and protocol; one for the listen port.
    let begin = "A scrape has 60 samples, 2 for each flow";
    assert!(guide().contains(begin), "{begin}");
    let samples = sum(&scene.ask("scrape_samples_scraped"));
    assert_eq!(samples, 60.0 + 2.0 * 6.0 + 2.0 * 2.0 + 2.0 * 5.0 + 1.0);
}

#[test]
fn what_the_guide_configures_is_valid() {
    let directory = TempDir::new().unwrap();
    for rules in ["recording.rules.yml", "alerts.rules.yml"] {
        let shipped = contrib("prometheus").join(rules);
        fs::copy(shipped, directory.path().join(rules)).unwrap();
    }
    let blocks = blocks("yaml");
    assert_eq!(blocks.len(), 3);
    for block in blocks {
        fs::write(directory.path().join("prometheus.yml"), block).unwrap();
        let mut promtool = Command::new("promtool");
        promtool.args(["check", "config", "prometheus.yml"]);
        tool(promtool.current_dir(directory.path()));
    }
}

#[test]
fn the_guide_lists_every_alert() {
    let guide = guide();
    let rows = guide.lines().filter(|line| line.starts_with("| `Tzsp"));
    let rows: Vec<_> = rows
        .map(|row| {
            let cells: Vec<_> = row.split(" | ").collect();
            let alert = cells[0].trim_matches(|letter| " |`".contains(letter));
            (alert.to_owned(), cells[2].trim_end_matches(" |").to_owned())
        })
        .collect();
    assert_eq!(rows, alerts());
}
