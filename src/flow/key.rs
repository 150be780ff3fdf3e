use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr};

use etherparse::IpNumber;

use super::class::Class;

/// What tells one flow from another. Fields whose labels were not chosen are alike in all flows.
///
/// There is a narrow kind, for flows whose addresses are all IPv4, and a wide one for the others.
/// The order is that of the exposition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key<A> {
    pub source: A,
    /// How many bits of the source are shown, or [`WHOLE`](super::class::WHOLE).
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
}

/// The addresses in a key: all IPv4, or of any version.
pub trait Address: Copy + Ord + Into<IpAddr> {
    /// Whether a key with such addresses is of the wide kind.
    const WIDE: bool;

    fn hash_into(self, hasher: &mut impl Hasher);
}

impl Address for Ipv4Addr {
    const WIDE: bool = false;

    fn hash_into(self, hasher: &mut impl Hasher) {
        hasher.write_u32(self.into());
    }
}

impl Address for IpAddr {
    const WIDE: bool = true;

    fn hash_into(self, hasher: &mut impl Hasher) {
        match self {
            Self::V4(address) => {
                hasher.write_u8(4);
                address.hash_into(hasher);
            }
            Self::V6(address) => {
                hasher.write_u8(6);
                hasher.write_u128(address.to_bits());
            }
        }
    }
}

/// The same as derived code, in fewer and larger pieces.
impl<A: Address> Hash for Key<A> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.source.hash_into(hasher);
        self.destination.hash_into(hasher);
        self.sensor.hash_into(hasher);
        let [port_high, port_low] = self.listen_port.to_be_bytes();
        hasher.write_u64(u64::from_be_bytes([
            self.source_prefix,
            self.source_class.0,
            self.destination_prefix,
            self.destination_class.0,
            self.protocol.0,
            self.dscp,
            port_high,
            port_low,
        ]));
        let or_none = |field: Option<u16>| field.map_or(u32::MAX, u32::from);
        hasher.write_u32(or_none(self.from_port));
        hasher.write_u32(or_none(self.to_port));
        hasher.write_u32(or_none(self.vlan));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_ipv4_stays_small() {
        assert_eq!(size_of::<Key<Ipv4Addr>>(), 32);
        assert_eq!(size_of::<Key<IpAddr>>(), 72);
    }
}
