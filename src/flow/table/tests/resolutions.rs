//! Labels with which the table keeps what it has worked out for recent packets.

use super::*;
use crate::geo::Databases;

const DATABASE: &[u8] = include_bytes!("../../../../testdata/flat.mmdb");

fn with_labels_and_limits(labels: &str, limits: FlowLimits) -> FlowTable {
    let shape = Shape {
        labels: labels.parse().expect("a list of labels"),
        ..Shape::default()
    };
    FlowTable::new(shape, limits)
}

#[test]
fn a_forgotten_flow_does_not_count_in_the_next_flow_with_its_slot() {
    let limits = FlowLimits {
        hosts: 0,
        idle_flows: 0,
        ..IDLE_AFTER_A_MINUTE
    };
    let mut table = with_labels_and_limits("from", limits);
    table.see(seconds(0), &packet(1));
    assert_eq!(seen(&mut table, seconds(10)), [(Some(1), 1)]);
    assert_eq!(seen(&mut table, seconds(100)), []);
    assert_eq!(table.occupancy().forgotten, 1);
    table.see(seconds(101), &packet(2));
    table.see(seconds(102), &packet(1));
    let flows = [(Some(1), 1), (Some(2), 1)];
    assert_eq!(seen(&mut table, seconds(110)), flows);
}

#[test]
fn an_idle_flow_is_held_when_it_returns() {
    let limits = FlowLimits {
        hold: seconds(5),
        ..IDLE_AFTER_A_MINUTE
    };
    let mut table = with_labels_and_limits("from", limits);
    table.see(seconds(0), &packet(1));
    assert_eq!(seen(&mut table, seconds(10)), [(Some(1), 1)]);
    assert_eq!(seen(&mut table, seconds(100)), []);
    table.see(seconds(101), &packet(1));
    assert_eq!(seen(&mut table, seconds(102)), [(Some(1), 1)]);
    assert_eq!(seen(&mut table, seconds(110)), [(Some(1), 2)]);
}

#[test]
fn packets_after_a_new_database_count_in_flows_with_its_countries() {
    let mut table = with_labels_and_limits("from_country", NO_LIMITS);
    let from_google = Observation {
        source: [8, 8, 8, 8].into(),
        ..packet(0)
    };
    table.see(seconds(0), &from_google);
    table.see(seconds(1), &from_google);
    let databases = Databases::from_bytes(DATABASE.to_vec()).expect("a database");
    table.set_databases(Arc::new(databases));
    table.see(seconds(2), &from_google);
    let snapshot = table.show(seconds(3));
    let flows = snapshot.narrow.iter().map(|flow| {
        let country = flow.key.source_place.country;
        let country = country.map(|country| country.as_str().to_owned());
        (country, flow.counters.packets)
    });
    let mut flows: Vec<_> = flows.collect();
    flows.sort();
    assert_eq!(flows, [(None, 2), (Some("US".to_owned()), 1)]);
}

/// The flows of 100,000 addresses: more than there are resolutions, and each has two packets.
#[test]
fn more_packets_than_are_kept_are_counted_too() {
    let mut table = with_labels_and_limits("from_type,protocol", NO_LIMITS);
    let mut packets = table.packets(200_000);
    for number in (0..100_000_u32).chain(0..100_000) {
        let seen = Observation {
            source: std::net::Ipv4Addr::from_bits(0x0a00_0000 + number).into(),
            bytes: 1,
            ..packet(0)
        };
        packets.push(seconds(1), &seen);
    }
    table.record(&mut packets);
    let snapshot = table.show(seconds(2));
    let [flow] = &snapshot.narrow[..] else {
        panic!("{:?}", snapshot.narrow);
    };
    assert_eq!(
        (flow.counters.packets, flow.counters.bytes),
        (200_000, 200_000)
    );
    // 1,000 hosts have slots.
    let other = snapshot
        .hosts
        .iter()
        .find(|series| series.key.host.is_none());
    let other = other.expect("hosts beyond the limit").counters;
    assert_eq!(other.packets, 2 * 99_000);
    assert_eq!(snapshot.hosts.len(), 1001);
}
