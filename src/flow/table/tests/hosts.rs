//! Hosts: what they count, and which of them have a slot.

use super::super::super::{BothDirections, Counters, HostKey, RecentHost};
use super::*;

const FEW_HOSTS: FlowLimits = FlowLimits {
    hosts: 2,
    ..IDLE_AFTER_A_MINUTE
};

/// A packet of 100 bytes.
fn between(source: [u8; 4], destination: [u8; 4]) -> Observation {
    Observation {
        source: source.into(),
        destination: destination.into(),
        ..packet(0)
    }
}

/// A packet of 100 bytes from 10.0.0.`host` to a public address.
fn upload(host: u8) -> Observation {
    between([10, 0, 0, host], [8, 8, 8, 8])
}

/// Returns a line for each series of a host: address, direction, type of the other side, packets
/// and bytes.
fn lines(snapshot: &mut Snapshot) -> Vec<String> {
    snapshot.sort_hosts();
    let lines = snapshot.hosts.iter().map(|series| {
        let HostKey {
            host,
            direction,
            peer_class,
        } = series.key;
        let host = host.map_or("other".to_owned(), |host| host.to_string());
        let peer = snapshot.shape.classes.name(peer_class);
        let Counters { packets, bytes } = series.counters;
        format!("{host} {} {peer} {packets} {bytes}", direction.label())
    });
    lines.collect()
}

/// Scrapes, and returns the packets of each host, by its last octet or `other`, in one line.
fn hosts(table: &mut FlowTable, at: u64) -> String {
    let mut snapshot = table.show(seconds(at));
    let lines = lines(&mut snapshot).into_iter().map(|line| {
        let words: Vec<_> = line.split(' ').collect();
        let name = words[0].rsplit('.').next().unwrap_or_default().to_owned();
        format!("{name}:{}", words[3])
    });
    let lines: Vec<_> = lines.collect();
    lines.join(" ")
}

#[test]
fn a_host_counts_what_it_sends_and_receives_by_the_type_of_the_other_side() {
    let mut table = table(NO_LIMITS);
    for (source, destination) in [
        ([10, 0, 0, 1], [8, 8, 8, 8]),
        ([10, 0, 0, 1], [9, 9, 9, 9]),
        ([8, 8, 8, 8], [10, 0, 0, 1]),
        ([10, 0, 0, 1], [224, 0, 0, 1]),
        // Between two hosts.
        ([10, 0, 0, 1], [192, 168, 0, 1]),
        // Between no hosts.
        ([8, 8, 8, 8], [100, 64, 0, 1]),
        // From a host to itself.
        ([172, 16, 0, 1], [172, 16, 0, 1]),
    ] {
        table.see(seconds(0), &between(source, destination));
    }
    table.see(seconds(0), &ipv6_packet(7));
    let mut snapshot = table.show(seconds(0));
    assert_eq!(
        lines(&mut snapshot),
        [
            "10.0.0.1 sent private 1 100",
            "10.0.0.1 sent multicast 1 100",
            "10.0.0.1 sent public 2 200",
            "10.0.0.1 received public 1 100",
            "172.16.0.1 sent private 1 100",
            "172.16.0.1 received private 1 100",
            "192.168.0.1 received private 1 100",
            "fd00::7 sent public 1 100",
        ]
    );
    let occupancy = table.occupancy();
    assert_eq!((occupancy.hosts, occupancy.host_limit), (4, 1000));
    assert_eq!(occupancy.other_host_packets, 0);
}

#[test]
fn hosts_beyond_the_limit_count_as_other_even_if_their_flows_have_slots() {
    let mut table = table(FlowLimits {
        hosts: 2,
        ..NO_LIMITS
    });
    for host in [1, 2, 3, 4, 1, 3] {
        table.see(seconds(0), &upload(host));
    }
    table.see(seconds(0), &between([10, 0, 0, 3], [10, 0, 0, 4]));
    table.see(seconds(0), &between([10, 0, 0, 4], [10, 0, 0, 1]));
    let mut snapshot = table.show(seconds(0));
    assert_eq!(
        lines(&mut snapshot),
        [
            "10.0.0.1 sent public 2 200",
            "10.0.0.1 received private 1 100",
            "10.0.0.2 sent public 1 100",
            "other sent private 2 200",
            "other sent public 3 300",
            "other received private 1 100",
        ]
    );
    let occupancy = table.occupancy();
    assert_eq!((occupancy.flows, occupancy.hosts), (6, 2));
    assert_eq!(occupancy.other_host_packets, 6);
}

#[test]
fn with_a_limit_of_0_no_host_is_counted() {
    let mut table = table(FlowLimits {
        hosts: 0,
        ..NO_LIMITS
    });
    table.see(seconds(0), &upload(1));
    table.checkpoint(seconds(1));
    assert_eq!(table.show(seconds(1)).hosts, []);
    assert_eq!(table.occupancy().hosts, 0);
    assert_eq!(table.accounts.hosts.allocated(), 0);
    assert!(table.recent(seconds(1), 10).hosts.top.is_empty());
    assert!(!table.depends_on_order());
}

#[test]
fn an_idle_host_is_hidden_and_returns_with_its_count() {
    let mut table = table(IDLE_AFTER_A_MINUTE);
    table.see(seconds(0), &upload(1));
    // Older than the timeout, but no scrape has shown it yet.
    assert_eq!(hosts(&mut table, 100), "1:1");
    assert_eq!(hosts(&mut table, 101), "");
    assert_eq!(table.occupancy().hosts, 0);
    table.see(seconds(200), &upload(1));
    assert_eq!(hosts(&mut table, 259), "1:2");
    assert_eq!(hosts(&mut table, 260), "");
    assert_eq!(table.occupancy().forgotten_hosts, 0);
}

#[test]
fn a_host_stays_while_one_of_its_flows_is_active() {
    let mut table = table(IDLE_AFTER_A_MINUTE);
    table.see(seconds(0), &upload(1));
    for at in [0, 30, 60, 90, 120] {
        table.see(seconds(at), &between([9, 9, 9, 9], [10, 0, 0, 1]));
        assert_eq!(table.show(seconds(at)).occupancy.hosts, 1);
    }
    assert_eq!(table.occupancy().flows, 1);
    assert_eq!(hosts(&mut table, 121), "1:1 1:5");
}

#[test]
fn a_new_host_takes_the_slot_of_the_longest_idle_one() {
    let mut table = table(FEW_HOSTS);
    table.see(seconds(0), &upload(1));
    table.see(seconds(1), &upload(2));
    table.see(seconds(2), &upload(3));
    assert_eq!(hosts(&mut table, 10), "1:1 2:1 other:1");
    assert!(table.depends_on_order());
    // 1 and 2 are idle and hidden, 1 for longer.
    assert_eq!(hosts(&mut table, 70), "other:1");
    table.see(seconds(71), &upload(4));
    assert_eq!(hosts(&mut table, 72), "4:1 other:1");
    table.see(seconds(73), &upload(2));
    table.see(seconds(73), &upload(1));
    assert_eq!(hosts(&mut table, 74), "2:2 4:1 other:2");
    assert_eq!(table.occupancy().forgotten_hosts, 1);
}

/// The flow of 3 is exposed throughout. Its host gets a slot as soon as there is one, although the
/// flow has counted for `other` before.
#[test]
fn an_exposed_flow_finds_a_slot_for_its_host_later() {
    let mut table = table(FEW_HOSTS);
    for at in [0, 20, 40, 60, 80] {
        if at == 0 {
            table.see(seconds(at), &upload(1));
            table.see(seconds(at), &upload(2));
        }
        table.see(seconds(at), &upload(3));
        table.show(seconds(at + 10));
    }
    // Hidden by the scrape at 70 s: the packet at 80 s found a slot.
    assert_eq!(hosts(&mut table, 91), "3:1 other:4");
}

/// A held flow stays exposed for longer than the timeout. Its host does not, and loses its slot.
/// Then the flow must not count for the host that has the slot now.
#[test]
fn a_flow_does_not_count_for_the_next_host_with_the_same_slot() {
    let limits = FlowLimits {
        hosts: 1,
        ..IDLE_AFTER_A_MINUTE
    };
    let mut table = table(limits);
    // Only flows are held.
    table.accounts.limits.hold = MINUTE * 5;
    table.see(seconds(0), &upload(1));
    table.show(seconds(10));
    table.show(seconds(70));
    assert_eq!((table.exposed(), table.occupancy().hosts), (1, 0));
    table.see(seconds(71), &upload(2));
    table.see(seconds(72), &upload(1));
    assert_eq!(hosts(&mut table, 73), "2:1 other:1");
}

#[test]
fn new_and_returning_hosts_are_held_like_flows() {
    let mut table = table(FlowLimits {
        hold: seconds(30),
        ..FEW_HOSTS
    });
    table.see(seconds(0), &upload(1));
    assert_eq!(hosts(&mut table, 10), "1:0");
    assert_eq!(hosts(&mut table, 30), "1:1");
    // A new series of the same host.
    table.see(seconds(31), &between([10, 0, 0, 1], [224, 0, 0, 1]));
    assert_eq!(hosts(&mut table, 40), "1:0 1:1");
    assert_eq!(hosts(&mut table, 61), "1:1 1:1");
    assert_eq!(hosts(&mut table, 91), "");
    table.see(seconds(100), &upload(1));
    assert_eq!(hosts(&mut table, 110), "1:1 1:1");
    assert_eq!(hosts(&mut table, 130), "1:1 1:2");
    // Hosts beyond the limit.
    table.see(seconds(131), &upload(2));
    table.see(seconds(131), &upload(3));
    assert_eq!(hosts(&mut table, 140), "1:1 1:2 2:0 other:0");
    // The last packet of 1 was at 100 s.
    assert_eq!(hosts(&mut table, 161), "2:1 other:1");
}

#[test]
fn without_scrapes_a_new_host_takes_the_slot_of_an_idle_one() {
    let mut table = table(FlowLimits {
        hide_unseen: true,
        ..FEW_HOSTS
    });
    table.see(seconds(0), &upload(1));
    table.see(seconds(50), &upload(2));
    table.see(seconds(59), &upload(3));
    table.see(seconds(70), &upload(3));
    table.see(seconds(71), &upload(4));
    // 1 has lost its slot to 4. Its flow is still exposed: it must not count for 4.
    table.see(seconds(72), &upload(1));
    assert_eq!(hosts(&mut table, 73), "2:1 4:1 other:3");
}

#[test]
fn the_outcome_depends_on_the_order_once_a_host_gets_no_slot() {
    let mut table = table(FlowLimits {
        hosts: 2,
        ..NO_LIMITS
    });
    table.see(seconds(0), &between([10, 0, 0, 1], [10, 0, 0, 2]));
    table.see(seconds(0), &between([8, 8, 8, 8], [9, 9, 9, 9]));
    assert!(!table.depends_on_order());
    table.see(seconds(0), &upload(3));
    assert!(table.depends_on_order());
    table.clear();
    assert!(!table.depends_on_order());
    assert_eq!(hosts(&mut table, 0), "");
}

/// A scan of a million addresses, from a host that has a slot.
#[test]
fn an_address_scan_makes_other_grow_and_nothing_else() {
    let mut table = table(FlowLimits {
        flows: 100,
        hosts: 100,
        hold: MINUTE,
        ..IDLE_AFTER_A_MINUTE
    });
    let mut allocated = 0;
    for number in 0..1_000_000_u32 {
        let target = 0x0b00_0000 - 1 - number;
        table.see(
            Duration::from_micros(number.into()),
            &between([10, 0, 0, 1], target.to_be_bytes()),
        );
        if number == 1000 {
            allocated = table.allocated();
        }
    }
    assert_eq!(table.allocated(), allocated);
    let mut snapshot = table.show(seconds(61));
    let lines = lines(&mut snapshot);
    assert_eq!(lines.len(), 101);
    assert_eq!(lines[0], "10.0.0.1 sent private 1000000 100000000");
    assert_eq!(lines[100], "other received private 999901 99990100");
}

/// `memory` assumes 272 bytes, and 58 for each of the 8 classes.
#[test]
fn a_host_takes_less_than_736_bytes() {
    const HOSTS: usize = 50_000;
    let mut table = table(FlowLimits {
        flows: 0,
        hosts: 50_000,
        ..NO_LIMITS
    });
    for number in 0..100_000_u32 {
        table.see(
            seconds(0),
            &between([8, 8, 8, 8], (0x0a00_0000 + number).to_be_bytes()),
        );
    }
    for at in 1..10 {
        table.checkpoint(seconds(20 * at));
    }
    assert_eq!(table.occupancy().hosts, HOSTS);
    // The set of hidden hosts, which is empty here, takes up to 32 bytes for each.
    let allocated = table.allocated() / HOSTS + 32;
    assert!(allocated < 272 + 8 * 58, "{allocated}");
}

#[test]
fn recent_hosts_are_those_with_the_most_bytes_since_the_checkpoint() {
    let mut table = table(FEW_HOSTS);
    let host = |host: u8, sent: u64, received: u64| {
        let counters = |packets| Counters {
            packets,
            bytes: 100 * packets,
        };
        RecentHost {
            address: (host > 0).then(|| [10, 0, 0, host].into()),
            sent: counters(sent),
            received: counters(received),
        }
    };
    let total = |sent, received| {
        let RecentHost { sent, received, .. } = host(0, sent, received);
        BothDirections { sent, received }
    };
    table.see(seconds(0), &upload(1));
    table.see(seconds(0), &upload(1));
    table.see(seconds(0), &upload(2));
    table.see(seconds(0), &upload(3));
    let recent = table.recent(seconds(1), 10).hosts;
    assert_eq!(recent.total, total(4, 0));
    assert_eq!(recent.top, [host(1, 2, 0), host(2, 1, 0)]);
    assert_eq!((recent.active, recent.other), (2, host(0, 1, 0)));

    for at in [20, 40, 60] {
        table.checkpoint(seconds(at));
    }
    table.show(seconds(61));
    table.see(seconds(62), &between([8, 8, 8, 8], [10, 0, 0, 2]));
    table.see(seconds(62), &between([8, 8, 8, 8], [10, 0, 0, 2]));
    table.see(seconds(62), &upload(1));
    let recent = table.recent(seconds(63), 1).hosts;
    assert_eq!(recent.top, [host(2, 0, 2)]);
    assert_eq!((recent.active, recent.other), (2, host(0, 0, 0)));
    assert_eq!(recent.total, total(1, 2));

    // 1 and 2 are hidden. 3 takes the slot of 1, which had more packets at the checkpoint.
    table.show(seconds(130));
    table.show(seconds(131));
    table.see(seconds(132), &upload(3));
    let recent = table.recent(seconds(133), 10).hosts;
    assert_eq!(recent.top, [host(2, 0, 2), host(3, 1, 0)]);
    // The packet of 1 is not forgotten in sums.
    assert_eq!(recent.total, total(2, 2));
    assert_eq!(table.host_totals(), total(6, 2));
}
