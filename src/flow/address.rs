use std::net::Ipv4Addr;

/// What kind of network an address belongs to (IANA's special-purpose address registry).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressClass {
    Private,
    Loopback,
    LinkLocal,
    Shared,
    Multicast,
    Broadcast,
    Reserved,
    Public,
}

impl AddressClass {
    /// The longest matching prefix decides. No two prefixes here overlap but 240/4 and the
    /// broadcast address, which therefore stands before it.
    #[must_use]
    pub fn of(address: Ipv4Addr) -> Self {
        match address.octets() {
            [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Self::Private,
            [127, ..] => Self::Loopback,
            [169, 254, ..] => Self::LinkLocal,
            [100, 64..=127, ..] => Self::Shared,
            [224..=239, ..] => Self::Multicast,
            [255, 255, 255, 255] => Self::Broadcast,
            [0 | 240..=255, ..]
            | [192, 0, 0 | 2, _]
            | [198, 18..=19, ..]
            | [198, 51, 100, _]
            | [203, 0, 113, _] => Self::Reserved,
            _ => Self::Public,
        }
    }

    /// The value of the labels `from_type` and `to_type`.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Loopback => "loopback",
            Self::LinkLocal => "link_local",
            Self::Shared => "shared",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Reserved => "reserved",
            Self::Public => "public",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(first: &str, last: &str, label: &str) {
        for address in [first, last] {
            let parsed = address.parse().expect("an IPv4 address");
            assert_eq!(AddressClass::of(parsed).label(), label, "{address}");
        }
    }

    #[test]
    fn each_class_ends_where_its_prefix_ends() {
        check("0.0.0.0", "0.255.255.255", "reserved");
        check("1.0.0.0", "9.255.255.255", "public");
        check("10.0.0.0", "10.255.255.255", "private");
        check("11.0.0.0", "100.63.255.255", "public");
        check("100.64.0.0", "100.127.255.255", "shared");
        check("100.128.0.0", "126.255.255.255", "public");
        check("127.0.0.0", "127.255.255.255", "loopback");
        check("128.0.0.0", "169.253.255.255", "public");
        check("169.254.0.0", "169.254.255.255", "link_local");
        check("169.255.0.0", "172.15.255.255", "public");
        check("172.16.0.0", "172.31.255.255", "private");
        check("172.32.0.0", "191.255.255.255", "public");
        check("192.0.0.0", "192.0.0.255", "reserved");
        check("192.0.1.0", "192.0.1.255", "public");
        check("192.0.2.0", "192.0.2.255", "reserved");
        check("192.0.3.0", "192.167.255.255", "public");
        check("192.168.0.0", "192.168.255.255", "private");
        check("192.169.0.0", "198.17.255.255", "public");
        check("198.18.0.0", "198.19.255.255", "reserved");
        check("198.20.0.0", "198.51.99.255", "public");
        check("198.51.100.0", "198.51.100.255", "reserved");
        check("198.51.101.0", "203.0.112.255", "public");
        check("203.0.113.0", "203.0.113.255", "reserved");
        check("203.0.114.0", "223.255.255.255", "public");
        check("224.0.0.0", "239.255.255.255", "multicast");
        check("240.0.0.0", "255.255.255.254", "reserved");
        check("255.255.255.255", "255.255.255.255", "broadcast");
    }
}
