//! The packed form of keys, in which the table stores, hashes and compares them.

use std::hash::{BuildHasher, Hasher};

use etherparse::IpNumber;
use foldhash::quality::RandomState;

use super::words::Words;
use super::{Address, Key};
use crate::flow::class::{Class, WHOLE};
use crate::flow::place::Place;
use crate::flow::services::Service;
use crate::geo::Country;

/// The bit among the flags of a packed key that says that it has a service.
const SERVICE_BIT: u8 = 3;

/// The bits among the flags that say that the field of the source, and that of the destination, has the
/// number of an operator, and the field of its prefix the lower 8 bits of a country.
const PLACE_BITS: [u8; 2] = [4, 5];
/// Where the upper 2 bits of the countries are in the last byte.
const COUNTRY_BITS: [u8; 2] = [6, 4];

/// A key in the form in which the table stores it.
#[derive(Debug, Clone, Copy)]
pub(in crate::flow) struct Packed<A: Address>(A::Words);

impl<A: Address> Key<A> {
    #[inline]
    pub(in crate::flow) fn pack(self) -> Packed<A> {
        let service = (self.service != Service::NONE).then_some(self.service.0);
        let source = PackedEnd::new(self.source, self.source_prefix, self.source_place);
        let destination = PackedEnd::new(
            self.destination,
            self.destination_prefix,
            self.destination_place,
        );
        let [source_bit, destination_bit] = PLACE_BITS;
        let flags = self.flags()
            | u8::from(service.is_some()) << SERVICE_BIT
            | u8::from(source.is_place) << source_bit
            | u8::from(destination.is_place) << destination_bit;
        // The service takes the field of a port that the key does not have.
        let ports = match (self.from_port, self.to_port) {
            (None, to_port) => [service, to_port],
            (from_port, to_port) => [from_port, to_port.or(service)],
        };
        self.pack_with(flags, ports, [source, destination])
    }

    /// Packs a key without a service and places, such as one with all fields of a packet, in fewer
    /// instructions.
    #[expect(
        clippy::inline_always,
        reason = "passed on in memory, a key takes longer than it takes to pack it"
    )]
    #[inline(always)]
    pub(in crate::flow) fn pack_fields(self) -> Packed<A> {
        let ends = [
            PackedEnd::of_address(self.source, self.source_prefix),
            PackedEnd::of_address(self.destination, self.destination_prefix),
        ];
        self.pack_with(self.flags(), [self.from_port, self.to_port], ends)
    }

    /// Returns the bits that say which optional fields there are.
    #[inline]
    fn flags(&self) -> u8 {
        let flag = |field: Option<u16>, bit: u8| u8::from(field.is_some()) << bit;
        flag(self.from_port, 0) | flag(self.to_port, 1) | flag(self.vlan, 2)
    }

    #[expect(clippy::inline_always, reason = "as for `pack_fields`")]
    #[inline(always)]
    fn pack_with(
        self,
        flags: u8,
        [from_port, to_port]: [Option<u16>; 2],
        [source, destination]: [PackedEnd<A>; 2],
    ) -> Packed<A> {
        let [source_shift, destination_shift] = COUNTRY_BITS;
        let numbers = [from_port, to_port, self.vlan, Some(self.listen_port)];
        let numbers = numbers.map(|field| u64::from(field.unwrap_or_default()));
        let [from_port, to_port, vlan, listen_port] = numbers;
        let numbers = [
            from_port << 48 | to_port << 32 | vlan << 16 | listen_port,
            u64::from_be_bytes([
                flags,
                source.prefix,
                self.source_class.0,
                destination.prefix,
                self.destination_class.0,
                self.protocol.0,
                self.dscp,
                source.country << source_shift | destination.country << destination_shift,
            ]),
        ];
        Packed(A::pack(
            [source.address, destination.address, self.sensor],
            numbers,
        ))
    }
}

/// What a packed key holds of one end: an address and its prefix, or a place.
struct PackedEnd<A> {
    address: A,
    prefix: u8,
    is_place: bool,
    /// The upper 2 bits of the country's number.
    country: u8,
}

impl<A: Address> PackedEnd<A> {
    #[inline]
    fn of_address(address: A, prefix: u8) -> Self {
        Self {
            address,
            prefix,
            is_place: false,
            country: 0,
        }
    }

    #[inline]
    fn new(address: A, prefix: u8, place: Place) -> Self {
        if place.is_none() {
            return Self::of_address(address, prefix);
        }
        let country = place.country.map_or(0, Country::number);
        let [high, low] = country.to_be_bytes();
        Self {
            address: address.with_number(place.operator),
            prefix: low,
            is_place: true,
            country: high,
        }
    }

    #[inline]
    fn unpack(self) -> (A, u8, Place) {
        if !self.is_place {
            return (self.address, self.prefix, Place::NONE);
        }
        let (address, operator) = self.address.number();
        let country = u16::from_be_bytes([self.country, self.prefix]);
        let place = Place {
            country: Country::from_number(country),
            operator,
        };
        (address, WHOLE, place)
    }
}

impl<A: Address> Packed<A> {
    pub(in crate::flow) fn unpack(&self) -> Key<A> {
        let key = self.unpack_fields();
        let (_, [numbers, bytes]) = A::unpack(&self.0);
        let [flags, .., countries] = bytes.to_be_bytes();
        let is_set = |bit: u8| flags & 1 << bit != 0;
        let end = |address, prefix, end: usize| {
            let packed = PackedEnd {
                address,
                prefix,
                is_place: is_set(PLACE_BITS[end]),
                country: countries >> COUNTRY_BITS[end] & 3,
            };
            packed.unpack()
        };
        let (source, source_prefix, source_place) = end(key.source, key.source_prefix, 0);
        let (destination, destination_prefix, destination_place) =
            end(key.destination, key.destination_prefix, 1);
        let [from_port, to_port, ..] = fields(numbers);
        let service = if is_set(0) { to_port } else { from_port };
        Key {
            source,
            source_prefix,
            destination,
            destination_prefix,
            service: is_set(SERVICE_BIT)
                .then_some(service)
                .map_or(Service::NONE, Service),
            source_place,
            destination_place,
            ..key
        }
    }

    /// Unpacks a key that [`Key::pack_fields`] has packed.
    #[inline]
    pub(in crate::flow) fn unpack_fields(&self) -> Key<A> {
        let ([source, destination, sensor], [numbers, bytes]) = A::unpack(&self.0);
        let [
            flags,
            source_prefix,
            source_class,
            destination_prefix,
            destination_class,
            protocol,
            dscp,
            _,
        ] = bytes.to_be_bytes();
        let [from_port, to_port, vlan, listen_port] = fields(numbers);
        let if_present = |number, bit: u8| (flags & 1 << bit != 0).then_some(number);
        Key {
            source,
            source_prefix,
            source_class: Class(source_class),
            destination,
            destination_prefix,
            destination_class: Class(destination_class),
            protocol: IpNumber(protocol),
            listen_port,
            sensor,
            from_port: if_present(from_port, 0),
            to_port: if_present(to_port, 1),
            vlan: if_present(vlan, 2),
            dscp,
            service: Service::NONE,
            source_place: Place::NONE,
            destination_place: Place::NONE,
        }
    }

    /// Returns this key with all bits set to zero that are zero in the mask.
    #[inline]
    pub(in crate::flow) fn masked(&self, mask: &Self) -> Self {
        Self(self.0.and(&mask.0))
    }

    #[inline]
    pub(in crate::flow) fn hash_with(&self, seed: &RandomState) -> u64 {
        let mut hasher = seed.build_hasher();
        self.0.hash_into(&mut hasher);
        hasher.finish()
    }
}

/// Takes four fields of 16 bits out of a number.
fn fields(numbers: u64) -> [u16; 4] {
    [48, 32, 16, 0]
        .map(|shift| u16::try_from(numbers >> shift & 0xffff).expect("16 bits are masked"))
}

impl<A: Address> PartialEq for Packed<A> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.0.equals(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::wire::Observation;

    #[track_caller]
    fn check<A: Address + std::fmt::Debug>(addresses: [A; 3], fields: [Option<u16>; 3]) {
        let [source, destination, sensor] = addresses;
        let [from_port, to_port, vlan] = fields;
        let seen = Observation {
            protocol: IpNumber(5),
            listen_port: 0x0607,
            vlan,
            dscp: 8,
            ..Observation::default()
        };
        let key = Key {
            source_prefix: 1,
            source_class: Class(2),
            destination_prefix: 3,
            destination_class: Class(4),
            from_port,
            to_port,
            ..Key::of_packet(source, destination, sensor, &seen)
        };
        assert_eq!(key.pack().unpack(), key);
        if from_port.is_none() || to_port.is_none() {
            let service = Service(0x090a);
            let key = Key { service, ..key };
            assert_eq!(key.pack().unpack(), key);
        }
        for (country, operator) in [("AA", 0), ("ZY", u32::MAX), ("", 15169)] {
            let place = Place {
                country: Country::new(country),
                operator,
            };
            let without_source = Key {
                source: source.with_number(0).number().0,
                source_prefix: WHOLE,
                source_place: place,
                ..key
            };
            assert_eq!(without_source.pack().unpack(), without_source);
            let without_destination = Key {
                destination: destination.with_number(0).number().0,
                destination_prefix: WHOLE,
                destination_place: place,
                ..key
            };
            assert_eq!(without_destination.pack().unpack(), without_destination);
        }
    }

    #[test]
    fn unpacking_reverses_packing() {
        let v4 = |last| Ipv4Addr::new(1, 2, 3, last);
        let v6 = |last| IpAddr::V6(Ipv6Addr::new(1, 2, 3, 4, 5, 6, 7, last));
        for fields in [
            [None; 3],
            [Some(0); 3],
            [Some(u16::MAX), None, Some(7)],
            [None, Some(u16::MAX), Some(7)],
        ] {
            check([v4(1), v4(2), v4(3)], fields);
            check([v6(1), v6(2), v6(3)], fields);
            check([v4(1).into(), v4(2).into(), v6(3)], fields);
            check([v6(1), v6(2), v4(3).into()], fields);
        }
    }

    #[test]
    fn packed_keys_take_28_and_64_bytes() {
        assert_eq!(size_of::<Packed<Ipv4Addr>>(), 28);
        assert_eq!(size_of::<Packed<IpAddr>>(), 64);
    }
}
