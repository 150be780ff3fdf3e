//! The options for hosts, and what each output shows of them.

use insta::assert_snapshot;

use crate::formats::printed;
use crate::live::{DATAGRAM, send};
use crate::scrape::Scrape;
use crate::support::{Exporter, program, testdata};

const OFFICE: &str = "five_minutes_of_an_office.pcap";

/// What tshark finds in the same capture, summed up by host, with `-T fields -E occurrence=a -e ip.src
/// -e ip.dst -e ip.len`: the second address and length of each frame are those of the inner packet.
const HOSTS: &str = r#"{host="192.168.88.1",direction="sent",peer_type="private"} 600
{host="192.168.88.1",direction="sent",peer_type="public"} 420
{host="192.168.88.1",direction="received",peer_type="private"} 300
{host="192.168.88.1",direction="received",peer_type="public"} 420
{host="192.168.88.10",direction="received",peer_type="private"} 42000
{host="192.168.88.50",direction="sent",peer_type="private"} 300
{host="192.168.88.50",direction="sent",peer_type="public"} 1560
{host="192.168.88.50",direction="received",peer_type="private"} 600
{host="192.168.88.50",direction="received",peer_type="reserved"} 40
{host="192.168.88.50",direction="received",peer_type="public"} 84000
{host="192.168.88.51",direction="sent",peer_type="private"} 42000
{host="192.168.88.53",direction="sent",peer_type="multicast"} 600
"#;

/// The samples of one family that `analyze` prints for the office.
fn bytes(options: &[&str]) -> String {
    let text = printed(OFFICE, options);
    let family = "tzsp_host_bytes_total";
    let samples = text.lines().filter_map(|line| line.strip_prefix(family));
    samples.map(|sample| format!("{sample}\n")).collect()
}

#[test]
fn hosts_sent_and_received_what_tshark_finds() {
    assert_eq!(bytes(&[]), HOSTS);
}

/// All flows are beyond the limit, merged, or shortened. Hosts are the same.
#[test]
fn hosts_do_not_depend_on_labels_limits_and_prefix_lengths_of_flows() {
    for options in [
        &["--labels", "protocol"][..],
        &["--labels", "from_type,to_type,protocol,listen_port"],
        &["--max-flows", "1"],
        &["--prefix-length", "private=0"],
        &["--prefix-length", "public=0"],
        &["--jobs", "2"],
    ] {
        assert_eq!(bytes(options), HOSTS, "{options:?}");
    }
}

#[test]
fn hosts_are_those_of_the_chosen_classes_and_networks() {
    let network = ["--network", "desks=192.168.88.50/31"];
    // By default also those of a network in private address space.
    assert_eq!(
        bytes(&network),
        r#"{host="192.168.88.1",direction="sent",peer_type="public"} 420
{host="192.168.88.1",direction="sent",peer_type="desks"} 600
{host="192.168.88.1",direction="received",peer_type="public"} 420
{host="192.168.88.1",direction="received",peer_type="desks"} 300
{host="192.168.88.10",direction="received",peer_type="desks"} 42000
{host="192.168.88.50",direction="sent",peer_type="private"} 300
{host="192.168.88.50",direction="sent",peer_type="public"} 1560
{host="192.168.88.50",direction="received",peer_type="private"} 600
{host="192.168.88.50",direction="received",peer_type="reserved"} 40
{host="192.168.88.50",direction="received",peer_type="public"} 84000
{host="192.168.88.51",direction="sent",peer_type="private"} 42000
{host="192.168.88.53",direction="sent",peer_type="multicast"} 600
"#
    );
    assert_eq!(
        bytes(&["--hosts", "multicast"]),
        r#"{host="224.0.0.251",direction="received",peer_type="private"} 600
"#
    );
    let desks = [&network[..], &["--hosts", "desks"]].concat();
    assert_eq!(
        bytes(&desks),
        r#"{host="192.168.88.50",direction="sent",peer_type="private"} 300
{host="192.168.88.50",direction="sent",peer_type="public"} 1560
{host="192.168.88.50",direction="received",peer_type="private"} 600
{host="192.168.88.50",direction="received",peer_type="reserved"} 40
{host="192.168.88.50",direction="received",peer_type="public"} 84000
{host="192.168.88.51",direction="sent",peer_type="private"} 42000
"#
    );
}

#[test]
fn hosts_beyond_the_limit_are_other_and_a_warning_reports_it() {
    let mut command = program();
    command.current_dir(testdata());
    let output = command
        .args(["analyze", "--max-hosts", "2", OFFICE])
        .output()
        .unwrap();
    let scrape = Scrape::parse(&String::from_utf8(output.stdout).unwrap());
    scrape.assert_hosts_account_for_traffic(&["private"]);
    assert_eq!(
        bytes(&["--max-hosts", "2"]),
        r#"{host="192.168.88.1",direction="sent",peer_type="private"} 600
{host="192.168.88.1",direction="sent",peer_type="public"} 420
{host="192.168.88.1",direction="received",peer_type="private"} 300
{host="192.168.88.1",direction="received",peer_type="public"} 420
{host="192.168.88.50",direction="sent",peer_type="private"} 300
{host="192.168.88.50",direction="sent",peer_type="public"} 1560
{host="192.168.88.50",direction="received",peer_type="private"} 600
{host="192.168.88.50",direction="received",peer_type="reserved"} 40
{host="192.168.88.50",direction="received",peer_type="public"} 84000
{host="other",direction="sent",peer_type="private"} 42000
{host="other",direction="sent",peer_type="multicast"} 600
{host="other",direction="received",peer_type="private"} 42000
"#
    );
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "warning: the limit of 2 hosts was reached: further hosts were counted as `other`: raise \
         --max-hosts\n"
    );
}

#[test]
fn each_format_with_the_host_limit_reached() {
    for format in ["openmetrics", "json", "table"] {
        let options = ["--max-hosts", "2", "--format", format];
        let text = printed(OFFICE, &options);
        assert_snapshot!(format!("few_hosts_{format}"), text);
    }
}

#[test]
fn without_hosts_no_output_mentions_them() {
    for format in ["prometheus", "openmetrics", "json", "table"] {
        let text = printed(OFFICE, &["--max-hosts", "0", "--format", format]);
        assert!(!text.to_lowercase().contains("host"), "{text}");
    }
    let exporter = Exporter::start(&["--listen-port", "0", "--max-hosts", "0"]);
    let text = exporter.scrape().text;
    assert!(!text.contains("tzsp_host"), "{text}");
}

#[test]
fn an_idle_host_leaves_no_row() {
    // At the end, after 295 s, all other hosts have had no packet for longer than that.
    assert_eq!(
        bytes(&["--flow-idle-timeout", "45s"]),
        r#"{host="192.168.88.50",direction="sent",peer_type="private"} 300
{host="192.168.88.50",direction="sent",peer_type="public"} 1560
{host="192.168.88.50",direction="received",peer_type="private"} 600
{host="192.168.88.50",direction="received",peer_type="reserved"} 40
{host="192.168.88.50",direction="received",peer_type="public"} 84000
{host="192.168.88.53",direction="sent",peer_type="multicast"} 600
"#
    );
}

#[test]
fn a_live_exporter_counts_hosts() {
    let mut exporter = Exporter::start(&["--listen-port", "0", "--max-hosts", "1"]);
    let port = exporter.udp_port();
    let before = exporter.scrape();
    assert_eq!(before.value("tzsp_hosts"), 0.0);
    assert_eq!(before.value("tzsp_hosts_limit"), 1.0);
    assert_eq!(before.value("tzsp_hosts_forgotten_total"), 0.0);
    assert!(before.text.contains("# TYPE tzsp_host_bytes_total counter"));
    for _ in 0..3 {
        send(port, &DATAGRAM);
    }
    let scrape = exporter.scrape_until("all packets", |scrape| {
        scrape.sum("tzsp_observed_packets_total") == 3.0
    });
    assert_eq!(scrape.value("tzsp_hosts"), 1.0);
    scrape.assert_hosts_account_for_traffic(&["private"]);
}
