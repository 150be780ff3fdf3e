//! Classes of addresses: the values of the labels `from_type` and `to_type`.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use thiserror::Error;

use super::network::{Network, PrefixLength};
use super::prefix_tree::PrefixTree;

/// The built-in classes and their ranges, from IANA's special-purpose address registries (RFC
/// 6890). `public` has all addresses that are in no other range.
const BUILT_IN: [(&str, &[&str]); 8] = [
    (
        "private",
        &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"],
    ),
    ("loopback", &["127.0.0.0/8", "::1/128"]),
    ("link_local", &["169.254.0.0/16", "fe80::/10"]),
    ("shared", &["100.64.0.0/10"]),
    ("multicast", &["224.0.0.0/4", "ff00::/8"]),
    ("broadcast", &["255.255.255.255/32"]),
    (
        "reserved",
        &[
            "0.0.0.0/8",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "240.0.0.0/4",
            "::/128",
            "100::/64",
            "2001:db8::/32",
        ],
    ),
    ("public", &["0.0.0.0/0", "::/0"]),
];

/// The maximum number of names besides the built-in ones. With these, the number of a class fits
/// into one byte of a key.
const MAX_NAMES: usize = 200;

/// The class of an address: the number of a name in [`Classes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Class(pub(super) u8);

impl Class {
    /// Returns the index of its name in [`Classes::names`].
    #[must_use]
    pub fn number(self) -> usize {
        self.0.into()
    }
}

/// The number of bits that are shown of IPv4 and of IPv6 addresses; [`WHOLE`] if that is all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    pub(super) ipv4: u8,
    pub(super) ipv6: u8,
}

impl Lengths {
    const ALL_WHOLE: Self = Self {
        ipv4: WHOLE,
        ipv6: WHOLE,
    };
}

/// The prefix length in a key whose address is shown whole. Such addresses are written without a
/// prefix length.
pub const WHOLE: u8 = u8::MAX;

/// All classes, their ranges, and how many bits of their addresses are shown. An address belongs to
/// the class with the longest matching prefix.
#[derive(Debug)]
pub struct Classes {
    names: Vec<String>,
    ipv4: PrefixTree<Class>,
    ipv6: PrefixTree<Class>,
    /// How many bits are shown of the addresses of each class, in the order of their numbers.
    lengths: Vec<Lengths>,
    has_prefix_lengths: bool,
}

/// A contradiction between networks and prefix lengths.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ClassesError {
    #[error("'--network' takes at most {MAX_NAMES} names: give several ranges the same name")]
    TooManyNames,
    #[error("'--network' names {0} twice, '{1}' and '{2}': name each range once")]
    RangeTwice(IpNet, String, String),
    #[error(
        "'--prefix-length' names '{0}', which is neither a class nor a network: the classes are {1}; \
         networks are defined with '--network'"
    )]
    UnknownName(String, String),
    #[error("'--prefix-length' is given twice for '{0}': give one length for each name")]
    LengthTwice(String),
}

impl Classes {
    /// Creates the built-in classes and those of `networks`, with the prefix lengths of `lengths`.
    ///
    /// # Errors
    /// Two of the arguments contradict each other, or there are too many names.
    pub fn new(networks: &[Network], lengths: &[PrefixLength]) -> Result<Self, ClassesError> {
        let (mut names, mut ranges) = built_in();
        let mut name_of: HashMap<IpNet, &str> = HashMap::new();
        for Network { name, range } in networks {
            if let Some(before) = name_of.insert(*range, name) {
                let (before, name) = (before.to_owned(), name.clone());
                return Err(ClassesError::RangeTwice(*range, before, name));
            }
            let class = intern(&mut names, name).ok_or(ClassesError::TooManyNames)?;
            ranges.push((*range, class));
        }
        let mut classes = Self::with_ranges(names, ranges);
        let mut with_length = HashSet::new();
        for PrefixLength { name, ipv4, ipv6 } in lengths {
            let Some(position) = classes.names.iter().position(|known| known == name) else {
                return Err(ClassesError::UnknownName(
                    name.clone(),
                    BUILT_IN.map(|(name, _)| name).join(", "),
                ));
            };
            if !with_length.insert(name) {
                return Err(ClassesError::LengthTwice(name.clone()));
            }
            let shown = |length: u8, bits: u32| {
                if u32::from(length) < bits {
                    length
                } else {
                    WHOLE
                }
            };
            classes.lengths[position] = Lengths {
                ipv4: shown(*ipv4, Ipv4Addr::BITS),
                ipv6: shown(*ipv6, Ipv6Addr::BITS),
            };
        }
        let mut lengths = classes.lengths.iter();
        classes.has_prefix_lengths = lengths.any(|lengths| *lengths != Lengths::ALL_WHOLE);
        Ok(classes)
    }

    /// Creates classes whose addresses are all shown whole. A later range replaces an equal one
    /// before it.
    fn with_ranges(names: Vec<String>, mut ranges: Vec<(IpNet, Class)>) -> Self {
        let any = Class::default();
        let (mut ipv4, mut ipv6) = (PrefixTree::new(any), PrefixTree::new(any));
        ranges.sort_by_key(|(range, _)| range.prefix_len());
        for (range, class) in ranges {
            let length = range.prefix_len();
            match range.network() {
                IpAddr::V4(network) => ipv4.insert(&network.octets(), length, class),
                IpAddr::V6(network) => ipv6.insert(&network.octets(), length, class),
            }
        }
        Self {
            lengths: vec![Lengths::ALL_WHOLE; names.len()],
            names,
            ipv4,
            ipv6,
            has_prefix_lengths: false,
        }
    }

    /// Returns the class of an address.
    #[must_use]
    #[inline]
    pub fn of(&self, address: IpAddr) -> Class {
        match address {
            IpAddr::V4(address) => self.of_ipv4(address),
            IpAddr::V6(address) => self.ipv6.get(&address.octets()),
        }
    }

    /// Returns the class of an IPv4 address. Called for each packet if a label depends on it.
    // Not inlined: most runs never call it for a packet, and the fast path stays small.
    #[inline(never)]
    fn of_ipv4(&self, address: Ipv4Addr) -> Class {
        self.ipv4.get(&address.octets())
    }

    /// Returns the name of a class: the value of the labels `from_type` and `to_type`.
    #[must_use]
    pub fn name(&self, class: Class) -> &str {
        &self.names[class.number()]
    }

    /// Returns the names of all classes, in the order of their numbers.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Whether some addresses are not shown whole.
    pub(super) fn has_prefix_lengths(&self) -> bool {
        self.has_prefix_lengths
    }

    /// Returns how many bits are shown of addresses of this class.
    #[inline]
    pub(super) fn lengths(&self, class: Class) -> Lengths {
        self.lengths[class.number()]
    }
}

/// Creates the built-in classes, with all addresses shown whole.
impl Default for Classes {
    fn default() -> Self {
        let (names, ranges) = built_in();
        Self::with_ranges(names, ranges)
    }
}

/// Returns the names of the built-in classes, and their ranges. Those of `public` contain every
/// address.
fn built_in() -> (Vec<String>, Vec<(IpNet, Class)>) {
    let (mut names, mut all) = (Vec::new(), Vec::new());
    for (name, ranges) in BUILT_IN {
        let class = intern(&mut names, name).expect("the built-in names fit");
        let parsed = ranges.iter().map(|range| range.parse());
        all.extend(
            parsed.map(|range| (range.expect("the built-in ranges are well formed"), class)),
        );
    }
    (names, all)
}

/// Returns the class with this name, and adds it if it is new. `None` if there are too many.
fn intern(names: &mut Vec<String>, name: &str) -> Option<Class> {
    let known = names.iter().position(|known| known == name);
    if known.is_none() && names.len() >= BUILT_IN.len() + MAX_NAMES {
        return None;
    }
    let position = known.unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    });
    Some(Class(
        u8::try_from(position).expect("the number of names is limited"),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::Address;
    use super::*;

    #[track_caller]
    fn check(first: &str, last: &str, label: &str) {
        let classes = Classes::default();
        for address in [first, last] {
            let parsed = address.parse().expect("an address");
            assert_eq!(classes.name(classes.of(parsed)), label, "{address}");
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

    #[test]
    fn each_class_of_ipv6_ends_where_its_prefix_ends() {
        check("::", "::", "reserved");
        check("::1", "::1", "loopback");
        check("::2", "ff:ffff::", "public");
        check("100::", "100::ffff:ffff:ffff:ffff", "reserved");
        check("100:0:0:1::", "2001:db7:ffff::", "public");
        check("2001:db8::", "2001:db8:ffff::1", "reserved");
        check("2001:db9::", "fbff:ffff::", "public");
        check("fc00::", "fdff:ffff::", "private");
        check("fe00::", "fe7f:ffff::", "public");
        check("fe80::", "febf:ffff::", "link_local");
        check("fec0::", "feff:ffff::", "public");
        check("ff00::", "ffff:ffff::", "multicast");
        // IPv4-mapped addresses are not used on the wire, so they have no class of their own.
        check("::ffff:10.0.0.1", "::ffff:127.0.0.1", "public");
    }

    fn classes(networks: &[&str], lengths: &[&str]) -> Result<Classes, ClassesError> {
        let networks: Vec<_> = networks
            .iter()
            .map(|text| text.parse().expect("a network"))
            .collect();
        let lengths: Vec<_> = lengths
            .iter()
            .map(|text| text.parse().expect("a prefix length"))
            .collect();
        Classes::new(&networks, &lengths)
    }

    #[test]
    fn the_longest_prefix_decides_even_over_built_in_classes() {
        let classes = classes(
            &[
                "lan=192.168.0.0/16",
                "printers=192.168.7.0/24",
                "lan=fd00:1::/32",
                "all_v6=::/0",
                "multicast=9.9.9.9/32",
            ],
            &[],
        )
        .expect("no contradiction");
        let class = |address: &str| {
            let class = classes.of(address.parse().expect("an address"));
            classes.name(class).to_owned()
        };
        assert_eq!(class("192.168.1.1"), "lan");
        assert_eq!(class("192.168.7.1"), "printers");
        assert_eq!(class("10.0.0.1"), "private");
        assert_eq!(class("fd00:1::1"), "lan");
        assert_eq!(class("fd00:2::1"), "private");
        assert_eq!(class("2620::1"), "all_v6");
        assert_eq!(class("9.9.9.9"), "multicast");
        assert_eq!(class("9.9.9.8"), "public");
    }

    #[test]
    fn prefix_lengths_depend_on_the_class_of_the_whole_address() {
        let classes = classes(&["office=8.8.8.0/24"], &["public=0", "office=16/48"])
            .expect("no contradiction");
        let shown = |address: &str| {
            let address: IpAddr = address.parse().expect("an address");
            let (shown, prefix) = address.shown(classes.lengths(classes.of(address)));
            (shown.to_string(), prefix)
        };
        assert_eq!(shown("8.8.8.8"), ("8.8.0.0".into(), 16));
        assert_eq!(shown("8.8.9.8"), ("0.0.0.0".into(), 0));
        assert_eq!(shown("2620::1"), ("::".into(), 0));
        assert_eq!(shown("10.1.2.3"), ("10.1.2.3".into(), WHOLE));
    }

    #[test]
    fn contradictions_are_refused() {
        let error = |networks: &[&str], lengths: &[&str]| {
            classes(networks, lengths).expect_err("these contradict each other")
        };
        assert_eq!(
            error(&["a=8.0.0.0/8", "b=8.0.0.0/8"], &[]),
            ClassesError::RangeTwice(
                "8.0.0.0/8".parse().expect("a range"),
                "a".into(),
                "b".into()
            )
        );
        assert!(matches!(
            error(&["a=8.0.0.0/8"], &["b=8"]),
            ClassesError::UnknownName(..)
        ));
        assert_eq!(
            error(&[], &["public=8", "public=9"]),
            ClassesError::LengthTwice("public".into())
        );
        let names: Vec<_> = (0..=200).map(|n| format!("n{n}=8.0.{n}.0/24")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        assert!(classes(&names[..200], &[]).is_ok());
        assert_eq!(error(&names, &[]), ClassesError::TooManyNames);
    }
}
