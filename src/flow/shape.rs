use std::net::{IpAddr, Ipv4Addr};

use etherparse::IpNumber;

use super::class::{Class, Classes, Lengths, WHOLE};
use super::key::{Address, Key, Packed};
use super::label::{Label, Labels};
use crate::wire::Observation;

/// How packets are put together into flows: by the labels that were chosen, and by what is shown
/// of addresses.
#[derive(Debug, Default)]
pub struct Shape {
    pub labels: Labels,
    pub classes: Classes,
    /// No datagrams carried the packets.
    pub plain: bool,
}

/// The key of a flow, in the narrowest kind that holds it.
#[derive(Debug, Clone, Copy)]
pub(super) enum AnyKey {
    Narrow(Packed<Ipv4Addr>),
    Wide(Packed<IpAddr>),
}

/// What tells packets without a place apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OverflowKey {
    pub protocol: IpNumber,
    pub listen_port: u16,
}

/// What tells the series of the traffic families apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrafficKey {
    pub from_class: Class,
    pub to_class: Class,
    pub protocol: IpNumber,
    pub listen_port: u16,
}

impl Shape {
    /// The bits that the chosen labels show of a narrow key with all that is known of a packet.
    /// `None` if these labels need classes, which are looked up.
    pub(super) fn mask(&self) -> Option<Packed<Ipv4Addr>> {
        let has = |label| self.labels.contains(label);
        let needs_class = |address, class| has(class) && !has(address);
        if self.classes.fold()
            || needs_class(Label::From, Label::FromType)
            || needs_class(Label::To, Label::ToType)
        {
            return None;
        }
        let all = Ipv4Addr::BROADCAST.into();
        let every_bit = Observation {
            source: all,
            destination: all,
            protocol: IpNumber(u8::MAX),
            listen_port: u16::MAX,
            sensor: all,
            ports: Some((u16::MAX, u16::MAX)),
            vlan: Some(u16::MAX),
            dscp: u8::MAX,
            bytes: 0,
            truncated: None,
        };
        match self.key(&every_bit) {
            AnyKey::Narrow(mask) => Some(mask),
            AnyKey::Wide(_) => None,
        }
    }

    /// The listen port as it is shown: the label is empty where no datagrams carry the packets.
    #[must_use]
    pub fn listen_port(&self, port: u16) -> Option<u16> {
        (!self.plain).then_some(port)
    }

    pub(super) fn key(&self, seen: &Observation) -> AnyKey {
        let has_sensor = self.labels.contains(Label::Sensor);
        let ends = [seen.source, seen.destination, seen.sensor].map(IpAddr::from);
        match ends.into() {
            (IpAddr::V4(source), IpAddr::V4(destination), IpAddr::V4(sensor)) => {
                AnyKey::Narrow(self.key_with(source, destination, sensor, seen).pack())
            }
            (source, destination, sensor) => {
                let sensor = if has_sensor { sensor } else { IpAddr::NOTHING };
                let key = self.key_with(source, destination, sensor, seen);
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
    ) -> Key<A> {
        let has = |label| self.labels.contains(label);
        let (source, source_prefix, source_class) = self.end(source, Label::From, Label::FromType);
        let (destination, destination_prefix, destination_class) =
            self.end(destination, Label::To, Label::ToType);
        let all = Key::plain(source, destination, sensor, seen);
        Key {
            source_prefix,
            source_class,
            destination_prefix,
            destination_class,
            protocol: IpNumber(chosen(has(Label::Protocol), seen.protocol.0)),
            listen_port: chosen(has(Label::ListenPort), seen.listen_port),
            sensor: if has(Label::Sensor) {
                sensor
            } else {
                A::NOTHING
            },
            from_port: chosen(has(Label::FromPort), all.from_port),
            to_port: chosen(has(Label::ToPort), all.to_port),
            vlan: chosen(has(Label::Vlan), seen.vlan),
            dscp: chosen(has(Label::Dscp), seen.dscp),
            ..all
        }
    }

    /// The classes of both addresses.
    pub(super) fn classes_of(&self, seen: &Observation) -> [Class; 2] {
        [seen.source, seen.destination].map(|address| self.classes.of(address.into()))
    }

    /// The overflow series of a packet; `None` if its labels would be those of a flow.
    pub(super) fn overflow(&self, seen: &Observation) -> Option<OverflowKey> {
        let has = |label| self.labels.contains(label);
        let is_other = |label| !matches!(label, Label::Protocol | Label::ListenPort);
        self.labels.iter().any(is_other).then(|| OverflowKey {
            protocol: IpNumber(chosen(has(Label::Protocol), seen.protocol.0)),
            listen_port: chosen(has(Label::ListenPort), seen.listen_port),
        })
    }

    /// Whether all packets of a flow have the same classes, protocol and listen port.
    pub(super) fn tells_traffic_apart(&self) -> bool {
        let has = |label| self.labels.contains(label);
        let tells_class = |address, class| has(class) || has(address) && !self.classes.fold();
        has(Label::Protocol)
            && has(Label::ListenPort)
            && tells_class(Label::From, Label::FromType)
            && tells_class(Label::To, Label::ToType)
    }

    /// What an address adds to the key: what is shown of it, as how many bits, and its class. The
    /// class is looked up only where the address, as it is shown, does not tell it.
    fn end<A: Address>(&self, address: A, label: Label, class_label: Label) -> (A, u8, Class) {
        let has_address = self.labels.contains(label);
        let has_class = self.labels.contains(class_label);
        if has_address && !self.classes.fold() {
            return (address, WHOLE, Class::default());
        }
        if !has_address && !has_class {
            return (self.nothing(address), WHOLE, Class::default());
        }
        let class = self.classes.of(address.into());
        let (shown, prefix) = if has_address {
            address.shown(self.classes.lengths(class))
        } else {
            (self.nothing(address), WHOLE)
        };
        (shown, prefix, chosen(has_class, class))
    }

    /// What stands for an address whose label was not chosen.
    fn nothing<A: Address>(&self, address: A) -> A {
        if self.labels.contains(Label::IpVersion) {
            // Of 0 bits, the version is left.
            address.shown(Lengths { ipv4: 0, ipv6: 0 }).0
        } else {
            A::NOTHING
        }
    }
}

/// The same key in the narrow kind, if it fits.
fn narrowed(key: &Key<IpAddr>) -> Option<Key<Ipv4Addr>> {
    let (IpAddr::V4(source), IpAddr::V4(destination), IpAddr::V4(sensor)) =
        (key.source, key.destination, key.sensor)
    else {
        return None;
    };
    Some(Key {
        source,
        source_prefix: key.source_prefix,
        source_class: key.source_class,
        destination,
        destination_prefix: key.destination_prefix,
        destination_class: key.destination_class,
        protocol: key.protocol,
        listen_port: key.listen_port,
        sensor,
        from_port: key.from_port,
        to_port: key.to_port,
        vlan: key.vlan,
        dscp: key.dscp,
    })
}

fn chosen<T: Default>(is_chosen: bool, value: T) -> T {
    if is_chosen { value } else { T::default() }
}
