//! Finds the payload of a frame, for every link type.

use etherparse::EtherType;

use super::payload::{LinkError, Payload};
use super::{avs, cooked, ether, loopback, ppi, ppp, pppoe, prism, radiotap, wlan};
use crate::frame::{Captured, LinkType};

/// Whether frames of this type may carry datagrams from a sensor. The others are decoded where
/// they are mirrored, or to count their own packets.
pub(super) fn carries_datagrams(link: LinkType) -> bool {
    matches!(
        link,
        LinkType::NULL
            | LinkType::ETHERNET
            | LinkType::RAW_BSD
            | LinkType::RAW_OPENBSD
            | LinkType::RAW
            | LinkType::LOOP
            | LinkType::LINUX_SLL
            | LinkType::IPV4
            | LinkType::IPV6
            | LinkType::LINUX_SLL2
    )
}

/// Whether frames of this type are 802.11, with or without a radio header before it.
pub(super) fn is_wlan(link: LinkType) -> bool {
    matches!(
        link,
        LinkType::WLAN | LinkType::WLAN_PRISM | LinkType::WLAN_RADIOTAP | LinkType::WLAN_AVS
    )
}

/// Returns the payload of a frame, behind all VLAN tags.
#[inline(always)]
pub(super) fn payload(
    mut link: LinkType,
    mut frame: Captured<'_>,
) -> Result<Payload<'_>, LinkError> {
    // PPI may contain PPI. Each header has at least 8 bytes, so the loop ends.
    while link == LinkType::PPI {
        (link, frame) = behind_ppi(frame)?;
    }
    match link {
        LinkType::ETHERNET => ether::parse(frame),
        LinkType::LINUX_SLL => cooked::parse_v1(frame),
        LinkType::LINUX_SLL2 => cooked::parse_v2(frame),
        LinkType::NULL | LinkType::LOOP => loopback::parse(frame),
        LinkType::RAW | LinkType::RAW_BSD | LinkType::RAW_OPENBSD => raw_ip(frame),
        LinkType::IPV4 => Ok(Payload::untagged(EtherType::IPV4, frame)),
        LinkType::IPV6 => Ok(Payload::untagged(EtherType::IPV6, frame)),
        LinkType::PPP | LinkType::PPP_HDLC => ppp::parse_framed(frame),
        LinkType::PPPOE => Ok(Payload::untagged(pppoe::SESSION, frame)),
        link if is_wlan(link) => wlan_data(link, frame)?.payload(),
        _ => Err(LinkError::Unsupported),
    }
}

/// Decodes an 802.11 data frame behind its radio header, if any.
pub(super) fn wlan_data(link: LinkType, frame: Captured<'_>) -> Result<wlan::Data<'_>, LinkError> {
    match link {
        LinkType::WLAN => wlan::parse(frame, false),
        LinkType::WLAN_PRISM => wlan::parse(prism::skip(frame)?, false),
        LinkType::WLAN_AVS => wlan::parse(avs::skip(frame)?, false),
        LinkType::WLAN_RADIOTAP => {
            let radiotap = radiotap::parse(frame)?;
            wlan::parse(radiotap.frame, radiotap.has_data_pad)
        }
        _ => Err(LinkError::Unsupported),
    }
}

/// Returns an IP packet of either version. Anything else contradicts the link type.
fn raw_ip(frame: Captured<'_>) -> Result<Payload<'_>, LinkError> {
    Payload::by_version(frame).map_err(|_| LinkError::Malformed)
}

fn behind_ppi(frame: Captured<'_>) -> Result<(LinkType, Captured<'_>), LinkError> {
    let (number, rest) = ppi::parse(frame)?;
    let link = u16::try_from(number).map_err(|_| LinkError::Unsupported)?;
    Ok((LinkType(link), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(link: LinkType, frame: &[u8], expected: Result<u16, LinkError>) {
        let found = payload(link, Captured::whole(frame)).map(|found| found.ether_type.0);
        assert_eq!(found, expected, "{link:?} {frame:02x?}");
    }

    #[test]
    fn raw_ip_is_recognised_by_its_version_or_its_link_type() {
        for link in [LinkType::RAW, LinkType::RAW_BSD, LinkType::RAW_OPENBSD] {
            check(link, &[0x45], Ok(0x0800));
            check(link, &[0x60], Ok(0x86dd));
            check(link, &[0x55], Err(LinkError::Malformed));
            check(link, &[], Err(LinkError::Malformed));
        }
        check(LinkType::IPV4, &[], Ok(0x0800));
        check(LinkType::IPV6, &[], Ok(0x86dd));
    }

    #[test]
    fn ppi_is_followed_to_its_link_type_however_deep() {
        let ppi = |link: [u8; 4]| [&[0, 0, 8, 0][..], &link].concat();
        let of = |link, frame: &[u8]| [&ppi(link), frame].concat();
        check(LinkType::PPI, &of([9, 0, 0, 0], &[0x21]), Ok(0x0800));
        check(LinkType::PPI, &of([12, 0, 0, 0], &[0x60]), Ok(0x86dd));
        check(LinkType::PPI, &of([51, 0, 0, 0], &[]), Ok(0x8864));
        // TZSP is not a link layer here, and link types have two bytes.
        let unsupported = Err(LinkError::Unsupported);
        check(LinkType::PPI, &of([128, 0, 0, 0], &[1]), unsupported);
        check(LinkType::PPI, &of([1, 0, 1, 0], &[0; 60]), unsupported);
        let deep = ppi([192, 0, 0, 0]).repeat(65_536);
        check(LinkType::PPI, &deep, Err(LinkError::Malformed));
        let deep = [deep, of([101, 0, 0, 0], &[0x45])].concat();
        check(LinkType::PPI, &deep, Ok(0x0800));
    }

    #[test]
    fn other_link_types_are_not_supported() {
        for number in [2, 128, 147, 220, 65_535] {
            check(LinkType(number), &[0x45; 60], Err(LinkError::Unsupported));
        }
    }
}
