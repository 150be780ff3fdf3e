//! Names of IP protocols.

use std::sync::LazyLock;

use etherparse::IpNumber;

/// The values of the label `protocol`: the keyword of IANA's registry of protocol numbers, in lower
/// case, with hyphens for spaces and without "(deprecated)". Without a keyword: the number.
pub struct ProtocolName;

static NAMES: LazyLock<Vec<String>> =
    LazyLock::new(|| (0..=u8::MAX).map(|number| name(IpNumber(number))).collect());

impl ProtocolName {
    /// Returns the value of the label for a protocol.
    #[must_use]
    pub fn of(protocol: IpNumber) -> &'static str {
        &NAMES[usize::from(protocol.0)]
    }
}

fn name(protocol: IpNumber) -> String {
    match protocol.keyword_str() {
        // 253 and 254 are for experiments and 255 is reserved, so their keywords name no protocol.
        Some(keyword) if protocol.0 < 253 => keyword
            .trim_end_matches(" (deprecated)")
            .to_ascii_lowercase()
            .replace(' ', "-"),
        _ => protocol.0.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(number: u8, expected: &str) {
        assert_eq!(ProtocolName::of(IpNumber(number)), expected);
    }

    #[test]
    fn names_are_the_keywords_of_the_registry() {
        check(0, "hopopt");
        check(1, "icmp");
        check(2, "igmp");
        check(4, "ipv4");
        check(6, "tcp");
        check(17, "udp");
        check(41, "ipv6");
        check(47, "gre");
        check(50, "esp");
        check(51, "ah");
        check(58, "ipv6-icmp");
        check(89, "ospfigp");
        check(93, "ax.25");
        check(107, "a/n");
        check(132, "sctp");
        check(144, "aggfrag");
    }

    #[test]
    fn spaces_become_hyphens_and_deprecation_notes_are_removed() {
        check(13, "argus");
        check(53, "swipe");
        check(95, "micp");
        check(122, "sm");
        check(124, "isis-over-ipv4");
        check(135, "mobility-header");
    }

    #[test]
    fn numbers_without_a_keyword_are_decimal() {
        check(61, "61");
        check(63, "63");
        check(200, "200");
        check(253, "253");
        check(254, "254");
        check(255, "255");
    }

    #[test]
    fn no_two_numbers_share_a_name() {
        let mut names: Vec<_> = (0..=255)
            .map(|number| ProtocolName::of(IpNumber(number)))
            .collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 256);
    }
}
