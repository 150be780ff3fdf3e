//! Counting, and which packets belong to one flow.

use std::net::Ipv6Addr;

use super::super::{Classes, Label, Labels, Services};
use super::*;
use crate::wire::Observation;

mod eviction;
mod hosts;
mod load;
mod resolutions;
mod starts;

const MINUTE: Duration = Duration::from_mins(1);

pub(super) const NO_LIMITS: FlowLimits = FlowLimits {
    flows: 1000,
    idle_flows: 1000,
    idle_timeout: Duration::ZERO,
    hold: Duration::ZERO,
    hide_unseen: false,
    hosts: 1000,
};

const IDLE_AFTER_A_MINUTE: FlowLimits = FlowLimits {
    idle_timeout: MINUTE,
    ..NO_LIMITS
};

pub(super) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A TCP packet from 10.0.0.`host` of 100 bytes.
pub(super) fn packet(host: u8) -> Observation {
    Observation {
        source: [10, 0, 0, host].into(),
        destination: [192, 0, 2, 1].into(),
        protocol: etherparse::IpNumber::TCP,
        listen_port: 37008,
        sensor: [192, 168, 88, 1].into(),
        ports: Some((54321, 443)),
        vlan: None,
        dscp: 0,
        bytes: 100,
        truncated: None,
    }
}

pub(super) fn ipv6_packet(host: u8) -> Observation {
    Observation {
        source: Ipv6Addr::from([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]).into(),
        destination: Ipv6Addr::from([0x26; 16]).into(),
        ..packet(host)
    }
}

impl FlowTable {
    /// Counts a packet.
    pub(super) fn see(&mut self, at: Duration, seen: &Observation) {
        let mut packets = self.packets(1);
        packets.push(at, seen);
        self.record(&mut packets);
    }
}

fn table(limits: FlowLimits) -> FlowTable {
    FlowTable::new(Shape::default(), limits)
}

fn with_labels(list: &str) -> FlowTable {
    let shape = Shape {
        labels: list.parse().expect("a list of labels"),
        ..Shape::default()
    };
    FlowTable::new(shape, NO_LIMITS)
}

/// Scrapes, and returns the packets of each flow by the last octet of its source, then those of the
/// overflow as `None`.
fn seen(table: &mut FlowTable, at: Duration) -> Vec<(Option<u8>, u64)> {
    let snapshot = table.show(at);
    let narrow = snapshot
        .narrow
        .iter()
        .map(|flow| (Some(flow.key.source.octets()[3]), flow.counters.packets));
    let wide = snapshot.wide.iter().map(|flow| {
        let IpAddr::V6(source) = flow.key.source else {
            panic!("{flow:?} is narrow");
        };
        (Some(source.octets()[15]), flow.counters.packets)
    });
    let overflow = snapshot
        .overflow
        .iter()
        .map(|sum| (None, sum.counters.packets));
    let mut all: Vec<_> = narrow.chain(wide).collect();
    all.sort_unstable();
    all.extend(overflow);
    all
}

#[test]
fn packets_with_the_same_labels_count_in_one_flow() {
    let mut table = table(NO_LIMITS);
    let first = packet(1);
    let udp = Observation {
        protocol: etherparse::IpNumber::UDP,
        ..first
    };
    let to_other_port = Observation {
        listen_port: 37009,
        ..first
    };
    // Differs only in fields whose labels were not chosen.
    let same_flow = Observation {
        ports: None,
        vlan: Some(7),
        dscp: 46,
        sensor: Ipv6Addr::from([0x26; 16]).into(),
        bytes: 1400,
        ..first
    };
    for seen in [first, udp, to_other_port, same_flow, packet(2)] {
        table.see(Duration::ZERO, &seen);
    }
    let mut counted: Vec<_> = table
        .show(Duration::ZERO)
        .narrow
        .iter()
        .map(|flow| (flow.counters.packets, flow.counters.bytes))
        .collect();
    counted.sort_unstable();
    assert_eq!(counted, [(1, 100), (1, 100), (1, 100), (2, 1500)]);
}

#[test]
fn packets_that_differ_in_one_chosen_label_are_two_flows() {
    let first = packet(1);
    let differing = [
        (Label::From, packet(2)),
        (
            Label::To,
            Observation {
                destination: [192, 0, 2, 2].into(),
                ..first
            },
        ),
        (
            Label::FromType,
            Observation {
                source: [8, 8, 8, 8].into(),
                ..first
            },
        ),
        (
            Label::ToType,
            Observation {
                destination: [8, 8, 8, 8].into(),
                ..first
            },
        ),
        (
            Label::Protocol,
            Observation {
                protocol: etherparse::IpNumber::UDP,
                ..first
            },
        ),
        (
            Label::ListenPort,
            Observation {
                listen_port: 1,
                ..first
            },
        ),
        (
            Label::Sensor,
            Observation {
                sensor: Ipv6Addr::from([0x26; 16]).into(),
                ..first
            },
        ),
        (
            Label::FromPort,
            Observation {
                ports: Some((1, 443)),
                ..first
            },
        ),
        (
            Label::ToPort,
            Observation {
                ports: Some((54321, 1)),
                ..first
            },
        ),
        (
            Label::Vlan,
            Observation {
                vlan: Some(0),
                ..first
            },
        ),
        (Label::Dscp, Observation { dscp: 1, ..first }),
        (Label::IpVersion, ipv6_packet(1)),
        (
            Label::Service,
            Observation {
                ports: Some((54321, 80)),
                ..first
            },
        ),
    ];
    for (label, other) in differing {
        let flows = |labels: Labels| {
            let shape = Shape {
                labels,
                services: Services::registered(),
                ..Shape::default()
            };
            let mut table = FlowTable::new(shape, NO_LIMITS);
            for packet in [&first, &other, &first, &other] {
                table.see(Duration::ZERO, packet);
            }
            table.occupancy().flows
        };
        assert_eq!(flows(Labels::from_iter([label])), 2, "{label:?}");
        let unrelated = match label {
            Label::From | Label::FromType | Label::IpVersion => Label::Vlan,
            _ => Label::From,
        };
        assert_eq!(flows(Labels::from_iter([unrelated])), 1, "{label:?}");
    }
}

#[test]
fn a_missing_port_or_vlan_differs_from_number_0() {
    let mut table = with_labels("from_port,to_port,vlan");
    for ports in [None, Some((0, 0)), Some((0, 1))] {
        for vlan in [None, Some(0)] {
            let packet = Observation {
                ports,
                vlan,
                ..packet(1)
            };
            table.see(Duration::ZERO, &packet);
        }
    }
    assert_eq!(table.occupancy().flows, 6);
}

#[test]
fn packets_of_flows_without_a_slot_count_in_the_overflow() {
    let mut table = table(FlowLimits {
        flows: 2,
        ..NO_LIMITS
    });
    for host in [1, 2, 3, 4, 1, 3] {
        table.see(Duration::ZERO, &packet(host));
    }
    table.see(Duration::ZERO, &ipv6_packet(5));
    let expected = [(Some(1), 2), (Some(2), 1), (None, 4)];
    assert_eq!(seen(&mut table, Duration::ZERO), expected);
    let occupancy = table.occupancy();
    assert_eq!((occupancy.flows, occupancy.overflow_packets), (2, 4));
    assert_eq!(occupancy.demand, 5);
}

#[test]
fn overflow_series_have_protocol_and_listen_port_if_other_labels_mark_them_as_overflow() {
    let overflow = |list: &str| {
        let mut table = with_labels(list);
        table.accounts.limits.flows = 0;
        for (protocol, listen_port) in [(6, 1), (6, 2), (17, 1), (6, 1)] {
            let packet = Observation {
                protocol: etherparse::IpNumber(protocol),
                listen_port,
                ..packet(1)
            };
            table.see(Duration::ZERO, &packet);
        }
        let snapshot = table.show(Duration::ZERO);
        let keys = snapshot.overflow.iter().filter(|sum| sum.key.is_some());
        let packets = snapshot.overflow.iter().map(|sum| sum.counters.packets);
        (keys.count(), packets.sum::<u64>(), snapshot.overflow.len())
    };
    assert_eq!(overflow("from,protocol,listen_port"), (3, 4, 3));
    assert_eq!(overflow("from,protocol"), (2, 4, 2));
    assert_eq!(overflow("from,listen_port"), (2, 4, 2));
    assert_eq!(overflow("from"), (1, 4, 1));
    // Without a key: all labels are `other`.
    assert_eq!(overflow("protocol,listen_port"), (0, 4, 1));
    assert_eq!(overflow("protocol"), (0, 4, 1));
}

#[test]
fn the_outcome_depends_on_the_order_once_a_flow_gets_no_slot() {
    let mut table = table(FlowLimits {
        flows: 2,
        ..NO_LIMITS
    });
    table.see(seconds(0), &packet(1));
    table.see(seconds(0), &packet(2));
    table.see(seconds(0), &packet(1));
    assert!(!table.depends_on_order());
    table.see(seconds(0), &packet(3));
    assert!(table.depends_on_order());
    table.clear();
    assert!(!table.depends_on_order());
    assert_eq!(seen(&mut table, seconds(0)), []);
}

#[test]
fn traffic_series_count_every_packet() {
    let shape = |labels: &str, lengths: &[&str]| {
        let lengths: Vec<_> = lengths
            .iter()
            .map(|text| text.parse().expect("a prefix length"))
            .collect();
        Shape {
            labels: labels.parse().expect("a list of labels"),
            classes: Classes::new(&[], &lengths).expect("known names"),
            ..Shape::default()
        }
    };
    let limits = FlowLimits {
        flows: 2,
        idle_flows: 0,
        hold: MINUTE,
        ..IDLE_AFTER_A_MINUTE
    };
    for shape in [
        shape("from,to,protocol,listen_port", &[]),
        shape("from,to,protocol,listen_port", &["public=0", "private=0"]),
        shape("from_type,to_type,protocol,listen_port", &[]),
        shape("vlan", &[]),
    ] {
        let mut table = FlowTable::new(shape, limits);
        for at in 0..100 {
            let host = u8::try_from(at % 7).expect("a small number");
            let from_public = Observation {
                source: [8, 8, 8, host].into(),
                ..packet(host)
            };
            for packet in [packet(host), from_public, ipv6_packet(host)] {
                table.see(seconds(20 * at), &packet);
            }
            table.show(seconds(20 * at + 1));
        }
        let traffic = table.show(seconds(2000)).traffic;
        let mut packets: Vec<_> = traffic.iter().map(|sum| sum.counters.packets).collect();
        packets.sort_unstable();
        assert_eq!(packets, [100, 100, 100]);
    }
}
