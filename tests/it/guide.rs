//! docs/promql.md: its queries return what they promise, and its configurations are valid.

use std::fmt::Write;
use std::fs;
use std::process::Command;

use tempfile::TempDir;

use crate::dashboard::{is_near, sum};
use crate::home_assistant::HOME_ASSISTANT;
use crate::readme::page;
use crate::rules::{alerts, check_metrics, contrib};
use crate::support::tool;
use crate::traffic::{
    BYTES, OVERFLOW, PACKETS, RECEIVED_BY_HOSTS, SENT_BY_HOSTS, SKIPPED, Scenario,
};

fn guide() -> String {
    page("docs/promql.md")
}

/// Code blocks of a language in the guide.
pub(crate) fn blocks(language: &str) -> Vec<String> {
    blocks_of(&guide(), language)
}

/// Code blocks of a language in a page.
pub(crate) fn blocks_of(page: &str, language: &str) -> Vec<String> {
    let begin = format!("```{language}\n");
    let blocks = page.split(&begin).skip(1);
    let blocks = blocks.map(|block| block.split_once("\n```").unwrap().0.to_owned());
    blocks.collect()
}

/// Queries in the guide: either those of the recorded traffic, or those of the exporter's metrics.
pub(crate) fn expressions(recorded: bool) -> impl Iterator<Item = String> {
    let blocks = blocks("promql").into_iter();
    // Hosts of each hour, and names from elsewhere, have tests of their own.
    let blocks = blocks.filter(|block| !block.contains(":tzsp_host_") && !block.contains("mktxp_"));
    blocks.filter(move |block| block.contains(":tzsp_") == recorded)
}

#[test]
fn queries_of_the_guide_return_what_was_sent() {
    check_answers(&Scenario::with_names(&[]));
}

/// With a name for the local range, no address of the scene is `private`.
#[test]
fn queries_of_the_guide_work_with_a_named_network() {
    check_answers(&Scenario::with_names(&[
        "--network",
        "office=192.168.0.0/16",
    ]));
}

#[track_caller]
fn check_answers(scene: &Scenario) {
    let seconds = scene.seconds();
    let bits = |bytes: f64| bytes * 8.0 / seconds;
    // To the internet: the first flow of a wave, and one beyond the limit. From it: the second.
    let (to_public, from_public) = (10_168.0, 2000.0);
    let expected = [
        bits(BYTES),
        PACKETS / seconds,
        bits(RECEIVED_BY_HOSTS),
        bits(SENT_BY_HOSTS),
        to_public,
        // With whom 192.168.88.50 talks: it sends the first; the second and third are sent to it.
        bits(10_000.0 + 2000.0 + 800.0),
        bits(to_public),
        bits(from_public),
        to_public / BYTES,
        // Who is new: three flows of two own devices.
        3.0,
        bits(BYTES),
        bits(BYTES),
        // Nothing was dropped, two frames were truncated, and the capture ran all the time.
        0.0,
        2.0 / seconds,
        0.0,
        SKIPPED / seconds,
        // All four slots are in use.
        1.0,
        OVERFLOW / PACKETS,
        // By name: hosts, the flows with a slot and those without, and hosts again.
        bits(RECEIVED_BY_HOSTS),
        bits(BYTES),
        bits(RECEIVED_BY_HOSTS),
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

    // Two for each of six flows, of which the last two are `other`, for each of two routers, for each
    // of five combinations of types and protocol, and for each of eight of host, direction and type;
    // one for the listen port. The source of names adds two. Five hosts have a name, and so have
    // three sources and three destinations, beside `other`.
    let begin = "A scrape has 63 samples, 2 for each flow";
    assert!(guide().contains(begin), "{begin}");
    let samples = sum(&scene.ask("scrape_samples_scraped"));
    assert_eq!(
        samples,
        63.0 + 2.0 * (6.0 + 2.0 + 5.0 + 8.0) + 1.0 + 2.0 + 5.0 + 4.0 + 4.0
    );
}

/// The first query under a heading of the guide.
#[track_caller]
pub(crate) fn recipe(heading: &str) -> String {
    recipes(heading).swap_remove(0)
}

/// The queries of the guide from a heading on.
#[track_caller]
pub(crate) fn recipes(heading: &str) -> Vec<String> {
    let guide = guide();
    let (_, behind) = guide.split_once(heading).unwrap();
    let blocks = behind.split("```promql\n").skip(1);
    let blocks = blocks.map(|block| block.split_once("\n```").unwrap().0.to_owned());
    blocks.collect()
}

/// Runs a query on flows in promtool at 2 hours, with a sample of each flow every 5 minutes until
/// then.
#[track_caller]
fn check_query(query: &str, flows: &[(&str, &str)], expected: &[(&str, f64)]) {
    let series = flows
        .iter()
        .map(|(labels, values)| (format!("tzsp_observed_bytes_total{{{labels}}}"), *values));
    let series: Vec<_> = series.collect();
    check_query_at("2h", "5m", query, &series, expected);
}

/// Runs a query in promtool at this time, with a sample of each series every 5 minutes until then.
/// The recording rules are evaluated with this interval.
#[track_caller]
pub(crate) fn check_query_at(
    time: &str,
    evaluation_interval: &str,
    query: &str,
    series: &[(String, &str)],
    expected: &[(&str, f64)],
) {
    let rules = contrib("prometheus/recording.rules.yml");
    let mut test = format!(
        "rule_files: ['{}']\nevaluation_interval: {evaluation_interval}\ntests:\n\
         - interval: 5m\n  input_series:\n",
        rules.display()
    );
    for (series, values) in series {
        writeln!(test, "  - series: '{series}'\n    values: '{values}'").unwrap();
    }
    let query = query.replace('\n', "\n      ");
    writeln!(test, "  promql_expr_test:\n  - expr: |\n      {query}").unwrap();
    writeln!(test, "    eval_time: {time}\n    exp_samples:").unwrap();
    for (labels, value) in expected {
        writeln!(test, "    - labels: '{{{labels}}}'\n      value: {value}").unwrap();
    }
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("recipe.yml"), test).unwrap();
    let mut promtool = Command::new("promtool");
    promtool.args(["test", "rules", "recipe.yml"]);
    tool(promtool.current_dir(directory.path()));
}

/// Devices .1 to .4: the first is old and has a new flow, the second appeared in the last hour, the
/// third only received packets before, and the fourth has gone.
#[test]
fn a_new_device_is_one_without_earlier_flows() {
    let series = [
        (
            "from=\"10.0.0.1\", from_type=\"private\", to=\"8.8.8.8\", to_type=\"public\"",
            "1+1x24",
        ),
        (
            "from=\"10.0.0.1\", from_type=\"private\", to=\"9.9.9.9\", to_type=\"public\"",
            "_x20 1+1x3",
        ),
        (
            "from=\"10.0.0.2\", from_type=\"office\", to=\"8.8.8.8\", to_type=\"public\"",
            "_x16 1+1x7",
        ),
        (
            "from=\"10.0.0.2\", from_type=\"office\", to=\"9.9.9.9\", to_type=\"public\"",
            "_x20 1+1x3",
        ),
        (
            "from=\"8.8.4.4\", from_type=\"public\", to=\"10.0.0.3\", to_type=\"private\"",
            "1+1x24",
        ),
        (
            "from=\"10.0.0.3\", from_type=\"private\", to=\"8.8.4.4\", to_type=\"public\"",
            "_x20 1+1x3",
        ),
        (
            "from=\"10.0.0.4\", from_type=\"private\", to=\"8.8.8.8\", to_type=\"public\"",
            "1+1x3 stale",
        ),
        (
            "from=\"1.1.1.1\", from_type=\"public\", to=\"10.0.0.1\", to_type=\"private\"",
            "_x20 1+1x3",
        ),
    ];
    check_query(
        &recipe("**Which devices are new?**"),
        &series,
        &[("from=\"10.0.0.2\"", 2.0)],
    );
}

/// 300 bytes in 5 minutes are 1 byte a second; sent, received, and between two others.
#[test]
fn the_query_of_a_device_has_both_directions() {
    let series = [
        (
            "from=\"192.168.88.50\", to=\"8.8.8.8\", protocol=\"tcp\", listen_port=\"1\"",
            "0+300x24",
        ),
        (
            "from=\"192.168.88.50\", to=\"8.8.8.8\", protocol=\"tcp\", listen_port=\"2\"",
            "0+300x24",
        ),
        (
            "from=\"8.8.8.8\", to=\"192.168.88.50\", protocol=\"tcp\", listen_port=\"1\"",
            "0+3000x24",
        ),
        (
            "from=\"8.8.8.8\", to=\"192.168.88.51\", protocol=\"tcp\", listen_port=\"1\"",
            "0+9000x24",
        ),
    ];
    let query = recipe("**With whom does a device talk?**").replace("[5m]", "[10m]");
    let expected = [
        (
            "direction=\"sent\", peer=\"8.8.8.8\", protocol=\"tcp\"",
            16.0,
        ),
        (
            "direction=\"received\", peer=\"8.8.8.8\", protocol=\"tcp\"",
            80.0,
        ),
    ];
    check_query(&query, &series, &expected);
}

#[test]
fn configurations_in_the_guide_are_valid() {
    let directory = TempDir::new().unwrap();
    for rules in ["recording.rules.yml", "alerts.rules.yml"] {
        let shipped = contrib("prometheus").join(rules);
        fs::copy(shipped, directory.path().join(rules)).unwrap();
    }
    let mut blocks = blocks("yaml");
    blocks.retain(|block| !block.starts_with(HOME_ASSISTANT));
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
