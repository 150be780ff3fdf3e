//! Keys as bytes, for storage on disk. The bytes sort in the same order as the keys, so stored keys
//! can be merged without decoding them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::IpNumber;

use super::class::Class;
use super::key::Key;
use super::place::Place;
use super::services::Service;
use super::shape::{OverflowKey, TrafficKey};
use super::snapshot::{Direction, HostKey};
use crate::geo::Country;

impl Key<IpAddr> {
    pub const SIZE: usize = 83;

    /// Returns the key as bytes. All narrow keys sort before all wide ones.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        let mut rest = Rest(&mut bytes);
        rest.put([self.addresses().iter().any(IpAddr::is_ipv6).into()]);
        rest.put(address_bytes(self.source));
        rest.put([self.source_prefix, self.source_class.0]);
        rest.put(address_bytes(self.destination));
        rest.put([self.destination_prefix, self.destination_class.0]);
        rest.put([self.protocol.0]);
        rest.put(self.listen_port.to_be_bytes());
        rest.put(address_bytes(self.sensor));
        for field in [self.from_port, self.to_port, self.vlan] {
            let [high, low] = field.unwrap_or_default().to_be_bytes();
            rest.put([field.is_some().into(), high, low]);
        }
        rest.put([self.dscp]);
        rest.put(self.service.0.to_be_bytes());
        for place in [self.source_place, self.destination_place] {
            rest.put(place.country.map_or(0, Country::number).to_be_bytes());
            rest.put(place.operator.to_be_bytes());
        }
        bytes
    }

    /// Reverses [`to_bytes`](Self::to_bytes).
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        let mut rest = &bytes[..];
        let [_] = take(&mut rest);
        let source = address(take(&mut rest));
        let [source_prefix, source_class] = take(&mut rest);
        let destination = address(take(&mut rest));
        let [destination_prefix, destination_class] = take(&mut rest);
        let [protocol] = take(&mut rest);
        let listen_port = u16::from_be_bytes(take(&mut rest));
        let sensor = address(take(&mut rest));
        let mut field = || {
            let [is_present, high, low] = take(&mut rest);
            (is_present > 0).then_some(u16::from_be_bytes([high, low]))
        };
        let [from_port, to_port, vlan] = [field(), field(), field()];
        let [dscp] = take(&mut rest);
        let service = Service(u16::from_be_bytes(take(&mut rest)));
        let mut place = || Place {
            country: Country::from_number(u16::from_be_bytes(take(&mut rest))),
            operator: u32::from_be_bytes(take(&mut rest)),
        };
        let [source_place, destination_place] = [place(), place()];
        Self {
            source,
            source_prefix,
            source_class: Class(source_class),
            destination,
            destination_prefix,
            destination_class: Class(destination_class),
            protocol: IpNumber(protocol),
            listen_port,
            sensor,
            from_port,
            to_port,
            vlan,
            dscp,
            service,
            source_place,
            destination_place,
        }
    }
}

impl TrafficKey {
    pub const SIZE: usize = 5;

    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let [high, low] = self.listen_port.to_be_bytes();
        let (from, to) = (self.from_class.0, self.to_class.0);
        [from, to, self.protocol.0, high, low]
    }

    #[must_use]
    pub fn from_bytes(&[from, to, protocol, high, low]: &[u8; Self::SIZE]) -> Self {
        Self {
            from_class: Class(from),
            to_class: Class(to),
            protocol: IpNumber(protocol),
            listen_port: u16::from_be_bytes([high, low]),
        }
    }
}

impl HostKey {
    pub const SIZE: usize = 20;

    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        let mut rest = Rest(&mut bytes);
        rest.put([self.host.is_none().into()]);
        rest.put(self.host.map_or([0; 17], address_bytes));
        rest.put([self.direction as u8, self.peer_class.0]);
        bytes
    }

    /// Reverses [`to_bytes`](Self::to_bytes).
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        let mut rest = &bytes[..];
        let [is_other] = take(&mut rest);
        let host = address(take(&mut rest));
        let [direction, peer_class] = take(&mut rest);
        Self {
            host: (is_other == 0).then_some(host),
            direction: Direction::ALL[usize::from(direction)],
            peer_class: Class(peer_class),
        }
    }
}

impl OverflowKey {
    pub const SIZE: usize = 3;

    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let [high, low] = self.listen_port.to_be_bytes();
        [self.protocol.0, high, low]
    }

    #[must_use]
    pub fn from_bytes(&[protocol, high, low]: &[u8; Self::SIZE]) -> Self {
        Self {
            protocol: IpNumber(protocol),
            listen_port: u16::from_be_bytes([high, low]),
        }
    }
}

/// Returns the IP version, and the address padded with zeros to 16 bytes.
fn address_bytes(address: IpAddr) -> [u8; 17] {
    let mut bytes = [0; 17];
    let mut rest = Rest(&mut bytes);
    match address {
        IpAddr::V4(address) => {
            rest.put([4]);
            rest.put(address.octets());
        }
        IpAddr::V6(address) => {
            rest.put([6]);
            rest.put(address.octets());
        }
    }
    bytes
}

fn address([version, octets @ ..]: [u8; 17]) -> IpAddr {
    let [a, b, c, d, ..] = octets;
    match version {
        4 => Ipv4Addr::new(a, b, c, d).into(),
        _ => Ipv6Addr::from(octets).into(),
    }
}

/// The bytes that are still to be written.
struct Rest<'a>(&'a mut [u8]);

impl Rest<'_> {
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        let (start, rest) = std::mem::take(&mut self.0)
            .split_first_chunk_mut()
            .expect("the sizes add up");
        *start = bytes;
        self.0 = rest;
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let (bytes, tail) = rest.split_first_chunk().expect("the sizes add up");
    *rest = tail;
    *bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Observation;

    fn key(source: &str, sensor: &str, from_port: Option<u16>) -> Key<IpAddr> {
        let [source, destination, sensor] = [source, "192.0.2.1", sensor]
            .map(|address| address.parse::<IpAddr>().expect("an address"));
        let seen = Observation {
            protocol: IpNumber(6),
            listen_port: 37008,
            dscp: 46,
            ..Observation::default()
        };
        Key {
            source_prefix: 24,
            source_class: Class(1),
            destination_class: Class(2),
            from_port,
            to_port: Some(443),
            ..Key::of_packet(source, destination, sensor, &seen)
        }
    }

    #[test]
    fn bytes_sort_like_keys_and_convert_back() {
        let keys = [
            key("9.0.0.1", "10.0.0.1", None),
            key("10.0.0.1", "10.0.0.1", None),
            key("10.0.0.1", "10.0.0.1", Some(0)),
            key("10.0.0.1", "10.0.0.1", Some(256)),
            key("10.0.0.1", "192.0.2.1", None),
            // Wide keys.
            key("9.0.0.1", "2001:db8::1", None),
            key("2001:db8::1", "10.0.0.1", None),
        ];
        assert!(keys.map(|key| key.to_bytes()).is_sorted());
        for key in keys {
            assert_eq!(Key::from_bytes(&key.to_bytes()), key);
        }
    }

    #[test]
    fn keys_of_sums_convert_to_bytes_and_back() {
        let traffic = TrafficKey {
            from_class: Class(1),
            to_class: Class(2),
            protocol: IpNumber(17),
            listen_port: 1234,
        };
        assert_eq!(TrafficKey::from_bytes(&traffic.to_bytes()), traffic);
        let overflow = OverflowKey {
            protocol: IpNumber(17),
            listen_port: 1234,
        };
        assert_eq!(OverflowKey::from_bytes(&overflow.to_bytes()), overflow);
    }

    #[test]
    fn keys_of_hosts_sort_by_address_and_convert_back() {
        let key = |host: &str, direction, peer_class| HostKey {
            host: host.parse().ok(),
            direction,
            peer_class: Class(peer_class),
        };
        let keys = [
            key("9.0.0.1", Direction::Received, 7),
            key("10.0.0.1", Direction::Sent, 0),
            key("10.0.0.1", Direction::Sent, 7),
            key("10.0.0.1", Direction::Received, 0),
            key("::", Direction::Sent, 0),
            key("fd00::1", Direction::Sent, 0),
            key("other", Direction::Sent, 0),
            key("other", Direction::Received, 200),
        ];
        assert!(keys.map(|key| key.to_bytes()).is_sorted());
        for key in keys {
            assert_eq!(HostKey::from_bytes(&key.to_bytes()), key);
        }
    }
}
