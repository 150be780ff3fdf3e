//! contrib/prometheus: promtool tests the rules; these tests check that every rule is tested and
//! explained.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tzsp_packetstream_exporter::flow::Label;
use tzsp_packetstream_exporter::metrics;

use crate::support::tool;

#[derive(Deserialize)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    record: Option<String>,
    alert: Option<String>,
    expr: String,
    #[serde(default)]
    labels: Severity,
    #[serde(default)]
    annotations: Annotations,
}

#[derive(Deserialize, Default)]
struct Severity {
    #[serde(default)]
    severity: String,
}

#[derive(Deserialize, Default)]
struct Annotations {
    summary: String,
    description: String,
}

#[derive(Deserialize)]
struct RuleTests {
    tests: Vec<RuleTest>,
}

#[derive(Deserialize)]
struct RuleTest {
    #[serde(default)]
    alert_rule_test: Vec<AlertTest>,
    #[serde(default)]
    promql_expr_test: Vec<ExpressionTest>,
}

#[derive(Deserialize)]
struct AlertTest {
    alertname: String,
    #[serde(default)]
    exp_alerts: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct ExpressionTest {
    expr: String,
}

pub(crate) fn contrib(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("contrib")
        .join(path)
}

#[track_caller]
fn parsed<T: DeserializeOwned>(file: &str) -> T {
    let text = fs::read_to_string(contrib("prometheus").join(file)).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

fn rules(file: &str) -> Vec<Rule> {
    let rules: Rules = parsed(file);
    rules
        .groups
        .into_iter()
        .flat_map(|group| group.rules)
        .collect()
}

fn promtool(arguments: &[&str]) {
    let mut promtool = Command::new("promtool");
    tool(promtool.args(arguments).current_dir(contrib("prometheus")));
}

const RECORDING_TESTS: [&str; 2] = ["recording.test.yml", "hosts.test.yml"];

#[test]
fn configuration_and_rules_are_valid() {
    promtool(&["check", "config", "prometheus.yml"]);
    promtool(&["check", "rules", "recording.rules.yml", "alerts.rules.yml"]);
}

#[test]
fn rules_pass_their_promtool_tests() {
    promtool(&["test", "rules", "alerts.test.yml"]);
    promtool(&[&["test", "rules"], &RECORDING_TESTS[..]].concat());
}

#[test]
fn each_alert_is_tested_firing_and_silent() {
    let tests: RuleTests = parsed("alerts.test.yml");
    let tests = tests.tests.iter().flat_map(|test| &test.alert_rule_test);
    let (firing, silent): (Vec<_>, Vec<_>) = tests.partition(|test| !test.exp_alerts.is_empty());
    let names = |tests: Vec<&AlertTest>| -> BTreeSet<String> {
        tests.iter().map(|test| test.alertname.clone()).collect()
    };
    let alerts: BTreeSet<_> = alerts().into_iter().map(|(alert, _)| alert).collect();
    assert_eq!(names(firing), alerts);
    assert_eq!(names(silent), alerts);
}

#[test]
fn each_alert_has_a_severity_a_summary_and_a_description() {
    for rule in rules("alerts.rules.yml") {
        let alert = rule.alert.unwrap();
        assert!(alert.starts_with("Tzsp"), "{alert}");
        let severity = rule.labels.severity;
        assert!(["warning", "critical"].contains(&&*severity), "{alert}");
        assert!(rule.annotations.summary.ends_with('.'), "{alert}");
        assert!(rule.annotations.description.ends_with('.'), "{alert}");
    }
}

#[test]
fn each_recording_rule_is_tested() {
    let tests = RECORDING_TESTS.map(parsed::<RuleTests>);
    let tests = tests.iter().flat_map(|file| &file.tests);
    let tests = tests.flat_map(|test| &test.promql_expr_test);
    let tested: BTreeSet<_> = tests.flat_map(|test| metrics_in(&test.expr)).collect();
    assert_eq!(recorded(), tested);
}

#[test]
fn rules_use_metrics_that_exist() {
    for rule in ["recording.rules.yml", "alerts.rules.yml"]
        .into_iter()
        .flat_map(rules)
    {
        check_metrics(&rule.expr);
    }
}

/// A rule that forgets a label of flows records a series for each of its values.
#[test]
fn rules_on_flows_sum_up_every_label_that_is_not_in_their_name() {
    let is_on_flows = |rule: &Rule| rule.expr.contains("tzsp_observed_");
    for rule in rules("recording.rules.yml").into_iter().filter(is_on_flows) {
        let record = rule.record.unwrap();
        let (level, _) = record.split_once(':').unwrap();
        let kept: BTreeSet<_> = match level {
            "instance_from_to" => ["from", "to"].into(),
            level => [level.strip_prefix("instance_").unwrap()].into(),
        };
        let (_, behind) = rule.expr.split_once("without (").unwrap();
        let (list, _) = behind.split_once(')').unwrap();
        let summed: BTreeSet<_> = list.split(',').map(str::trim).collect();
        let labels = Label::ALL.map(Label::name);
        let labels = labels.into_iter().filter(|label| !kept.contains(label));
        assert_eq!(summed, labels.collect(), "{record}");
    }
}

/// The alerts and their severities.
pub(crate) fn alerts() -> Vec<(String, String)> {
    let rules = rules("alerts.rules.yml").into_iter();
    rules
        .map(|rule| (rule.alert.unwrap(), rule.labels.severity))
        .collect()
}

/// Names of the recorded series.
fn recorded() -> BTreeSet<String> {
    let rules = rules("recording.rules.yml").into_iter();
    rules.map(|rule| rule.record.unwrap()).collect()
}

/// Fails if an expression uses a metric that comes neither from the exporter nor from a recording rule.
#[track_caller]
pub(crate) fn check_metrics(expression: &str) {
    let metrics = metrics_in(expression);
    assert!(!metrics.is_empty(), "{expression}");
    let recorded = recorded();
    for metric in metrics {
        let exists = metrics::ALL.iter().any(|family| family.name == metric)
            || recorded.contains(&metric)
            || OTHERS.contains(&&*metric);
        assert!(exists, "{metric} in {expression}");
    }
}

/// Metrics that Prometheus itself adds to a target.
const OTHERS: [&str; 1] = ["up"];

/// The words of an expression that look like metrics of the exporter. Strings are ignored, except
/// those that select metrics by name.
pub(crate) fn metrics_in(expression: &str) -> BTreeSet<String> {
    let is_in_a_word = |letter: char| letter.is_ascii_alphanumeric() || "_:".contains(letter);
    let parts: Vec<_> = expression.split('"').collect();
    let is_code =
        |(index, _): &(usize, &&str)| index % 2 == 0 || parts[index - 1].ends_with("__name__=~");
    let code = parts.iter().enumerate().filter(is_code);
    code.flat_map(|(_, part)| part.split(|letter| !is_in_a_word(letter)))
        .filter(|word| word.contains("tzsp_") || word.starts_with("process_") || *word == "up")
        .map(str::to_owned)
        .collect()
}
