//! Queries for hosts and their names, in contrib/grafana and docs/promql.md, on series with known
//! numbers: renamed hosts, hosts that have gone, hosts without a name, and restarts.

use crate::dashboard::{RECORDED, Variables, dashboard, expressions, variables};
use crate::guide::{check_query_at, recipe, recipes};
use crate::traffic::Scenario;

/// A series of bytes of a host.
fn host_bytes(instance: &str, host: &str, direction: &str) -> String {
    format!(
        "tzsp_host_bytes_total{{job=\"tzsp\", instance=\"{instance}\", host=\"{host}\", \
         direction=\"{direction}\", peer_type=\"public\"}}"
    )
}

/// The series of the name of a host.
fn host_name(instance: &str, host: &str, name: &str) -> String {
    format!(
        "tzsp_host_info{{job=\"tzsp\", instance=\"{instance}\", host=\"{host}\", \
         host_name=\"{name}\"}}"
    )
}

/// Fills in variables as for all jobs and exporters, with this host and time range.
fn of_host(host: &str, range: &str) -> Variables {
    let values = [
        ("job", ".*"),
        ("instance", ".*"),
        ("top", "10"),
        ("host", host),
        ("__range", range),
        ("__rate_interval", range),
    ];
    let values = values.map(|(name, value)| (name.to_owned(), value.to_owned()));
    values.into()
}

/// 12 MB in 5 minutes are 320 kbit/s, and 288 MB in two hours. The first host is renamed after half
/// of the time, the second has gone for a quarter of an hour, and the third has no name.
fn hosts_of_two_hours() -> Vec<(String, &'static str)> {
    vec![
        (host_bytes("a", "10.0.0.1", "received"), "0+12000000x24"),
        (host_bytes("a", "10.0.0.1", "sent"), "0+1200x24"),
        (host_name("a", "10.0.0.1", "laptop"), "1x11 stale"),
        (host_name("a", "10.0.0.1", "tablet"), "_x12 1x12"),
        (host_bytes("a", "10.0.0.2", "received"), "0+1200x21 stale"),
        (host_name("a", "10.0.0.2", "phone"), "1x21 stale"),
        (host_bytes("b", "10.0.0.1", "received"), "0+120x24"),
    ]
}

#[test]
fn hosts_are_shown_by_name_and_those_without_one_by_address() {
    let dashboard = dashboard();
    let series = hosts_of_two_hours();
    let check = |title: &str, target: usize, host: &str, expected: &[(&str, f64)]| {
        let range = if title.contains("24") { "2h" } else { "10m" };
        let query = &expressions(&dashboard, title, &of_host(host, range))[target];
        let query = format!("round({query}, 0.1)");
        check_query_at("2h", "5m", &query, &series, expected);
    };
    let tablet = "host=\"10.0.0.1\", host_name=\"tablet\"";
    let phone = "host=\"10.0.0.2\", host_name=\"phone\"";
    let unnamed = "host=\"10.0.0.1\", host_name=\"10.0.0.1\"";
    let hosts = "Hosts in the last 24 hours";
    // The phone received for 105 minutes, to which increase() adds half an interval.
    let all = [(tablet, 288e6), (phone, 25_800.0), (unnamed, 2880.0)];
    check(hosts, 0, ".*", &all);
    check(hosts, 1, ".*", &[(tablet, 28_800.0)]);
    // Chosen by a name, by an earlier one, and by the address of one without a name.
    check(hosts, 0, "(phone)", &all[1..2]);
    check(hosts, 0, "(10\\\\.0\\\\.0\\\\.1)", &all[2..]);

    let of =
        |labels: &str, instance: &str| format!("job=\"tzsp\", instance=\"{instance}\", {labels}");
    let rates = [(of(tablet, "a"), 320_000.0), (of(unnamed, "b"), 3.2)];
    let rates: Vec<_> = rates
        .iter()
        .map(|(labels, rate)| (&**labels, *rate))
        .collect();
    check("Download of hosts", 0, ".*", &rates);
    check("Download of hosts", 0, "(tablet|phone)", &rates[..1]);
    let sent = of(tablet, "a");
    check("Upload of hosts", 0, ".*", &[(&sent, 32.0)]);
}

/// The same with a real exporter. The laptop, 192.168.88.50, receives the second and the third flow of
/// a wave, 2,800 bytes; 192.168.88.10 receives 60 bytes and has no name.
#[test]
fn names_of_a_running_exporter_are_shown_and_can_be_chosen() {
    let scene = Scenario::with_names(&[]);
    let dashboard = dashboard();
    let title = "Hosts in the last 24 hours";
    let [mut all, chosen] = variables(&dashboard, &scene);
    let received = |variables: &Variables| {
        let samples = scene.ask(&expressions(&dashboard, title, variables)[0]);
        let rows = samples.into_iter().map(|(labels, bytes)| {
            let name = labels["host_name"].as_str().unwrap().to_owned();
            (name, bytes.round())
        });
        let mut rows: Vec<_> = rows.collect();
        rows.sort_by(|one, other| one.0.cmp(&other.0));
        rows
    };
    let expected = [("192.168.88.10", 60.0), ("laptop", 2800.0)];
    let expected = expected.map(|(name, bytes)| (name.to_owned(), bytes));
    assert_eq!(received(&all), expected);
    assert_eq!(received(&chosen), expected);
    assert!(chosen["host"].contains("laptop"), "{}", chosen["host"]);
    all.insert("host".into(), "(laptop)".into());
    assert_eq!(received(&all), expected[1..]);
}

/// 144 MB an hour. The rename happens between the 12th and the 13th hour.
#[test]
fn the_table_of_the_month_sums_what_was_recorded() {
    let series = [
        (host_bytes("a", "10.0.0.1", "received"), "0+12000000x400"),
        (host_bytes("a", "10.0.0.1", "sent"), "0+120000x400"),
        (host_name("a", "10.0.0.1", "laptop"), "1x145 stale"),
        (host_name("a", "10.0.0.1", "tablet"), "_x146 1x400"),
    ];
    let dashboard = dashboard();
    let check = |host: &str, target: usize, expected: &[(&str, f64)]| {
        let query = &expressions(&dashboard, RECORDED, &of_host(host, "30d"))[target];
        check_query_at("24h30m", "1h", query, &series, expected);
    };
    let (laptop, tablet) = ("host_name=\"laptop\"", "host_name=\"tablet\"");
    // The rule at 0:00 has no hour to sum up.
    check(".*", 0, &[(laptop, 12.0 * 144e6), (tablet, 12.0 * 144e6)]);
    check("(tablet)", 0, &[(tablet, 12.0 * 144e6)]);
    check(".*", 1, &[(laptop, 12.0 * 144e4), (tablet, 12.0 * 144e4)]);
}

/// 12 MB in 5 minutes are 144 MB an hour, and 3.456 GB a day. The laptop returns its address after
/// 15 days (4,320 intervals), and the tablet gets it; the exporter was restarted then.
#[test]
fn gigabytes_follow_names_and_survive_restarts() {
    let series = [
        (
            host_bytes("a", "10.0.0.1", "received"),
            "0+12000000x4319 0+12000000x4400",
        ),
        (host_bytes("a", "10.0.0.1", "sent"), "0+120000x8719"),
        (host_name("a", "10.0.0.1", "laptop"), "1x4319 stale"),
        (host_name("a", "10.0.0.1", "tablet"), "_x4320 1x4400"),
        (host_bytes("b", "10.0.0.1", "received"), "0+60000x8719"),
    ];
    let recipes = recipes("**How many gigabytes did each device use?**");
    let (day, month) = (&recipes[0], &recipes[1]);
    let tablet = ("direction=\"received\", host_name=\"tablet\"", 3.456);
    let sent = ("direction=\"sent\", host_name=\"tablet\"", 0.034_56);
    let unnamed = ("direction=\"received\", host_name=\"10.0.0.1\"", 0.017_28);
    let check = |time: &str, query: &str, expected: &[(&str, f64)]| {
        check_query_at(time, "1h", query, &series, expected);
    };
    check("721h30m", day, &[tablet, sent, unnamed]);
    // 360 hours each; the restart costs one of 12 intervals of an hour.
    let month_of = [
        ("direction=\"received\", host_name=\"laptop\"", 51.696),
        ("direction=\"received\", host_name=\"tablet\"", 51.972),
        ("direction=\"sent\", host_name=\"laptop\"", 0.516_96),
        ("direction=\"sent\", host_name=\"tablet\"", 0.519_84),
        ("direction=\"received\", host_name=\"10.0.0.1\"", 0.5184),
    ];
    check("720h30m", month, &month_of);
}

/// 3,000 bytes in 5 minutes are 80 bit/s.
#[test]
fn names_come_from_leases_of_mktxp() {
    let lease = |router: &str, address: &str, name: &str| {
        format!(
            "mktxp_dhcp_lease_info{{job=\"mktxp\", instance=\"m\", routerboard_name=\"{router}\", \
             routerboard_address=\"10.0.0.254\", active_address=\"{address}\", \
             address=\"{address}\", mac_address=\"02:00:00:00:00:01\", \
             active_mac_address=\"02:00:00:00:00:01\", client_id=\"\", comment=\"\", \
             server=\"defconf\", host_name=\"{name}\"}}"
        )
    };
    let series = [
        (host_bytes("a", "10.0.0.1", "received"), "0+3000x24"),
        (host_bytes("a", "10.0.0.2", "received"), "0+300x24"),
        (host_bytes("a", "10.0.0.3", "received"), "0+30x24"),
        (host_bytes("a", "other", "received"), "0+600x24"),
        // A fixed lease, which does not expire, and one that two routers know.
        (lease("r1", "10.0.0.1", "laptop"), "0x24"),
        (lease("r1", "10.0.0.2", "phone"), "600x24"),
        (lease("r2", "10.0.0.2", "phone"), "500x24"),
        // A device that sends no name, an unused lease, and one of a device without traffic.
        (lease("r1", "10.0.0.3", ""), "600x24"),
        (lease("r1", "", "gone"), "600x24"),
        (lease("r1", "10.0.0.9", "idle"), "600x24"),
    ];
    let query = recipe("**Names from mktxp.**").replace("[5m]", "[10m]");
    let expected = [
        ("host=\"10.0.0.1\", host_name=\"laptop\"", 80.0),
        ("host=\"other\", host_name=\"other\"", 16.0),
        ("host=\"10.0.0.2\", host_name=\"phone\"", 8.0),
        ("host=\"10.0.0.3\", host_name=\"10.0.0.3\"", 0.8),
    ];
    check_query_at("2h", "5m", &query, &series, &expected);
    // Two names for one address are no error: one of them is chosen.
    let second_name = (lease("r2", "10.0.0.1", "portable"), "500x24");
    let series = [&series[..], &[second_name]].concat();
    let count = format!("count({query})");
    check_query_at("2h", "5m", &count, &series, &[("", 4.0)]);
}
