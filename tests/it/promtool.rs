//! PromQL results over flows that appear, become idle and return. The flow table is scraped every
//! 15 seconds from 0 to 300, and promtool evaluates the expressions.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::process::Command;
use std::time::Duration;

use etherparse::IpNumber;
use tempfile::TempDir;
use tzsp_packetstream_exporter::aggregator::FrameCounts;
use tzsp_packetstream_exporter::flow::{FlowLimits, FlowTable, Shape};
use tzsp_packetstream_exporter::metrics::{self, Format};
use tzsp_packetstream_exporter::wire::Observation;

use crate::scrape::Scrape;

const INTERVAL: u64 = 15;
const END: u64 = 300;

const NO_LIMITS: FlowLimits = FlowLimits {
    flows: 1000,
    idle_flows: 1000,
    idle_timeout: Duration::ZERO,
    hold: Duration::ZERO,
    hide_unseen: false,
    hosts: 1000,
};

/// This many packets from 10.0.0.`host`, at a time in seconds.
struct Burst {
    at: u64,
    host: u8,
    packets: u32,
}

fn burst(at: u64, host: u8, packets: u32) -> Burst {
    Burst { at, host, packets }
}

fn packet(host: u8) -> Observation {
    Observation {
        source: [10, 0, 0, host].into(),
        destination: [192, 0, 2, 1].into(),
        protocol: IpNumber::TCP,
        listen_port: 37008,
        sensor: [192, 168, 88, 1].into(),
        ports: None,
        vlan: None,
        dscp: 0,
        bytes: 100,
        truncated: None,
    }
}

/// The values of each series of a family in promtool's notation: `_` before the first sample, and a
/// staleness marker when a series has disappeared.
fn scraped(limits: FlowLimits, bursts: &[Burst], family: &str) -> BTreeMap<String, Vec<String>> {
    let mut table = FlowTable::new(Shape::default(), limits);
    let mut series: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (index, at) in (0..=END / INTERVAL)
        .map(|scrape| scrape * INTERVAL)
        .enumerate()
    {
        let due = |burst: &&Burst| (at.saturating_sub(INTERVAL)..at).contains(&burst.at);
        for burst in bursts.iter().filter(due) {
            for _ in 0..burst.packets {
                let at = Duration::from_secs(burst.at);
                let mut packets = table.packets(1);
                packets.push(at, &packet(burst.host));
                table.record(&mut packets);
            }
        }
        let mut text = Vec::new();
        let snapshot = table.scrape(Duration::from_secs(at));
        table.delivered(Duration::from_secs(at));
        metrics::write_analysis(
            &mut text,
            Format::Text,
            snapshot,
            &FrameCounts::default(),
            None,
            1,
        )
        .unwrap();
        let scrape = Scrape::parse(&String::from_utf8(text).unwrap());
        for (labels, value) in scrape.family(family) {
            let values = series.entry(format!("{family}{labels}")).or_default();
            values.resize(index, "_".to_owned());
            values.push(value.to_string());
        }
        for values in series.values_mut() {
            if values.len() == index {
                let was_there = values.last().is_some_and(|last| last != "_");
                values.push(if was_there { "stale" } else { "_" }.to_owned());
            }
        }
    }
    series
}

/// Evaluates expressions at the last scrape, and checks that each has this one value without
/// labels.
#[track_caller]
fn check(limits: FlowLimits, bursts: &[Burst], expected: &[(&str, f64)]) {
    let mut rules = String::from("evaluation_interval: 15s\ntests:\n- interval: 15s\n");
    rules.push_str("  input_series:\n");
    let family = "tzsp_observed_packets_total";
    for (series, values) in scraped(limits, bursts, family) {
        let values = values.join(" ");
        writeln!(rules, "  - series: '{series}'\n    values: '{values}'").unwrap();
    }
    rules.push_str("  promql_expr_test:\n");
    for (expression, value) in expected {
        let expression = expression.replace("PACKETS", family);
        writeln!(
            rules,
            "  - expr: 'sum({expression})'\n    eval_time: {END}s\n    exp_samples:\n    \
             - labels: '{{}}'\n      value: {value}"
        )
        .unwrap();
    }
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("flows.yml"), &rules).unwrap();
    let mut promtool = Command::new("promtool");
    promtool.args(["test", "rules", "flows.yml"]);
    let output = promtool.current_dir(directory.path()).output();
    let output = output.expect("promtool is missing; `cargo xtask ci` installs it");
    let output_text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{output_text}\n{rules}");
}

const HELD: FlowLimits = FlowLimits {
    hold: Duration::from_secs(INTERVAL),
    ..NO_LIMITS
};

#[test]
fn a_short_flow_is_invisible_unless_it_is_held() {
    let bursts = [burst(33, 1, 10)];
    check(NO_LIMITS, &bursts, &[("increase(PACKETS[5m])", 0.0)]);
    check(HELD, &bursts, &[("increase(PACKETS[5m])", 10.0)]);
}

#[test]
fn a_held_flow_is_exact_for_each_scraper_that_is_fast_enough() {
    let bursts = [
        burst(31, 1, 10),
        burst(44, 1, 3),
        burst(52, 1, 7),
        burst(200, 1, 4),
    ];
    let limits = FlowLimits {
        hold: Duration::from_secs(2 * INTERVAL),
        ..NO_LIMITS
    };
    check(HELD, &bursts, &[("increase(PACKETS[5m])", 24.0)]);
    check(limits, &bursts, &[("increase(PACKETS[5m])", 24.0)]);
}

const LEAVING: FlowLimits = FlowLimits {
    idle_timeout: Duration::from_mins(1),
    ..HELD
};

#[test]
fn a_returning_flow_continues_its_counter() {
    let bursts = [burst(5, 1, 10), burst(250, 1, 15)];
    let expected = [
        ("PACKETS", 25.0),
        ("resets(PACKETS[5m])", 0.0),
        ("increase(PACKETS[5m])", 25.0),
        // The series was absent in between.
        ("count_over_time(PACKETS[5m]) < bool 20", 1.0),
    ];
    check(LEAVING, &bursts, &expected);
}

#[test]
fn a_forgotten_flow_starts_again() {
    let forgetful = FlowLimits {
        idle_flows: 0,
        ..LEAVING
    };
    let bursts = [burst(5, 1, 10), burst(250, 1, 15)];
    let expected = [
        ("PACKETS", 15.0),
        ("resets(PACKETS[5m])", 1.0),
        ("increase(PACKETS[5m])", 25.0),
    ];
    check(forgetful, &bursts, &expected);
}

#[test]
fn sums_stay_exact_when_flows_find_no_slot() {
    let narrow = FlowLimits { flows: 1, ..HELD };
    let bursts = [
        burst(20, 1, 1),
        burst(21, 2, 20),
        burst(70, 3, 300),
        burst(120, 1, 4000),
        burst(130, 2, 50_000),
    ];
    let expected = [
        ("PACKETS", 54_321.0),
        ("increase(PACKETS[5m])", 54_321.0),
        (
            "increase(PACKETS{from=\"other\",to_type=\"other\"}[5m])",
            50_320.0,
        ),
        ("PACKETS{from=\"10.0.0.1\"}", 4001.0),
    ];
    check(narrow, &bursts, &expected);
}

#[test]
fn a_flow_that_lost_its_slot_to_others_loses_no_packets() {
    let narrow = FlowLimits {
        flows: 1,
        ..LEAVING
    };
    // Flow 1 is evicted before flow 2 appears, and finds no free slot when it returns.
    let bursts = [burst(5, 1, 7), burst(250, 2, 11), burst(256, 1, 13)];
    let expected = [
        ("last_over_time(PACKETS[5m])", 31.0),
        ("resets(PACKETS[5m])", 0.0),
        ("increase(PACKETS[2m])", 24.0),
    ];
    check(narrow, &bursts, &expected);
}
