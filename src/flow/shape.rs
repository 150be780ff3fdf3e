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
use crate::geo::Operator;
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

/// The key of a flow: narrow if all its addresses are IPv4, else wide.
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

/// Takes the classes from the key.
impl From<Key<Ipv4Addr>> for TrafficKey {
    #[inline]
    fn from(key: Key<Ipv4Addr>) -> Self {
        Self {
            from_class: key.source_class,
            to_class: key.destination_class,
            protocol: key.protocol,
            listen_port: key.listen_port,
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
    /// Whether a key of all fields of a packet needs the classes of its addresses, because the key
    /// of its flow or of its traffic series depends on them. The table then looks them up for each
    /// packet, and not just for each flow.
    pub(super) fn classifies_packets(&self) -> bool {
        !self.determines_traffic_key()
            || self.classes.has_prefix_lengths()
            || self.has_class(Label::From, Label::FromType)
            || self.has_class(Label::To, Label::ToType)
    }

    /// Returns a mask for narrow keys with all fields of a packet: the bits that the key of its flow
    /// may show.
    ///
    /// A mask replaces a dozen branches on the chosen labels by a few `and` instructions.
    pub(super) fn mask(&self) -> Packed<Ipv4Addr> {
        let has = |label| self.labels.contains(label);
        let class = |address, class| Class(chosen(self.has_class(address, class), u8::MAX));
        let address = |label| Ipv4Addr::from_bits(chosen(has(label), u32::MAX));
        let key = Key {
            source: address(Label::From),
            source_prefix: u8::MAX,
            source_class: class(Label::From, Label::FromType),
            destination: address(Label::To),
            destination_prefix: u8::MAX,
            destination_class: class(Label::To, Label::ToType),
            protocol: IpNumber(chosen(has(Label::Protocol), u8::MAX)),
            listen_port: chosen(has(Label::ListenPort), u16::MAX),
            sensor: address(Label::Sensor),
            from_port: has(Label::FromPort).then_some(u16::MAX),
            to_port: has(Label::ToPort).then_some(u16::MAX),
            vlan: has(Label::Vlan).then_some(u16::MAX),
            dscp: chosen(has(Label::Dscp), u8::MAX),
            service: Service::NONE,
            source_place: Place::NONE,
            destination_place: Place::NONE,
        };
        key.pack()
    }

    /// Returns the key with the classes of its addresses, and how many bits of them are shown.
    #[expect(
        clippy::inline_always,
        reason = "passed on in memory, a key takes longer to pack"
    )]
    #[inline(always)]
    pub(super) fn classified(&self, key: Key<Ipv4Addr>) -> Key<Ipv4Addr> {
        let source_class = self.classes.of_ipv4(key.source);
        let destination_class = self.classes.of_ipv4(key.destination);
        let prefix = |label, class| {
            if self.labels.contains(label) {
                self.classes.lengths(class).ipv4
            } else {
                WHOLE
            }
        };
        Key {
            source_prefix: prefix(Label::From, source_class),
            source_class,
            destination_prefix: prefix(Label::To, destination_class),
            destination_class,
            ..key
        }
    }

    /// Returns the value of the label `listen_port`; `None`, an empty label, if no datagrams
    /// carried the packets.
    #[must_use]
    pub fn listen_port(&self, port: u16) -> Option<u16> {
        (!self.plain).then_some(port)
    }

    /// Returns the places that the key of a packet's flow holds: those of the ends whose address it
    /// does not hold. `learn` takes the operators that were looked up.
    pub(super) fn places_in_key(
        &self,
        [from, to]: &mut [RecentPlaces; 2],
        hasher: &RandomState,
        seen: &Observation,
        mut learn: impl FnMut(Operator),
    ) -> [Place; 2] {
        let [source, destination] = self.place_parts(false);
        let ends = [
            (from, seen.source, source),
            (to, seen.destination, destination),
        ];
        ends.map(|(recent, address, parts)| {
            if parts.are_any() {
                recent.place(&self.places, hasher, address.into(), parts, &mut learn)
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

    /// Returns the key of a packet's flow, which may hold `places`.
    pub(super) fn key(&self, seen: &Observation, places: [Place; 2]) -> AnyKey {
        let has_sensor = self.labels.contains(Label::Sensor);
        let addresses = [seen.source, seen.destination, seen.sensor].map(IpAddr::from);
        match addresses.into() {
            (IpAddr::V4(source), IpAddr::V4(destination), IpAddr::V4(sensor)) => AnyKey::Narrow(
                self.key_with(source, destination, sensor, seen, places)
                    .pack(),
            ),
            (source, destination, sensor) => {
                let sensor = if has_sensor {
                    sensor
                } else {
                    IpAddr::PLACEHOLDER
                };
                let key = self.key_with(source, destination, sensor, seen, places);
                // The IPv6 address may be one that is not shown. A flow must have the same kind of
                // key whatever packet comes first, or it would be in the table twice.
                narrowed(&key).map_or(AnyKey::Wide(key.pack()), |key| AnyKey::Narrow(key.pack()))
            }
        }
    }

    fn key_with<A: Address>(
        &self,
        source: A,
        destination: A,
        sensor: A,
        seen: &Observation,
        [source_place, destination_place]: [Place; 2],
    ) -> Key<A> {
        let has = |label| self.labels.contains(label);
        let (source, source_prefix, source_class) = self.end(source, Label::From, Label::FromType);
        let (destination, destination_prefix, destination_class) =
            self.end(destination, Label::To, Label::ToType);
        let all = Key::of_packet(source, destination, sensor, seen);
        Key {
            source_prefix,
            source_class,
            destination_prefix,
            destination_class,
            protocol: self.protocol(seen),
            listen_port: chosen(has(Label::ListenPort), seen.listen_port),
            sensor: if has(Label::Sensor) {
                sensor
            } else {
                A::PLACEHOLDER
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
        }
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

    /// Whether the keys of flows hold something that has to be looked up for each packet. A
    /// [`mask`](Self::mask) alone then does not make them.
    pub(super) fn looks_up_packets(&self) -> bool {
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

    /// Whether all packets of a flow count in the same series of the traffic families: they have
    /// the same classes, protocol and listen port.
    pub(super) fn determines_traffic_key(&self) -> bool {
        let has = |label| self.labels.contains(label);
        let determines_class =
            |address, class| has(class) || has(address) && !self.classes.has_prefix_lengths();
        has(Label::Protocol)
            && has(Label::ListenPort)
            && determines_class(Label::From, Label::FromType)
            && determines_class(Label::To, Label::ToType)
    }

    /// Whether an address is that of a host.
    #[must_use]
    pub fn is_host(&self, address: IpAddr) -> bool {
        self.hosts.contains(self.classes.of(address))
    }

    /// Whether all packets of a flow are of the same hosts, with peers of the same classes: a flow
    /// shows the classes of both addresses, and the addresses of hosts are whole.
    pub(super) fn determines_hosts(&self) -> bool {
        let has = |label| self.labels.contains(label);
        let determines_class = |class| has(class) || !self.classes.has_prefix_lengths();
        has(Label::From)
            && has(Label::To)
            && determines_class(Label::FromType)
            && determines_class(Label::ToType)
            && self.hosts.are_shown_whole(&self.classes)
    }

    /// Returns the addresses of a packet that are hosts, given the classes of both.
    pub(super) fn hosts(
        &self,
        seen: &Observation,
        [from_class, to_class]: [Class; 2],
    ) -> [Option<IpAddr>; 2] {
        let host = |address: Ip, class| self.hosts.contains(class).then(|| address.into());
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

    /// Whether the class of an address is part of the key: its label was chosen, and the shown address
    /// does not determine it.
    fn has_class(&self, label: Label, class_label: Label) -> bool {
        let is_determined = self.labels.contains(label) && !self.classes.has_prefix_lengths();
        self.labels.contains(class_label) && !is_determined
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

/// Returns the same key in the narrow kind, if all its addresses are IPv4.
fn narrowed(key: &Key<IpAddr>) -> Option<Key<Ipv4Addr>> {
    let [
        IpAddr::V4(source),
        IpAddr::V4(destination),
        IpAddr::V4(sensor),
    ] = key.addresses()
    else {
        return None;
    };
    Some(key.with_addresses([source, destination, sensor]))
}

/// Returns the value if its label was chosen. All other keys hold the same default there, so the
/// field does not tell flows apart.
fn chosen<T: Default>(is_chosen: bool, value: T) -> T {
    if is_chosen { value } else { T::default() }
}
