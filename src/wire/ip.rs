use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An IP address as numbers, which stay in registers. An [`IpAddr`] is a row of bytes, and each
/// passing on of one goes through memory: for the addresses of a frame, that takes longer than all
/// the rest of its decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ip {
    is_ipv6: bool,
    /// The upper half of an IPv6 address, else 0.
    high: u64,
    low: u64,
}

impl Ip {
    #[inline]
    #[must_use]
    pub fn from_ipv4_bits(bits: u32) -> Self {
        Self {
            is_ipv6: false,
            high: 0,
            low: bits.into(),
        }
    }

    /// The address, if it is one of IPv4.
    #[inline]
    #[must_use]
    pub fn ipv4(self) -> Option<Ipv4Addr> {
        let bits = u32::try_from(self.low).ok()?;
        (!self.is_ipv6).then(|| Ipv4Addr::from_bits(bits))
    }
}

impl From<Ipv4Addr> for Ip {
    fn from(address: Ipv4Addr) -> Self {
        Self::from_ipv4_bits(address.to_bits())
    }
}

impl From<Ipv6Addr> for Ip {
    fn from(address: Ipv6Addr) -> Self {
        let bits = address.to_bits();
        let [high, low] = [bits >> 64, bits & u128::from(u64::MAX)]
            .map(|half| u64::try_from(half).unwrap_or_default());
        Self {
            is_ipv6: true,
            high,
            low,
        }
    }
}

impl From<IpAddr> for Ip {
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
        match ip.ipv4() {
            Some(address) => address.into(),
            None => Ipv6Addr::from_bits(u128::from(ip.high) << 64 | u128::from(ip.low)).into(),
        }
    }
}

impl fmt::Display for Ip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        IpAddr::from(*self).fmt(f)
    }
}
