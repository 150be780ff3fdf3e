//! From the observation of a packet to the keys of the series that it counts in.

use std::net::{IpAddr, Ipv4Addr};

use etherparse::IpNumber;
use foldhash::quality::RandomState;

use super::class::{Class, Classes, Lengths, WHOLE};
use super::host_classes::HostClasses;
use super::key::{Address, Key, Packed};
use super::label::{Label, Labels};
use super::place::{self, Parts, Place, Places, RecentPlaces};
use super::services::{Service, Services};
use crate::wire::{Ip, Observation};

/// The value in a key where the protocol is not shown.
const NO_PROTOCOL: IpNumber = IpNumber(0);

/// The rules by which packets are grouped into flows: the chosen labels, the classes of addresses,
/// and how many bits of an address are shown.
#[derive(Debug, Default)]
pub struct Shape {
    pub labels: Labels,
    pub classes: Classes,
    /// The classes whose addresses are hosts.
    pub hosts: HostClasses,
    /// Whether the packets were captured directly, without datagrams that carry them. They then
    /// have no listen port.
    pub plain: bool,
    /// The names of services, if that label was chosen.
    pub services: Services,
    /// The databases of countries and network operators.
    pub places: Places,
}

/// The key of a flow or of a packet: narrow if all its addresses are IPv4, else wide.
#[derive(Debug, Clone, Copy)]
pub(super) enum AnyKey {
    Narrow(Packed<Ipv4Addr>),
    Wide(Packed<IpAddr>),
}

/// The key of an overflow series, in which packets count whose flow has no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OverflowKey {
    pub protocol: IpNumber,
    pub listen_port: u16,
}

/// The key of a series of the traffic families, in which every packet counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrafficKey {
    pub from_class: Class,
    pub to_class: Class,
    pub protocol: IpNumber,
    pub listen_port: u16,
}

/// Returns a narrow key if all addresses are IPv4. An IPv6 address may be one that is not shown: a
/// flow must have the same kind of key whatever packet comes first, or it would be in the table twice.
impl From<Key<IpAddr>> for AnyKey {
    fn from(key: Key<IpAddr>) -> Self {
        match key.addresses() {
            [
                IpAddr::V4(source),
                IpAddr::V4(destination),
                IpAddr::V4(sensor),
            ] => {
                let key = key.with_addresses([source, destination, sensor]);
                Self::Narrow(key.pack())
            }
            _ => Self::Wide(key.pack()),
        }
    }
}

impl TrafficKey {
    /// Returns a byte that differs among the keys of ordinary traffic: a few protocols within and
    /// between a few classes.
    #[inline]
    pub(super) fn hint(self) -> u8 {
        let classes = self.from_class.0.rotate_left(3) ^ self.to_class.0.rotate_left(5);
        let [_, port] = self.listen_port.to_be_bytes();
        classes ^ self.protocol.0 ^ port
    }
}

impl Shape {
    /// Whether the values that labels show are fields of the packet, and determine its traffic series
    /// and its hosts. Otherwise something depends on fields that are not shown, or has to be looked up.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        let shown = [Label::From, Label::To, Label::Protocol, Label::ListenPort];
        shown.iter().all(|&label| self.labels.contains(label))
            && !self.classes.has_prefix_lengths()
            && !self.looks_up_packets()
    }

    /// Returns the key of a packet without the fields that do not matter: those that influence neither
    /// its flow nor its traffic series nor its hosts.
    fn relevant_fields<A: Address>(&self, key: Key<A>) -> Key<A> {
        let has = |label| self.labels.contains(label);
        let has_port = |label| has(label) || has(Label::Service);
        Key {
            sensor: if has(Label::Sensor) {
                key.sensor
            } else {
                A::PLACEHOLDER
            },
            from_port: chosen(has_port(Label::FromPort), key.from_port),
            to_port: chosen(has_port(Label::ToPort), key.to_port),
            vlan: chosen(has(Label::Vlan), key.vlan),
            dscp: chosen(has(Label::Dscp), key.dscp),
            ..key
        }
    }

    /// Returns a mask for packed narrow keys of packets: the bits of the relevant fields.
    ///
    /// A mask replaces a dozen branches on the chosen labels by a few `and` instructions.
    pub(super) fn mask(&self) -> Packed<Ipv4Addr> {
        let ones = Ipv4Addr::BROADCAST;
        let all = Observation {
            protocol: IpNumber(u8::MAX),
            listen_port: u16::MAX,
            ports: Some((u16::MAX, u16::MAX)),
            vlan: Some(u16::MAX),
            dscp: u8::MAX,
            ..Observation::default()
        };
        let key = Key::of_packet(ones, ones, ones, &all);
        self.relevant_fields(key).pack_fields()
    }

    /// Returns the key of a packet's relevant fields. If the shape [is direct](Self::is_direct), it is
    /// the key of the packet's flow.
    pub(super) fn packet_key(&self, seen: &Observation) -> AnyKey {
        let [source, destination, sensor] =
            [seen.source, seen.destination, seen.sensor].map(IpAddr::from);
        let key = Key::of_packet(source, destination, sensor, seen);
        self.relevant_fields(key).into()
    }

    /// Returns the value of the label `listen_port`; `None`, an empty label, if no datagrams
    /// carried the packets.
    #[must_use]
    pub fn listen_port(&self, port: u16) -> Option<u16> {
        (!self.plain).then_some(port)
    }

    /// Returns the places that the key of a packet's flow holds: those of the ends whose address it
    /// does not hold.
    pub(super) fn places_in_key(
        &self,
        [from, to]: &mut [RecentPlaces; 2],
        hasher: &RandomState,
        seen: &Observation,
    ) -> [Place; 2] {
        let [source, destination] = self.place_parts(false);
        let ends = [
            (from, seen.source, source),
            (to, seen.destination, destination),
        ];
        ends.map(|(recent, address, parts)| {
            if parts.are_any() {
                recent.place(&self.places, hasher, address.into(), parts)
            } else {
                Place::NONE
            }
        })
    }

    /// Returns a flow's key with the places that the shown addresses determine.
    pub(super) fn with_places<A: Address>(&self, mut key: Key<A>) -> Key<A> {
        let [source, destination] = self.place_parts(true);
        let databases = self.places.databases();
        let place_of = |address: A, parts: Parts| {
            let (place, operator) = place::look_up(&databases, address.into(), parts);
            if let Some(operator) = operator {
                self.places.learn(operator);
            }
            place
        };
        if source.are_any() {
            key.source_place = place_of(key.source, source);
        }
        if destination.are_any() {
            key.destination_place = place_of(key.destination, destination);
        }
        key
    }

    /// Returns the parts of the places of source and destination that labels show, of those ends
    /// whose address is shown, or of the other ends.
    pub(super) fn place_parts(&self, of_shown: bool) -> [Parts; 2] {
        let of = |address, parts: Parts| {
            if self.labels.contains(address) == of_shown {
                parts
            } else {
                Parts::NONE
            }
        };
        [
            of(Label::From, Parts::of_source(self.labels)),
            of(Label::To, Parts::of_destination(self.labels)),
        ]
    }

    /// Whether some places are determined by shown addresses, and kept beside the flows.
    pub(super) fn keeps_places(&self) -> bool {
        self.place_parts(true).iter().any(|parts| parts.are_any())
    }

    /// Returns the key of a packet's flow, which may hold these places.
    pub(super) fn key(
        &self,
        seen: &Observation,
        [source_place, destination_place]: [Place; 2],
    ) -> AnyKey {
        let has = |label| self.labels.contains(label);
        let [source, destination, sensor] =
            [seen.source, seen.destination, seen.sensor].map(IpAddr::from);
        let (source, source_prefix, source_class) = self.end(source, Label::From, Label::FromType);
        let (destination, destination_prefix, destination_class) =
            self.end(destination, Label::To, Label::ToType);
        let all = Key::of_packet(source, destination, sensor, seen);
        let key = Key {
            source_prefix,
            source_class,
            destination_prefix,
            destination_class,
            protocol: self.protocol(seen),
            listen_port: chosen(has(Label::ListenPort), seen.listen_port),
            sensor: if has(Label::Sensor) {
                sensor
            } else {
                IpAddr::PLACEHOLDER
            },
            from_port: chosen(has(Label::FromPort), all.from_port),
            to_port: chosen(has(Label::ToPort), all.to_port),
            vlan: chosen(has(Label::Vlan), seen.vlan),
            dscp: chosen(has(Label::Dscp), seen.dscp),
            service: if self.has_service_in_key() {
                self.services.of_packet(seen.protocol, seen.ports)
            } else {
                Service::NONE
            },
            source_place,
            destination_place,
            ..all
        };
        key.into()
    }

    /// Returns the protocol that the key of a packet's flow holds.
    fn protocol(&self, seen: &Observation) -> IpNumber {
        let has = |label| self.labels.contains(label);
        if has(Label::Protocol) {
            seen.protocol
        } else if has(Label::Service) && !self.has_service_in_key() {
            // The ports in the key determine the service for a given protocol only.
            let protocol = self.services.protocol_of(seen.protocol, seen.ports);
            protocol.unwrap_or(NO_PROTOCOL)
        } else {
            NO_PROTOCOL
        }
    }

    /// Whether a key holds the service. Otherwise it holds both ports, which determine the service.
    fn has_service_in_key(&self) -> bool {
        let has = |label| self.labels.contains(label);
        has(Label::Service) && !(has(Label::FromPort) && has(Label::ToPort))
    }

    /// Whether the keys of flows hold something that has to be looked up.
    fn looks_up_packets(&self) -> bool {
        let has = |label| self.labels.contains(label);
        let has_place = self.place_parts(false).iter().any(|parts| parts.are_any());
        has_place || has(Label::Service) && (self.has_service_in_key() || !has(Label::Protocol))
    }

    /// Returns the service that a flow shows.
    #[must_use]
    pub fn service<A: Address>(&self, key: &Key<A>) -> Service {
        if self.has_service_in_key() {
            key.service
        } else {
            let ports = key.from_port.zip(key.to_port);
            self.services.of_packet(key.protocol, ports)
        }
    }

    /// Returns the key of the series of the traffic families in which a packet counts.
    pub(super) fn traffic(&self, seen: &Observation) -> TrafficKey {
        TrafficKey {
            from_class: self.classes.of(seen.source.into()),
            to_class: self.classes.of(seen.destination.into()),
            protocol: seen.protocol,
            listen_port: seen.listen_port,
        }
    }

    /// Returns the key of the overflow series in which a packet counts if its flow has no slot.
    ///
    /// The series shows protocol and listen port, and `other` in all other labels. `None` if there
    /// are no other labels: the series would then have the same labels as a flow.
    pub(super) fn overflow(&self, seen: &Observation) -> Option<OverflowKey> {
        let has = |label| self.labels.contains(label);
        let is_other = |label| !matches!(label, Label::Protocol | Label::ListenPort);
        self.labels.iter().any(is_other).then(|| OverflowKey {
            protocol: IpNumber(chosen(has(Label::Protocol), seen.protocol.0)),
            listen_port: chosen(has(Label::ListenPort), seen.listen_port),
        })
    }

    /// Whether an address is that of a host.
    #[must_use]
    pub fn is_host(&self, address: IpAddr) -> bool {
        self.hosts.contains(self.classes.of(address))
    }

    /// Returns the addresses of a packet that are hosts, given the classes of both.
    #[inline]
    pub(super) fn hosts(
        &self,
        seen: &Observation,
        [from_class, to_class]: [Class; 2],
    ) -> [Option<Ip>; 2] {
        let host = |address, class| self.hosts.contains(class).then_some(address);
        [
            host(seen.source, from_class),
            host(seen.destination, to_class),
        ]
    }

    /// Returns what the key holds of an address: its shown part, the number of bits shown, and its
    /// class. The class is not looked up, and not part of the key, if the shown address determines
    /// it: the table looks it up once for each flow instead.
    fn end<A: Address>(&self, address: A, label: Label, class_label: Label) -> (A, u8, Class) {
        let has_address = self.labels.contains(label);
        let has_class = self.labels.contains(class_label);
        if has_address && !self.classes.has_prefix_lengths() {
            return (address, WHOLE, Class::default());
        }
        if !has_address && !has_class {
            return (self.placeholder(address), WHOLE, Class::default());
        }
        let class = self.classes.of(address.into());
        let (shown, prefix) = if has_address {
            address.shown(self.classes.lengths(class))
        } else {
            (self.placeholder(address), WHOLE)
        };
        (shown, prefix, chosen(has_class, class))
    }

    /// Returns the value in the key for an address whose label was not chosen.
    fn placeholder<A: Address>(&self, address: A) -> A {
        if self.labels.contains(Label::IpVersion) {
            // With 0 bits shown, the address is 0.0.0.0 or ::, which keeps the version.
            address.shown(Lengths { ipv4: 0, ipv6: 0 }).0
        } else {
            A::PLACEHOLDER
        }
    }
}

/// Returns the value if its label was chosen. All other keys hold the same default there, so the
/// field does not tell flows apart.
fn chosen<T: Default>(is_chosen: bool, value: T) -> T {
    if is_chosen { value } else { T::default() }
}
