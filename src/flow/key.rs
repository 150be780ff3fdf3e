//! Keys of flows.

mod address;
mod packed;
mod words;

use std::net::IpAddr;

use etherparse::IpNumber;

use super::class::{Class, WHOLE};
use super::place::Place;
use super::services::Service;
use crate::wire::Observation;
pub use address::Address;
pub(super) use packed::Packed;

/// The values that distinguish one flow from another. A field whose label was not chosen has the
/// same value in all flows.
///
/// A narrow key (`Key<Ipv4Addr>`) has only IPv4 addresses, a wide key (`Key<IpAddr>`) has any.
/// The order of the fields is the order in which the exposition sorts flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key<A: Address> {
    pub source: A,
    /// The number of bits of the source that are shown, or [`WHOLE`].
    pub source_prefix: u8,
    pub source_class: Class,
    pub destination: A,
    pub destination_prefix: u8,
    pub destination_class: Class,
    pub protocol: IpNumber,
    pub listen_port: u16,
    pub sensor: A,
    pub from_port: Option<u16>,
    pub to_port: Option<u16>,
    pub vlan: Option<u16>,
    pub dscp: u8,
    /// The service, unless the key has both ports: see [`Shape::service`](super::Shape::service).
    pub service: Service,
    /// The country and operator of the source, if labels show them. A packed key holds them only if it
    /// does not hold the address.
    pub source_place: Place,
    pub destination_place: Place,
}

impl<A: Address> Key<A> {
    /// Returns a key with all fields of a packet except the classes, whatever labels were chosen.
    #[inline]
    pub(super) fn of_packet(source: A, destination: A, sensor: A, seen: &Observation) -> Self {
        let (from_port, to_port) = seen.ports.unzip();
        Self {
            source,
            source_prefix: WHOLE,
            source_class: Class::default(),
            destination,
            destination_prefix: WHOLE,
            destination_class: Class::default(),
            protocol: seen.protocol,
            listen_port: seen.listen_port,
            sensor,
            from_port,
            to_port,
            vlan: seen.vlan,
            dscp: seen.dscp,
            service: Service::NONE,
            source_place: Place::NONE,
            destination_place: Place::NONE,
        }
    }

    /// Returns source, destination and sensor.
    pub(super) fn addresses(&self) -> [A; 3] {
        [self.source, self.destination, self.sensor]
    }

    /// Returns the same key with other addresses: source, destination and sensor. Prefix lengths
    /// and classes stay as they are.
    pub(super) fn with_addresses<B: Address>(
        &self,
        [source, destination, sensor]: [B; 3],
    ) -> Key<B> {
        Key {
            source,
            source_prefix: self.source_prefix,
            source_class: self.source_class,
            destination,
            destination_prefix: self.destination_prefix,
            destination_class: self.destination_class,
            protocol: self.protocol,
            listen_port: self.listen_port,
            sensor,
            from_port: self.from_port,
            to_port: self.to_port,
            vlan: self.vlan,
            dscp: self.dscp,
            service: self.service,
            source_place: self.source_place,
            destination_place: self.destination_place,
        }
    }

    /// Returns the same key with `f` applied to its addresses.
    pub(super) fn map_addresses<B: Address>(&self, f: impl FnMut(A) -> B) -> Key<B> {
        self.with_addresses(self.addresses().map(f))
    }

    /// Returns the same key in the wide kind.
    pub(super) fn widened(&self) -> Key<IpAddr> {
        self.map_addresses(Into::into)
    }

    /// Returns the IP version of the inner packets: 4 or 6.
    #[must_use]
    pub fn ip_version(&self) -> u8 {
        let is_ipv6 = self.source.into().is_ipv6() || self.destination.into().is_ipv6();
        if is_ipv6 { 6 } else { 4 }
    }
}
