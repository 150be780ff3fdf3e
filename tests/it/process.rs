//! The `process_` metrics, compared with /proc.

use std::fs;

use crate::scrape::Scrape;
use crate::support::{Exporter, LaunchOptions, eventually, testdata};
use tzsp_packetstream_exporter::metrics;

/// A field of /proc/PID/stat by its number in proc_pid_stat(5), from 3 on.
fn stat(exporter: &Exporter<'_>, number: usize) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", exporter.pid())).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let field = fields.split(' ').nth(number - 3).unwrap();
    field.parse().unwrap()
}

/// Hundredths of a second: USER_HZ is 100 on Linux.
fn ticks(exporter: &Exporter<'_>) -> u64 {
    stat(exporter, 14) + stat(exporter, 15)
}

#[test]
fn time_on_the_processor_is_counted_in_hundredths_of_a_second() {
    let exporter = Exporter::start(&["--listen-port", "0"]);
    // Each scrape takes some processor time.
    let seconds = eventually("part of a second", || {
        let before = ticks(&exporter);
        let seconds = exporter.scrape().value("process_cpu_seconds_total");
        let (hundredths, after) = (seconds * 100.0, ticks(&exporter));
        assert!((hundredths - hundredths.round()).abs() < 1e-6, "{seconds}");
        assert!(before as f64 <= hundredths.round(), "{before} {seconds}");
        assert!(hundredths.round() <= after as f64, "{seconds} {after}");
        (hundredths.round() % 100.0 != 0.0).then_some(seconds)
    });
    assert!(seconds > 0.0);
}

#[test]
fn the_start_time_is_exact_to_the_hundredth_of_a_second() {
    let exporter = Exporter::start(&["--listen-port", "0"]);
    let kernel = fs::read_to_string("/proc/stat").unwrap();
    let boot = kernel.lines().find_map(|line| line.strip_prefix("btime "));
    let boot: f64 = boot.unwrap().parse().unwrap();
    let started = boot + stat(&exporter, 22) as f64 / 100.0;
    let in_scrape = exporter.scrape().value("process_start_time_seconds");
    assert!((in_scrape - started).abs() < 0.001, "{in_scrape} {started}");
}

#[test]
fn limits_and_memory_are_those_of_the_process() {
    let launch = LaunchOptions {
        wrapper: &["prlimit", "--nofile=777:999", "--as=8589934592:unlimited"],
        ..LaunchOptions::default()
    };
    let exporter = Exporter::start_with(&launch, &["--listen-port", "0"]);
    let scrape = exporter.scrape();
    assert_eq!(scrape.value("process_max_fds"), 777.0);
    let most = scrape.value("process_virtual_memory_max_bytes");
    assert_eq!(most, 8_589_934_592.0);
    // The value changes with each new thread.
    let virtual_memory = eventually("the same memory", || {
        let in_scrape = exporter.scrape().value("process_virtual_memory_bytes");
        (in_scrape == stat(&exporter, 23) as f64).then_some(in_scrape)
    });
    let resident = scrape.value("process_resident_memory_bytes");
    assert!(resident > 0.0 && resident < virtual_memory);
    let open = fs::read_dir(format!("/proc/{}/fd", exporter.pid())).unwrap();
    // The connection of the last scrape may still be open.
    let difference = scrape.value("process_open_fds") - open.count() as f64;
    assert!(difference.abs() <= 4.0, "{difference}");

    let unlimited = Exporter::start(&["--listen-port", "0"]).scrape();
    let most = unlimited.value("process_virtual_memory_max_bytes");
    // 2^64 - 1 for "unlimited", as in client_golang.
    assert_eq!(most, 18_446_744_073_709_551_615.0);
}

#[test]
fn network_bytes_are_those_of_the_network_namespace() {
    let exporter = Exporter::start(&["--listen-port", "0"]);
    let octets = |name: &str| {
        let path = format!("/proc/{}/net/netstat", exporter.pid());
        let text = fs::read_to_string(path).unwrap();
        let mut lines = text.lines().filter(|line| line.starts_with("IpExt:"));
        let names = lines.next().unwrap().split(' ');
        let values: Vec<_> = lines.next().unwrap().split(' ').collect();
        let (_, value) = names.zip(values).find(|(other, _)| *other == name).unwrap();
        value.parse::<f64>().unwrap()
    };
    for (metric, name) in [
        ("process_network_receive_bytes_total", "InOctets"),
        ("process_network_transmit_bytes_total", "OutOctets"),
    ] {
        let before = octets(name);
        let in_scrape = exporter.scrape().value(metric);
        assert!(before > 0.0 && before <= in_scrape, "{before} {in_scrape}");
        assert!(in_scrape <= octets(name), "{in_scrape}");
    }
}

#[test]
fn a_scrape_has_exactly_the_metrics_of_the_catalog() {
    let types = |arguments: &[&str]| {
        let arguments = [&["--listen-port", "0"], arguments].concat();
        let mut exporter = Exporter::start(&arguments);
        let port = exporter.udp_port();
        crate::live::send(port, &crate::live::DATAGRAM);
        let scrape = exporter.scrape_until("a flow", |scrape| scrape.value("tzsp_flows") == 1.0);
        types(&scrape)
    };
    let mut expected: Vec<_> = metrics::ALL
        .map(|family| format!("{} {}", family.name, family.kind.name()))
        .into();
    expected.sort();
    let operators = testdata().join("operators.mmdb");
    let databases = ["--geo-database", operators.to_str().unwrap()];
    let labels = ["--labels", "from,to,to_asn"];
    assert_eq!(
        types(&[&["--names", "dhcp"][..], &databases, &labels].concat()),
        expected
    );

    // Those of names and databases are there only with a source of names, or a database. Those of
    // operators need their label.
    let of_lookups = [
        "tzsp_geo_database_build_timestamp_seconds",
        "tzsp_geo_database_failures_total",
        "tzsp_geo_database_size_bytes",
        "tzsp_host_info",
        "tzsp_from_info",
        "tzsp_to_info",
        "tzsp_names",
        "tzsp_names_failures_total",
        "tzsp_operators",
        "tzsp_operators_limit",
    ];
    expected.retain(|family| {
        let (name, _) = family.split_once(' ').unwrap();
        !of_lookups.contains(&name)
    });
    assert_eq!(types(&[]), expected);
}

/// Names and types, sorted.
fn types(scrape: &Scrape) -> Vec<String> {
    let lines = scrape.text.lines();
    let mut types: Vec<_> = lines
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(str::to_owned)
        .collect();
    types.sort();
    types
}
