use std::net::{IpAddr, Ipv4Addr};

use etherparse::IpNumber;

use super::class::{Class, Classes, Shown, WHOLE};
use super::key::Key;
use super::label::{Label, Labels};
use crate::wire::Observation;

/// How packets are put together into flows: by the labels that were chosen, and by what is shown
/// of addresses.
#[derive(Debug, Default)]
pub struct Shape {
    pub labels: Labels,
    pub classes: Classes,
}

/// The key of a flow, in the narrowest kind that holds it.
#[derive(Debug, Clone, Copy)]
pub(super) enum AnyKey {
    Narrow(Key<Ipv4Addr>),
    Wide(Key<IpAddr>),
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

/// What one of the two addresses adds to the key.
struct End {
    shown: Shown,
    class: Class,
}

impl Shape {
    pub(super) fn key(&self, seen: &Observation) -> AnyKey {
        let has = |label| self.labels.contains(label);
        let from = self.end(seen.source, Label::From, Label::FromType);
        let to = self.end(seen.destination, Label::To, Label::ToType);
        let (from_port, to_port) = seen.ports.unzip();
        let key = Key {
            source: from.shown.address,
            source_prefix: from.shown.prefix,
            source_class: from.class,
            destination: to.shown.address,
            destination_prefix: to.shown.prefix,
            destination_class: to.class,
            protocol: IpNumber(chosen(has(Label::Protocol), seen.protocol.0)),
            listen_port: chosen(has(Label::ListenPort), seen.listen_port),
            sensor: if has(Label::Sensor) {
                seen.sensor
            } else {
                Shown::NOTHING.address
            },
            from_port: chosen(has(Label::FromPort), from_port),
            to_port: chosen(has(Label::ToPort), to_port),
            vlan: chosen(has(Label::Vlan), seen.vlan),
            dscp: chosen(has(Label::Dscp), seen.dscp),
        };
        match (key.source, key.destination, key.sensor) {
            (IpAddr::V4(source), IpAddr::V4(destination), IpAddr::V4(sensor)) => {
                AnyKey::Narrow(Key {
                    source,
                    destination,
                    sensor,
                    source_prefix: key.source_prefix,
                    source_class: key.source_class,
                    destination_prefix: key.destination_prefix,
                    destination_class: key.destination_class,
                    protocol: key.protocol,
                    listen_port: key.listen_port,
                    from_port: key.from_port,
                    to_port: key.to_port,
                    vlan: key.vlan,
                    dscp: key.dscp,
                })
            }
            _ => AnyKey::Wide(key),
        }
    }

    /// The classes of both addresses.
    pub(super) fn classes_of(&self, seen: &Observation) -> [Class; 2] {
        [seen.source, seen.destination].map(|address| self.classes.of(address))
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

    /// A class is looked up only where the address, as it is shown, does not tell it.
    fn end(&self, address: IpAddr, label: Label, class_label: Label) -> End {
        let has_address = self.labels.contains(label);
        let has_class = self.labels.contains(class_label);
        if has_address && !self.classes.fold() {
            return End {
                shown: Shown {
                    address,
                    prefix: WHOLE,
                },
                class: Class::default(),
            };
        }
        let class = if has_address || has_class {
            self.classes.of(address)
        } else {
            Class::default()
        };
        let shown = if has_address {
            self.classes.shown(address, class)
        } else {
            self.nothing(address)
        };
        End {
            shown,
            class: chosen(has_class, class),
        }
    }

    /// What stands for an address whose label was not chosen.
    fn nothing(&self, address: IpAddr) -> Shown {
        if address.is_ipv6() && self.labels.contains(Label::IpVersion) {
            Shown::NOTHING_OF_IPV6
        } else {
            Shown::NOTHING
        }
    }
}

fn chosen<T: Default>(is_chosen: bool, value: T) -> T {
    if is_chosen { value } else { T::default() }
}
