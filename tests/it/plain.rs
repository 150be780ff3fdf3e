//! `--plain` on captures that are not mirrored, compared with numbers worked out by hand.
//! tests/it/tshark.rs compares with tshark, frame by frame.

use insta::assert_snapshot;

use crate::scrape::Scrape;
use crate::support::{captures, program, testdata};

fn run(arguments: &[&str]) -> assert_cmd::assert::Assert {
    let mut command = program();
    command.current_dir(testdata()).arg("analyze");
    command.args(arguments).assert().success()
}

fn scrape(run: &assert_cmd::assert::Assert) -> Scrape {
    let scrape = Scrape::parse(std::str::from_utf8(&run.get_output().stdout).unwrap());
    scrape.assert_every_frame_is_accounted_for();
    scrape
}

fn stderr(run: &assert_cmd::assert::Assert) -> &str {
    std::str::from_utf8(&run.get_output().stderr).unwrap()
}

/// Checks packets, bytes, and all non-zero counts of skipped and truncated frames with `--plain`.
#[track_caller]
fn check(arguments: &[&str], packets: f64, bytes: f64, others: &[(&str, f64)]) {
    let scrape = scrape(&run(&[&["--plain"], arguments].concat()));
    assert_eq!(scrape.sum("tzsp_observed_packets_total"), packets);
    assert_eq!(scrape.sum("tzsp_observed_bytes_total"), bytes);
    let mut found = Vec::new();
    for family in ["tzsp_frames_skipped_total", "tzsp_frames_truncated_total"] {
        let samples = scrape.family(family).filter(|(_, value)| *value > 0.0);
        found.extend(samples.map(|(labels, value)| (labels.to_owned(), value)));
    }
    let found: Vec<_> = found
        .iter()
        .map(|(labels, value)| (labels.split('"').nth(1).unwrap(), *value))
        .collect();
    assert_eq!(found, others);
}

#[test]
fn the_packets_of_unmirrored_frames_count() {
    let skipped = [
        ("inner_ipv6", 1.0),
        ("inner_malformed", 2.0),
        ("inner_not_ip", 1.0),
    ];
    // 52 + 100, 52 with a VLAN tag, 52 in PPPoE, and a fragment of 60.
    check(&["not_mirrored.pcap"], 5.0, 316.0, &skipped);
    // IPv6 with 32 bytes of TCP.
    check(&["--ipv6", "not_mirrored.pcap"], 6.0, 388.0, &skipped[1..]);
}

#[test]
fn truncation_is_attributed_to_the_capture() {
    // 1500, 1400 by the frame's length, 50, and 9000 in a frame of 100 bytes.
    let truncated = [("sensor", 1.0), ("snaplen", 2.0)];
    check(
        &["not_mirrored_snap_length_64.pcap"],
        4.0,
        11_950.0,
        &truncated,
    );
}

#[test]
fn every_link_type_is_read() {
    // 20 + 8 + 5 + 14 bytes around a packet of 52.
    let outer = 99.0;
    // The other frames are ARP and IPv6.
    let not_ip = [("inner_ipv6", 1.0), ("inner_not_ip", 1.0)];
    check(&["linux_cooked_v1.pcap"], 1.0, outer, &not_ip);
    check(&["linux_cooked_v2.pcap"], 1.0, outer, &not_ip);
    check(&["null_family_in_both_byte_orders.pcap"], 2.0, 198.0, &[]);
    check(&["loop_of_openbsd.pcap"], 1.0, outer, &not_ip[..1]);
    check(&["raw_ip_link_type_101.pcap"], 1.0, outer, &not_ip[..1]);
    check(&["raw_ipv4_link_type_228.pcap"], 1.0, outer, &[]);
    check(
        &["raw_ip_without_bytes.pcap"],
        0.0,
        0.0,
        &[("inner_malformed", 1.0)],
    );
    check(
        &["null_family_without_ip.pcap"],
        0.0,
        0.0,
        &[("inner_not_ip", 1.0)],
    );
    check(
        &["link_type_unknown.pcap"],
        0.0,
        0.0,
        &[("unsupported_link", 2.0)],
    );
    check(
        &["null_ether_type.pcap"],
        3.0,
        3.0 * outer,
        &[("inner_ipv6", 2.0)],
    );
    // With this link type, TZSP takes the place of the link layer.
    let nothing = [("not_tzsp", 2.0), ("tzsp_keepalive", 1.0)];
    check(&["link_type_tzsp.pcap"], 2.0, 104.0, &nothing);
}

/// Every packet has 52 bytes.
#[test]
fn every_link_type_of_802_11_is_read() {
    let others = [
        ("inner_malformed", 1.0),
        ("inner_wlan_encrypted", 1.0),
        ("inner_wlan_no_data", 1.0),
    ];
    check(&["link_type_802_11.pcap"], 2.0, 104.0, &others);
    check(&["link_type_prism.pcap"], 3.0, 156.0, &others[..1]);
    check(&["link_type_avs.pcap"], 1.0, 52.0, &others[..1]);
    // A beacon, and an empty frame.
    let others = [("inner_malformed", 1.0), ("inner_wlan_no_data", 1.0)];
    check(&["link_type_radiotap.pcap"], 3.0, 156.0, &others);
    let others = [
        ("inner_ipv6", 1.0),
        ("inner_malformed", 1.0),
        ("unsupported_link", 1.0),
    ];
    check(&["link_type_ppi.pcap"], 5.0, 260.0, &others);
}

#[test]
fn every_link_type_of_ppp_is_read() {
    // IPv6, a truncated protocol field, and LCP.
    let others = [
        ("inner_ipv6", 1.0),
        ("inner_malformed", 1.0),
        ("inner_not_ip", 1.0),
    ];
    check(&["link_type_ppp.pcap"], 5.0, 260.0, &others);
    check(&["link_type_ppp_hdlc.pcap"], 5.0, 260.0, &others);
    check(&["link_type_pppoe.pcap"], 2.0, 104.0, &others[1..2]);
    // IPv6 with 32 bytes of TCP.
    check(&["--ipv6", "link_type_ppp.pcap"], 6.0, 332.0, &others[1..]);
}

#[test]
fn listen_port_and_sensor_are_empty() {
    let labels = "from_type,listen_port,sensor,vlan";
    let run = run(&["--plain", "--labels", labels, "not_mirrored.pcap"]);
    let output = String::from_utf8(run.get_output().stdout.clone()).unwrap();
    let flows: Vec<_> = output
        .lines()
        .filter(|line| line.contains("_bytes_total{"))
        .collect();
    assert_snapshot!(flows.join("\n"), @r#"
    tzsp_host_bytes_total{host="192.168.88.50",direction="sent",peer_type="public"} 316
    tzsp_observed_bytes_total{from_type="private",listen_port="",sensor="",vlan=""} 264
    tzsp_observed_bytes_total{from_type="private",listen_port="",sensor="",vlan="10"} 52
    tzsp_traffic_bytes_total{from_type="private",to_type="public",protocol="tcp",listen_port=""} 156
    tzsp_traffic_bytes_total{from_type="private",to_type="public",protocol="udp",listen_port=""} 160
    "#);
}

#[test]
fn tzsp_without_a_datagram_has_port_0_and_no_sensor() {
    let run = run(&["--labels", "listen_port,sensor", "link_type_tzsp.pcap"]);
    let sample = "tzsp_observed_bytes_total{listen_port=\"0\",sensor=\"\"}";
    assert_eq!(scrape(&run).value(sample), 104.0);
}

#[test]
fn every_frame_is_accounted_for() {
    for capture in captures() {
        let capture = capture.to_str().unwrap();
        let scrape = scrape(&run(&["--plain", "--ipv6", capture]));
        for reason in [
            "outer_malformed",
            "not_ip",
            "not_udp",
            "later_fragment",
            "other_port",
        ] {
            let sample = format!("tzsp_frames_skipped_total{{reason=\"{reason}\"}}");
            assert_eq!(scrape.value(&sample), 0.0, "{capture}");
        }
    }
}

#[test]
fn when_nothing_counts_the_warning_names_the_option_to_use() {
    let warning = |arguments: &[&str]| stderr(&run(arguments)).to_owned();
    assert_snapshot!(warning(&["not_udp.pcap", "not_tzsp.pcap"]), @r"
    warning: nothing was counted; the frames are: 3 not_udp, 4 not_tzsp
      not_udp: IP without UDP
      not_tzsp: an empty datagram, or one that is not TZSP version 1. Remedy: find out who sends it, and let only the routers send to this port
      UDP port 37008: 4 datagrams, 0 like TZSP
      no TZSP; to count the frames' own packets: --plain
    ");
    assert_snapshot!(warning(&["ipv6_without_udp.pcap"]), @r"
    warning: nothing was counted; the frames are: 4 not_udp
      not_udp: IP without UDP
      no TZSP; to count the frames' own packets: --plain --ipv6
    ");
    assert_snapshot!(warning(&["--plain", "ipv6_without_udp.pcap"]), @r"
    warning: nothing was counted; the frames are: 4 inner_ipv6
      inner_ipv6: a mirrored IPv6 packet, without `--ipv6`. Remedy: count IPv6 too: start with `--ipv6`
    ");
    assert_snapshot!(warning(&["--listen-port", "37008", "link_type_tzsp.pcap"]), @r"
    warning: nothing was counted; the frames are: 5 other_port
      other_port: UDP to a port that is not listened to; with `--listen-port`, also TZSP without UDP
      no UDP port: 5 frames of TZSP alone; to count them: no --listen-port
    ");
    assert_snapshot!(warning(&["ethernet_without_ip.pcap"]), @r"
    warning: nothing was counted; the frames are: 4 not_ip
      not_ip: neither IPv4 nor IPv6
      EtherType 0x0806 (ARP): 2 frames
      no EtherType (LLC): 1 frame
      EtherType 0x88cc (LLDP): 1 frame
    ");
}
