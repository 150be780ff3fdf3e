use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::tests::{ipv6_packet, packet, seconds};
use super::super::{Databases, FlowLimits, Shape};
use super::*;
use crate::flow::services::{Service, Services};
use crate::flow::snapshot::Group;
use crate::geo::Country;

const LIMITS: FlowLimits = FlowLimits {
    flows: 1000,
    idle_flows: 1000,
    idle_timeout: Duration::ZERO,
    hold: Duration::ZERO,
    hide_unseen: false,
    hosts: 1000,
};

fn table(limits: FlowLimits) -> FlowTable {
    FlowTable::new(Shape::default(), limits)
}

/// Returns the counters of so many packets of 100 bytes each.
fn packets(packets: u64) -> Counters {
    Counters {
        bytes: packets * 100,
        packets,
    }
}

fn host(flow: &Flow<IpAddr>) -> u8 {
    match flow.key.source {
        IpAddr::V4(source) => source.octets()[3],
        IpAddr::V6(source) => source.octets()[15],
    }
}

/// Returns hosts and their packets.
fn top(recent: &Recent) -> Vec<(u8, u64)> {
    recent
        .top
        .iter()
        .map(|flow| (host(flow), flow.counters.packets))
        .collect()
}

#[test]
fn before_the_first_checkpoint_everything_since_the_start_is_recent() {
    let mut table = table(LIMITS);
    table.see(seconds(1), &packet(1));
    table.see(seconds(2), &packet(1));
    table.see(seconds(3), &ipv6_packet(2));
    table.see(seconds(3), &packet(3));
    let recent = table.recent(seconds(5), 2);
    assert_eq!((recent.since, recent.until), (seconds(0), seconds(5)));
    // Of equal flows, IPv4 comes first, as in the exposition.
    assert_eq!(top(&recent), [(1, 2), (3, 1)]);
    assert_eq!(recent.top[0].counters, packets(2));
    assert_eq!((recent.total, recent.active), (packets(4), 3));
    assert_eq!(recent.overflow, Counters::default());
}

#[test]
fn the_window_begins_at_the_oldest_of_three_checkpoints() {
    let mut table = table(LIMITS);
    let since = |table: &mut FlowTable, at| table.recent(seconds(at), 0).since;
    for (at, oldest) in [(20, 0), (40, 0), (60, 20), (80, 40), (101, 60)] {
        table.checkpoint(seconds(at));
        assert_eq!(since(&mut table, at), seconds(oldest), "at {at}");
    }
    assert_eq!(since(&mut table, 119), seconds(60));
}

#[test]
fn packets_before_the_window_do_not_count() {
    let mut table = table(LIMITS);
    for _ in 0..9 {
        table.see(seconds(1), &packet(1));
        table.see(seconds(1), &ipv6_packet(4));
    }
    for at in [20, 40, 60] {
        table.checkpoint(seconds(at));
    }
    table.see(seconds(60), &packet(1));
    for _ in 0..2 {
        table.see(seconds(61), &packet(2));
    }
    let recent = table.recent(seconds(70), 10);
    assert_eq!(recent.since, seconds(20));
    assert_eq!(top(&recent), [(2, 2), (1, 1)]);
    assert_eq!((recent.total, recent.active), (packets(3), 2));
}

#[test]
fn flows_that_became_idle_and_returned_are_listed() {
    let mut table = table(FlowLimits {
        idle_timeout: seconds(10),
        ..LIMITS
    });
    for _ in 0..5 {
        table.see(seconds(1), &packet(1));
    }
    table.checkpoint(seconds(20));
    table.see(seconds(21), &packet(2));
    table.checkpoint(seconds(40));
    table.checkpoint(seconds(60));
    table.show(seconds(61));
    table.show(seconds(62));
    assert_eq!(table.idle(), 2);
    // Both are idle. Host 2 has sent a packet since second 20.
    assert_eq!(top(&table.recent(seconds(62), 10)), [(2, 1)]);
    table.see(seconds(63), &packet(1));
    table.see(seconds(64), &packet(1));
    assert_eq!(top(&table.recent(seconds(65), 10)), [(1, 2), (2, 1)]);
}

#[test]
fn a_flow_in_the_slot_of_a_forgotten_flow_starts_from_0() {
    let limits = FlowLimits {
        idle_timeout: seconds(10),
        idle_flows: 0,
        ..LIMITS
    };
    for kind in [packet, ipv6_packet] {
        let mut table = table(limits);
        for _ in 0..5 {
            table.see(seconds(1), &kind(1));
        }
        for at in [20, 40, 60] {
            table.checkpoint(seconds(at));
        }
        table.show(seconds(61));
        table.show(seconds(62));
        assert_eq!(table.occupancy().forgotten, 1);
        table.see(seconds(63), &kind(2));
        assert_eq!(top(&table.recent(seconds(64), 10)), [(2, 1)]);
        // The oldest checkpoint is now the one at 40, which holds 0 for the reused slot.
        table.checkpoint(seconds(80));
        table.see(seconds(81), &kind(2));
        assert_eq!(top(&table.recent(seconds(82), 10)), [(2, 2)]);
    }
}

#[test]
fn packets_without_a_slot_are_listed_as_overflow() {
    let mut table = table(FlowLimits { flows: 1, ..LIMITS });
    table.see(seconds(1), &packet(1));
    table.see(seconds(1), &packet(2));
    for at in [20, 40, 60] {
        table.checkpoint(seconds(at));
    }
    table.see(seconds(61), &packet(1));
    table.see(seconds(62), &packet(2));
    table.see(seconds(63), &packet(3));
    let recent = table.recent(seconds(64), 10);
    assert_eq!(top(&recent), [(1, 1)]);
    assert_eq!((recent.total, recent.overflow), (packets(3), packets(2)));
    assert_eq!(recent.active, 1);
}

#[test]
fn held_flows_are_listed_with_true_counters_and_reading_recent_traffic_is_not_a_scrape() {
    let mut table = table(FlowLimits {
        hold: seconds(60),
        idle_timeout: seconds(10),
        ..LIMITS
    });
    table.see(seconds(1), &packet(1));
    assert_eq!(top(&table.recent(seconds(2), 10)), [(1, 1)]);
    // No scrape has shown the flow, so it stays exposed.
    table.recent(seconds(100), 10);
    assert_eq!(table.occupancy().flows, 1);
    let snapshot = table.show(seconds(30));
    assert_eq!(snapshot.narrow.len(), 1);
}

#[test]
fn with_too_many_slots_the_window_begins_at_the_start() {
    let mut table = table(FlowLimits {
        flows: 1 << 20,
        ..LIMITS
    });
    table.checkpoint(seconds(20));
    table.checkpoint(seconds(40));
    let slots = u32::try_from(MOST_SLOTS).expect("it fits");
    for number in 0..=slots {
        let source = number.to_be_bytes().into();
        let seen = crate::wire::Observation {
            source,
            ..packet(0)
        };
        table.see(seconds(41), &seen);
    }
    table.checkpoint(seconds(60));
    let recent = table.recent(seconds(70), 1);
    assert_eq!((recent.since, recent.active), (seconds(0), MOST_SLOTS + 1));
}

#[test]
fn checkpoints_take_at_most_6_mib() {
    let mut table = table(FlowLimits {
        flows: 1 << 20,
        hosts: 0,
        ..LIMITS
    });
    for number in 0..100_000_u32 {
        let source = number.to_be_bytes().into();
        let seen = crate::wire::Observation {
            source,
            ..packet(0)
        };
        table.see(seconds(1), &seen);
    }
    for at in 1..10 {
        table.checkpoint(seconds(20 * at));
    }
    assert_eq!(table.checkpoints.allocated(), 100_000 * 3 * 16);
    assert_eq!(MOST_SLOTS * 3 * 16, 6 << 20);
}

/// Returns the packets of each group in the last minute, as far as these labels show any.
///
/// Of two packets in the window, one goes to 8.8.8.8 in the US, and one without ports to 2a00:1450::1
/// in DE. Another one to 8.8.8.8 came before the window.
fn groups(labels: &str, top: usize) -> Vec<(Group, u64)> {
    let shape = Shape {
        labels: labels.parse().expect("labels"),
        services: Services::only("web 443/tcp"),
        ..Shape::default()
    };
    let mut table = FlowTable::new(shape, LIMITS);
    let database = include_bytes!("../../../../testdata/flat.mmdb");
    let databases = Databases::from_bytes(database.to_vec()).expect("a database");
    table.set_databases(Arc::new(databases));
    let mut to_us = packet(1);
    to_us.destination = [8, 8, 8, 8].into();
    let mut to_germany = ipv6_packet(1);
    let germany = "2a00:1450::1".parse::<std::net::Ipv6Addr>();
    to_germany.destination = germany.expect("an address").into();
    to_germany.ports = None;
    table.see(seconds(1), &to_us);
    table.checkpoint(seconds(20));
    table.see(seconds(30), &to_us);
    table.see(seconds(31), &to_germany);
    for at in [40, 60] {
        table.checkpoint(seconds(at));
    }
    let groups = table.recent(seconds(70), top).groups;
    let packets = groups
        .into_iter()
        .map(|(group, counters)| (group, counters.packets));
    packets.collect()
}

#[test]
fn groups_are_those_of_the_labels() {
    let us = Group::Countries([None, Country::new("US")]);
    let germany = Group::Countries([None, Country::new("DE")]);
    let [google, unicode] = [15169, 64499].map(|number| Group::Operators([0, number]));
    let [none, web] = [0, 1].map(|number| Group::Service(Service(number)));
    for with_address in ["", "to,", "to,from_port,to_port,"] {
        let groups = |labels: &str| groups(&format!("{with_address}{labels}"), 10);
        assert_eq!(groups("to_country"), [(germany, 1), (us, 1)]);
        assert_eq!(groups("from_asn,to_asn"), [(google, 1), (unicode, 1)]);
        assert_eq!(groups("service"), [(none, 1), (web, 1)]);
        assert_eq!(
            groups("to_country,to_asn,service"),
            [
                (germany, 1),
                (us, 1),
                (google, 1),
                (unicode, 1),
                (none, 1),
                (web, 1)
            ]
        );
    }
    // The source is not public.
    assert_eq!(
        groups("from_country", 10),
        [(Group::Countries([None; 2]), 2)]
    );
    assert_eq!(groups("to_country,service", 1), [(germany, 1), (none, 1)]);
    assert_eq!(groups("from,to", 10), []);
}

#[derive(Debug, Clone)]
enum Step {
    Packet(u8),
    Checkpoint,
    Scrape,
    Wait(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..20_u8).prop_map(Step::Packet),
        2 => Just(Step::Checkpoint),
        2 => Just(Step::Scrape),
        2 => (0..50_u8).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Compares with a list of all packets, and its length at each checkpoint.
    #[test]
    fn recent_traffic_is_the_traffic_since_the_oldest_checkpoint(
        steps in vec(step(), 0..200),
        idle_timeout in 0..60_u64,
        flows in 0..20_u32,
    ) {
        let mut table = table(FlowLimits { flows, idle_timeout: seconds(idle_timeout), ..LIMITS });
        let (mut now, mut checkpoints, mut seen) = (0, vec![(0, 0)], Vec::new());
        for step in steps {
            match step {
                Step::Packet(kind) => {
                    let make = if kind % 3 == 0 { ipv6_packet } else { packet };
                    table.see(seconds(now), &make(kind));
                    seen.push(kind);
                }
                Step::Checkpoint => {
                    table.checkpoint(seconds(now));
                    checkpoints.push((now, seen.len()));
                }
                Step::Scrape => drop(table.show(seconds(now))),
                Step::Wait(time) => now += u64::from(time),
            }
        }
        let (since, before) = checkpoints[checkpoints.len().saturating_sub(3)];
        let mut expected: BTreeMap<u8, u64> = BTreeMap::new();
        for kind in &seen[before..] {
            *expected.entry(*kind).or_default() += 1;
        }
        let recent = table.recent(seconds(now), 1000);
        prop_assert_eq!((recent.since, recent.until), (seconds(since), seconds(now)));
        prop_assert_eq!(recent.total, packets((seen.len() - before) as u64));
        let shown: BTreeMap<u8, u64> = top(&recent).into_iter().collect();
        prop_assert_eq!(shown.len(), recent.active);
        let in_flows: u64 = shown.values().sum();
        prop_assert_eq!(packets(in_flows).plus(recent.overflow), recent.total);
        for (kind, packets) in shown {
            prop_assert!(packets <= expected[&kind]);
        }
        if recent.overflow.packets == 0 {
            prop_assert_eq!(recent.active, expected.len());
        }
    }
}
