//! contrib/grafana: a real Prometheus answers every query of the dashboard, and of the dashboard of
//! the .NET exporter, as Grafana would send it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;

use crate::rules::{check_metrics, contrib};
use crate::traffic::{
    BYTES, FRAMES, OVERFLOW, PACKETS, RECEIVED_BY_HOSTS, SENT_BY_HOSTS, SKIPPED, Sample, Scenario,
};

pub(crate) fn dashboard() -> Value {
    let text = fs::read_to_string(contrib("grafana/tzsp-traffic.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().unwrap()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

/// All panels except rows.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    let panels = list(dashboard, "panels").iter();
    panels.filter(|panel| panel["type"] != "row")
}

/// Values of `${name}` and `$name`.
pub(crate) type Variables = BTreeMap<String, String>;

/// Replaces variables by their values; an unknown variable fails. `$1` is a group in label_replace(),
/// which Grafana leaves as it is.
#[track_caller]
fn filled(expression: &str, variables: &Variables) -> String {
    let mut parts = expression.split('$');
    let mut filled = parts.next().unwrap().to_owned();
    for part in parts {
        let is_in_a_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let end = part.find(|letter| !is_in_a_name(letter));
        let (name, rest) = part.split_at(end.unwrap_or(part.len()));
        let group = format!("${name}");
        let value = variables.get(name).or((name == "1").then_some(&group));
        filled += value.unwrap_or_else(|| panic!("no variable {name} for {expression}"));
        filled += rest;
    }
    filled
}

/// A pattern for several values of a variable, as Grafana writes it into PromQL.
fn any_of(values: &[String]) -> String {
    let escaped: Vec<_> = values
        .iter()
        .map(|value| {
            let is_special = |letter| r"\$^*{}[]'+?.()|".contains(letter);
            value
                .chars()
                .map(|letter| match letter {
                    letter if is_special(letter) => format!(r"\\{letter}"),
                    letter => letter.to_string(),
                })
                .collect::<String>()
        })
        .collect();
    format!("({})", escaped.join("|"))
}

/// Variables that Grafana itself provides.
fn built_in(scene: &Scenario) -> Variables {
    ["__rate_interval", "__interval", "__range"]
        .map(|name| (name.to_owned(), scene.range()))
        .into()
}

/// The values of the variable `host`, of which Grafana takes the names out of a result.
const NAME_IN_RESULT: &str = "/host_name=\"([^\"]+)\"/";

/// Queries the values of a variable: `label_values(metric{...}, label)`, or `query_result(...)` for
/// names of hosts.
#[track_caller]
fn values(scene: &Scenario, query: &str, variables: &Variables) -> Vec<String> {
    let query = filled(query, variables);
    if let Some(expression) = query.strip_prefix("query_result(") {
        let samples = scene.ask(expression.strip_suffix(')').unwrap());
        let names = samples.iter().map(|(labels, _)| text(labels, "host_name"));
        return names.map(str::to_owned).collect();
    }
    let arguments = query.strip_prefix("label_values(").unwrap();
    let (of, label) = arguments.rsplit_once(", ").unwrap();
    let values = scene.values(label.strip_suffix(')').unwrap(), of);
    assert!(!values.is_empty(), "{query}");
    values
}

/// The variables of the dashboard, once with All selected and once with every value selected.
#[track_caller]
pub(crate) fn variables(dashboard: &Value, scene: &Scenario) -> [Variables; 2] {
    let (mut all, mut chosen) = (built_in(scene), built_in(scene));
    for variable in list(&dashboard["templating"], "list") {
        let name = text(variable, "name").to_owned();
        match text(variable, "type") {
            "datasource" => {}
            "custom" | "textbox" => {
                for variables in [&mut all, &mut chosen] {
                    variables.insert(name.clone(), text(&variable["current"], "value").to_owned());
                }
            }
            "query" => {
                let query = text(&variable["query"], "query");
                let values = values(scene, query, &all);
                chosen.insert(name.clone(), any_of(&values));
                all.insert(name, text(variable, "allValue").to_owned());
            }
            kind => panic!("{kind}"),
        }
    }
    [all, chosen]
}

pub(crate) fn sum(samples: &[Sample]) -> f64 {
    samples.iter().map(|(_, value)| value).sum()
}

/// Whether both are equal, except for rounding.
pub(crate) fn is_near(value: f64, expected: f64) -> bool {
    (value - expected).abs() <= expected.abs() * 1e-9
}

/// For each target of a panel, the sum over its series after one wave in this many seconds; `None` if
/// it differs from run to run.
fn expected(title: &str, seconds: f64) -> Vec<Option<f64>> {
    let bits = BYTES * 8.0 / seconds;
    let per_second = |count: f64| Some(count / seconds);
    match title {
        "Throughput"
        | "Throughput by type of destination and protocol"
        | "Throughput by direction"
        | "Throughput by exporter and listen port"
        | "Throughput of top sources"
        | "Throughput of top destinations"
        | "Throughput by sensor"
        | "Throughput to countries"
        | "Throughput from countries"
        | "Throughput to network operators"
        | "Throughput from network operators"
        | "Throughput by service" => vec![Some(bits)],
        "Packets" | "Packets by type of destination and protocol" | "Packets by sensor" => {
            vec![per_second(PACKETS)]
        }
        "Bytes in this time range" | "Top sources" | "Top destinations" | "Top conversations" => {
            vec![Some(BYTES)]
        }
        // Hosts are private addresses, with or without a slot for their flows: the first, third and
        // fourth flow of a wave, and the last two, are sent by them. The second, third and last are
        // sent to them.
        "Upload of hosts" => vec![Some(SENT_BY_HOSTS * 8.0 / seconds)],
        "Download of hosts" => vec![Some(RECEIVED_BY_HOSTS * 8.0 / seconds)],
        "Hosts in the last 24 hours" => vec![Some(RECEIVED_BY_HOSTS), Some(SENT_BY_HOSTS)],
        // From private addresses, of flows with a slot.
        "Upload of own devices" => vec![Some((10_000.0 + 800.0 + 300.0) * 8.0 / seconds)],
        "Download of own devices" => vec![Some((2000.0 + 800.0) * 8.0 / seconds)],
        "Average packet" => vec![Some(BYTES / PACKETS)],
        "Flows against the limit" | "Captures" | "Captures up" => vec![Some(1.0)],
        // Two are truncated.
        "Frames" => [FRAMES, PACKETS, SKIPPED, 2.0].map(per_second).to_vec(),
        "Skipped frames by reason" => vec![per_second(SKIPPED)],
        "Self-captured packets" => vec![per_second(1.0)],
        "Share of packets counted as other" => vec![Some(OVERFLOW / PACKETS)],
        "Dropped frames"
        | "Forgotten flows"
        | "Capture restarts"
        | "Time without a capture"
        | "Refused requests" => vec![Some(0.0)],
        // The demand is an estimate: of six flows, it errs once in a thousand times.
        "Flows" => vec![Some(4.0), Some(4.0), Some(0.0), None],
        "Time since the newest frame" | "Processor time" | "Memory" => vec![None],
        "Exporters" => vec![Some(1.0), None, Some(1.0)],
        title => panic!("what is right for {title:?}?"),
    }
}

#[test]
fn every_panel_shows_the_traffic_that_was_sent() {
    let scene = Scenario::new();
    let dashboard = dashboard();
    let variables = variables(&dashboard, &scene);
    for panel in panels(&dashboard) {
        let title = text(panel, "title");
        if title == RECORDED {
            continue;
        }
        let expected = expected(title, scene.seconds());
        assert_eq!(list(panel, "targets").len(), expected.len(), "{title}");
        for (target, expected) in list(panel, "targets").iter().zip(expected) {
            for variables in &variables {
                let expression = filled(text(target, "expr"), variables);
                let samples = scene.ask(&expression);
                assert!(!samples.is_empty(), "{title}: {expression}");
                let sum = sum(&samples);
                let is_right = match expected {
                    Some(expected) => is_near(sum, expected),
                    None => sum.is_finite() && sum >= 0.0,
                };
                assert!(is_right, "{title}: {sum}, not {expected:?}: {expression}");
            }
        }
    }
    for annotation in list(&dashboard["annotations"], "list") {
        if let Some(expression) = annotation["expr"].as_str() {
            assert_eq!(scene.ask(&filled(expression, &variables[0])).len(), 1);
        }
    }

    // Also in the right order.
    let target = |title| {
        let panel = panels(&dashboard).find(|panel| panel["title"] == title);
        let samples = scene.ask(&filled(
            text(&panel.unwrap()["targets"][0], "expr"),
            &variables[0],
        ));
        samples.into_iter()
    };
    let sources: Vec<_> = target("Top sources")
        .map(|(labels, bytes)| (text(&labels, "from").to_owned(), bytes))
        .collect();
    let expected = [
        ("192.168.88.50", 10_000.0),
        ("142.250.74.110", 2000.0),
        ("192.168.88.51", 1100.0),
        ("other", 228.0),
    ];
    assert_eq!(sources, expected.map(|(from, bytes)| (from.into(), bytes)));
    let mut sensors: Vec<_> = target("Packets by sensor")
        .map(|(labels, rate)| {
            let packets = (rate * scene.seconds()).round();
            (text(&labels, "sensor").to_owned(), packets)
        })
        .collect();
    sensors.sort_by(|one, other| one.0.cmp(&other.0));
    let expected = [("127.0.0.1", 15.0), ("127.0.0.2", 7.0), ("other", 3.0)];
    let expected = expected.map(|(sensor, packets)| (sensor.into(), packets));
    assert_eq!(sensors, expected);
}

/// The queries of dashboard 11609 on grafana.com, which belongs to the .NET exporter, verbatim.
#[test]
fn the_dashboard_of_the_dotnet_exporter_shows_the_traffic_that_was_sent() {
    let scene = Scenario::new();
    let bytes = "tzsp_observed_bytes_total";
    let mut variables = built_in(&scene);
    variables.insert("instances".into(), ".*".into());
    let of = format!("{bytes}{{instance =~ \"$instances\"}}");
    for label in ["from", "to", "protocol"] {
        let values = values(&scene, &format!("label_values({of}, {label})"), &variables);
        variables.insert(label.into(), any_of(&values));
    }
    let by = |labels: &str| {
        let expression = format!(
            "sum(irate({bytes}{{instance =~ \"$instances\", from =~ \"$from\", to =~ \"$to\", \
             protocol =~ \"$protocol\"}}[3m]) * 8) by ({labels})"
        );
        scene.ask(&filled(&expression, &variables))
    };
    for (labels, series) in [("to_type, protocol", 6), ("from", 4), ("to", 4)] {
        let samples = by(labels);
        assert_eq!(samples.len(), series, "{samples:?}");
        let bits = BYTES * 8.0 / scene.seconds();
        assert!(is_near(sum(&samples), bits), "{samples:?}");
    }
}

/// With a name for the local range, no address of the scene is `private`.
#[test]
fn own_devices_of_a_named_network_are_shown() {
    let scene = Scenario::with(&["--network", "office=192.168.0.0/16"]);
    let dashboard = dashboard();
    let mut variables = variables(&dashboard, &scene);
    let titles = ["Upload of own devices", "Download of own devices"];
    let shown = |variables: &Variables| {
        let own = panels(&dashboard).filter(|panel| titles.contains(&text(panel, "title")));
        let sums = own.map(|panel| {
            let expression = filled(text(&panel["targets"][0], "expr"), variables);
            let bits = sum(&scene.ask(&expression));
            (bits / 8.0 * scene.seconds()).round()
        });
        sums.collect::<Vec<_>>()
    };
    for variables in &mut variables {
        assert_eq!(shown(variables), [0.0, 0.0]);
        variables.insert("local".into(), "private|office".into());
        assert_eq!(shown(variables), [11_100.0, 2800.0]);
    }
}

/// The panel that reads an hourly recording rule, with a test of its own.
pub(crate) const RECORDED: &str = "Hosts this month";

/// The expressions of a panel with these variables.
#[track_caller]
pub(crate) fn expressions(dashboard: &Value, title: &str, variables: &Variables) -> Vec<String> {
    let panel = panels(dashboard).find(|panel| panel["title"] == title);
    let targets = list(panel.unwrap(), "targets").iter();
    let filled = |target| filled(text(target, "expr"), variables);
    targets.map(filled).collect()
}

const KINDS: [&str; 4] = ["timeseries", "stat", "bargauge", "table"];

#[test]
fn panels_have_titles_descriptions_units_and_legends() {
    let dashboard = dashboard();
    assert!(dashboard["schemaVersion"].as_u64() >= Some(39));
    // With an id, Grafana would take it for an existing dashboard.
    assert_eq!(dashboard["id"], Value::Null);
    let mut titles = BTreeSet::new();
    for panel in panels(&dashboard) {
        let title = text(panel, "title");
        assert!(titles.insert(title), "two panels {title}");
        assert!(KINDS.contains(&text(panel, "type")), "{title}");
        assert!(text(panel, "description").ends_with('.'), "{title}");
        assert_ne!(text(&panel["fieldConfig"]["defaults"], "unit"), "");
        for target in list(panel, "targets") {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
            check_metrics(text(target, "expr"));
            let legend = text(target, "legendFormat");
            for label in legend.split("{{").skip(1) {
                let label = label.split_once("}}").unwrap().0;
                let expression = text(target, "expr");
                assert!(expression.contains(label), "{title}: {label}");
            }
        }
    }
}

#[test]
fn panels_do_not_overlap_and_have_unique_ids() {
    let dashboard = dashboard();
    let mut ids = BTreeSet::new();
    let mut places = BTreeMap::new();
    for panel in list(&dashboard, "panels") {
        let title = text(panel, "title");
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        let [x, y, width, height] =
            ["x", "y", "w", "h"].map(|name| panel["gridPos"][name].as_u64().unwrap());
        assert!(x + width <= 24, "{title}");
        for place in (x..x + width).flat_map(|x| (y..y + height).map(move |y| (x, y))) {
            let other = places.insert(place, title);
            assert_eq!(other, None, "{title} at {place:?}");
        }
    }
}

#[test]
fn variables_are_defined_and_used() {
    let dashboard = dashboard();
    let variables = list(&dashboard["templating"], "list");
    let everything = dashboard.to_string();
    for variable in variables {
        let name = text(variable, "name");
        let is_used = |after: &str| everything.contains(&format!("${name}{after}"));
        let braced = everything.contains(&format!("${{{name}}}"));
        assert!(is_used("\\\"") || is_used(",") || braced, "{name}");
        if variable["type"] == "query" {
            assert_eq!(variable["multi"], true, "{name}");
            assert_eq!(variable["includeAll"], true, "{name}");
            if name == "host" {
                assert_eq!(variable["regex"], NAME_IN_RESULT);
            }
            // Also matches series without the label, which --labels may omit.
            assert_eq!(variable["allValue"], ".*", "{name}");
            check_metrics(text(&variable["query"], "query"));
        }
    }
}
