//! Which addresses a database may know.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Returns whether an address is public: in none of the ranges of IANA's special-purpose address
/// registries (RFC 6890) that [`crate::flow::Classes`] names. Others have no country.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !matches!(
        address.octets(),
        [0 | 10 | 127 | 224..=255, ..]
            | [100, 64..=127, ..]
            | [169, 254, ..]
            | [172, 16..=31, ..]
            | [192, 0, 0 | 2, _]
            | [192, 168, ..]
            | [198, 18 | 19, ..]
            | [198, 51, 100, _]
            | [203, 0, 113, _]
    )
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    !matches!(
        address.segments(),
        [0, 0, 0, 0, 0, 0, 0, 0 | 1]
            | [0x100, 0, 0, 0, ..]
            | [0x2001, 0xdb8, ..]
            | [0xfc00..=0xfdff | 0xfe80..=0xfebf | 0xff00.., ..]
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Classes;

    #[track_caller]
    fn check(classes: &Classes, address: IpAddr) {
        let class = classes.name(classes.of(address));
        assert_eq!(is_public(address), class == "public", "{address}");
    }

    /// Both ends of each range of the classes, and the addresses beside them.
    #[test]
    fn public_addresses_are_those_of_the_class() {
        let classes = Classes::default();
        for first in 0..=255 {
            for second in 0..=255 {
                for (third, fourth) in [(0, 0), (0, 255), (2, 1), (100, 1), (113, 1), (255, 255)] {
                    check(&classes, Ipv4Addr::new(first, second, third, fourth).into());
                }
            }
        }
        for address in [
            "::",
            "::1",
            "::2",
            "ff::1",
            "100::",
            "100::ffff:ffff:ffff:ffff",
            "100:0:0:1::",
            "2001:db7:ffff::",
            "2001:db8::",
            "2001:db8:ffff::1",
            "2001:db9::",
            "2600::",
            "fbff:ffff::",
            "fc00::",
            "fdff:ffff::",
            "fe00::",
            "fe7f:ffff::",
            "fe80::",
            "febf:ffff::",
            "fec0::",
            "feff:ffff::",
            "ff00::",
            "ffff:ffff::",
            "::ffff:10.0.0.1",
        ] {
            check(&classes, address.parse().expect(address));
        }
    }
}
