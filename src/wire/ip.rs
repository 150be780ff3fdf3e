use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An IP address as integers, which fit into registers. An [`IpAddr`] is an array of bytes that is
/// copied through memory whenever it is passed on, and for the addresses of a frame that would take
/// longer than the rest of its decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ip {
    V4(u32),
    /// The upper and the lower 64 bits.
    V6(u64, u64),
}

impl Ip {
    /// Returns the address if it is IPv4.
    #[inline]
    #[must_use]
    pub fn ipv4(self) -> Option<Ipv4Addr> {
        match self {
            Self::V4(bits) => Some(Ipv4Addr::from_bits(bits)),
            Self::V6(..) => None,
        }
    }
}

impl Default for Ip {
    fn default() -> Self {
        Self::V4(0)
    }
}

impl From<Ipv4Addr> for Ip {
    #[inline]
    fn from(address: Ipv4Addr) -> Self {
        Self::V4(address.to_bits())
    }
}

impl From<Ipv6Addr> for Ip {
    fn from(address: Ipv6Addr) -> Self {
        let bits = address.to_bits();
        let [high, low] = [bits >> 64, bits & u128::from(u64::MAX)]
            .map(|half| u64::try_from(half).unwrap_or_default());
        Self::V6(high, low)
    }
}

impl From<IpAddr> for Ip {
    #[inline]
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => address.into(),
        }
    }
}

impl From<[u8; 4]> for Ip {
    fn from(octets: [u8; 4]) -> Self {
        Ipv4Addr::from(octets).into()
    }
}

impl From<Ip> for IpAddr {
    fn from(ip: Ip) -> Self {
        match ip {
            Ip::V4(bits) => Ipv4Addr::from_bits(bits).into(),
            Ip::V6(high, low) => {
                Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)).into()
            }
        }
    }
}

impl fmt::Display for Ip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        IpAddr::from(*self).fmt(f)
    }
}
