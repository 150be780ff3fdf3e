//! Compares the flows with a map by the values of their labels. The values are worked out from the
//! packets alone, without keys.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::IpNumber;
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::snapshot::{Counters, Flow};
use super::super::{Address, Label, Labels, Place, Services};
use super::tests::{NO_LIMITS, seconds};
use super::*;
use crate::wire::Observation;

/// Addresses and their classes: IPv4, then IPv6.
const ADDRESSES: [(IpAddr, &str); 5] = [
    (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), "private"),
    (IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)), "public"),
    (IpAddr::V4(Ipv4Addr::new(9, 9, 9, 9)), "public"),
    (
        IpAddr::V6(Ipv6Addr::new(0x2a00, 0x1450, 0, 0, 0, 0, 0, 1)),
        "public",
    ),
    (
        IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1)),
        "private",
    ),
];
/// Their countries and operators, by the database.
const PLACES: [(&str, &str); 5] = [
    ("", ""),
    ("US", "AS15169 Google LLC"),
    ("", ""),
    ("DE", "AS64499 Ünïcode e.V."),
    ("", ""),
];
const DATABASE: &[u8] = include_bytes!("../../../testdata/flat.mmdb");
const IPV4: usize = 3;
/// Ports, and their services of TCP, UDP and others.
const PORTS: [(u16, [&str; 3]); 4] = [
    (60000, ["", "", ""]),
    (443, ["web", "web", ""]),
    (53, ["", "domain", ""]),
    (8080, ["proxy", "", ""]),
];
const PROTOCOLS: [IpNumber; 3] = [IpNumber::TCP, IpNumber::UDP, IpNumber::GRE];
const SERVICES: &str = "\
    web 443/tcp/udp\n\
    domain 53/udp\n\
    proxy 8080/tcp\n";

/// A packet, as positions in the lists above. `None` for the ports: a fragment.
#[derive(Debug, Clone, Copy)]
struct Packet {
    from: usize,
    to: usize,
    protocol: usize,
    ports: Option<(usize, usize)>,
}

fn packet() -> impl Strategy<Value = Packet> {
    let port = || 0..PORTS.len();
    let ports = proptest::option::weighted(0.8, (port(), port()));
    let addresses = prop_oneof![
        (0..IPV4, 0..IPV4),
        (IPV4..ADDRESSES.len(), IPV4..ADDRESSES.len())
    ];
    (addresses, 0..PROTOCOLS.len(), ports).prop_map(|((from, to), protocol, ports)| Packet {
        from,
        to,
        protocol,
        ports,
    })
}

impl Packet {
    fn seen(self) -> Observation {
        Observation {
            source: ADDRESSES[self.from].0.into(),
            destination: ADDRESSES[self.to].0.into(),
            protocol: PROTOCOLS[self.protocol],
            ports: self.ports.map(|(from, to)| (PORTS[from].0, PORTS[to].0)),
            bytes: 100,
            ..Observation::default()
        }
    }

    /// Returns the value of a label, as [`shown`] returns it for a flow.
    fn value(self, label: Label) -> String {
        let port = |side: fn((usize, usize)) -> usize| {
            self.ports
                .map(|ports| PORTS[side(ports)].0.to_string())
                .unwrap_or_default()
        };
        match label {
            Label::From | Label::FromName => ADDRESSES[self.from].0.to_string(),
            Label::To | Label::ToName => ADDRESSES[self.to].0.to_string(),
            Label::FromType => ADDRESSES[self.from].1.to_owned(),
            Label::ToType => ADDRESSES[self.to].1.to_owned(),
            Label::Protocol => PROTOCOLS[self.protocol].0.to_string(),
            Label::FromPort => port(|(from, _)| from),
            Label::ToPort => port(|(_, to)| to),
            Label::IpVersion => {
                let addresses = [self.from, self.to].map(|end| ADDRESSES[end].0);
                let version = if addresses.iter().any(IpAddr::is_ipv6) {
                    6
                } else {
                    4
                };
                version.to_string()
            }
            Label::Service => self.service().to_owned(),
            Label::FromCountry => PLACES[self.from].0.to_owned(),
            Label::ToCountry => PLACES[self.to].0.to_owned(),
            Label::FromAsn => PLACES[self.from].1.to_owned(),
            Label::ToAsn => PLACES[self.to].1.to_owned(),
            Label::ListenPort | Label::Sensor | Label::Vlan | Label::Dscp => String::new(),
        }
    }

    /// The rule: registered and below 1024 first, then registered, then the lower port.
    fn service(self) -> &'static str {
        let Some((from, to)) = self.ports else {
            return "";
        };
        let mut ports = [from, to].map(|port| PORTS[port]);
        ports.sort_by_key(|(port, services)| {
            let is_registered = !services[self.protocol].is_empty();
            (!(is_registered && *port < 1024), !is_registered, *port)
        });
        ports[0].1[self.protocol]
    }
}

/// Returns the value of a flow's label.
fn shown<A: Address>(shape: &Shape, flow: &Flow<A>, label: Label) -> String {
    let key = &flow.key;
    let port = |port: Option<u16>| port.map(|port| port.to_string()).unwrap_or_default();
    match label {
        Label::From | Label::FromName => key.source.into().to_string(),
        Label::To | Label::ToName => key.destination.into().to_string(),
        Label::FromType => shape.classes.name(key.source_class).to_owned(),
        Label::ToType => shape.classes.name(key.destination_class).to_owned(),
        Label::Protocol => key.protocol.0.to_string(),
        Label::FromPort => port(key.from_port),
        Label::ToPort => port(key.to_port),
        Label::IpVersion => key.ip_version().to_string(),
        Label::Service => {
            let name = shape.services.name(shape.service(key));
            name.unwrap_or_default().to_owned()
        }
        Label::FromCountry => country(key.source_place),
        Label::ToCountry => country(key.destination_place),
        Label::FromAsn => operator(shape, key.source_place),
        Label::ToAsn => operator(shape, key.destination_place),
        Label::ListenPort | Label::Sensor | Label::Vlan | Label::Dscp => String::new(),
    }
}

fn country(place: Place) -> String {
    let country = place.country.as_ref();
    country.map_or("", |country| country.as_str()).to_owned()
}

fn operator(shape: &Shape, place: Place) -> String {
    let operator = shape.places.operator(place.operator);
    operator.map_or(String::new(), |operator| operator.as_str().to_owned())
}

/// Names are left out, because they distinguish no flows.
fn labels() -> impl Strategy<Value = Labels> {
    let mut all = Label::ALL.to_vec();
    all.retain(|label| !matches!(label, Label::FromName | Label::ToName));
    let count = 1..=all.len();
    proptest::sample::subsequence(all, count).prop_map(Labels::from_iter)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_flow_is_all_packets_with_equal_values(
        packets in vec(packet(), 1..60),
        labels in labels(),
    ) {
        let services = Services::only(SERVICES);
        let shape = Shape { labels, services, ..Shape::default() };
        let mut table = FlowTable::new(shape, NO_LIMITS);
        let databases = Databases::from_bytes(DATABASE.to_vec()).expect("a database");
        table.set_databases(Arc::new(databases));
        let mut batch = table.packets(packets.len());
        let mut expected: BTreeMap<Vec<String>, u64> = BTreeMap::new();
        for packet in packets {
            batch.push(seconds(1), &packet.seen());
            let values = labels.iter().map(|label| packet.value(label)).collect();
            *expected.entry(values).or_default() += 1;
        }
        table.record(&mut batch);
        let snapshot = table.show(seconds(2));
        let mut found: BTreeMap<Vec<String>, u64> = BTreeMap::new();
        let mut add = |values: Vec<String>, Counters { packets, .. }| {
            assert_eq!(found.insert(values, packets), None, "two flows with equal labels");
        };
        let shape = &snapshot.shape;
        for flow in &snapshot.narrow {
            add(labels.iter().map(|label| shown(shape, flow, label)).collect(), flow.counters);
        }
        for flow in &snapshot.wide {
            add(labels.iter().map(|label| shown(shape, flow, label)).collect(), flow.counters);
        }
        prop_assert_eq!(found, expected);
    }
}
