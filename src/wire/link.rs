//! From a capture's link layer to the IP packet.

use etherparse::EtherType;

use super::ether::{self, Ethernet};
use super::{Skipped, inner, pppoe};

/// A link type as captures number them: <https://www.tcpdump.org/linktypes.html>.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkType(pub u16);

impl LinkType {
    pub const NULL: Self = Self(0);
    pub const ETHERNET: Self = Self(1);
    /// Raw IP, as some systems number it in files.
    pub const RAW_BSD: Self = Self(12);
    /// Raw IP, as OpenBSD numbers it.
    pub const RAW_OPENBSD: Self = Self(14);
    pub const RAW: Self = Self(101);
    pub const LOOP: Self = Self(108);
    pub const LINUX_SLL: Self = Self(113);
    /// TZSP itself, without the datagram that carried it.
    pub const TZSP: Self = Self(128);
    pub const IPV4: Self = Self(228);
    pub const IPV6: Self = Self(229);
    pub const LINUX_SLL2: Self = Self(276);
}

/// A packet, by what the link layer says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    Ipv4(&'a [u8]),
    Ipv6(&'a [u8]),
}

pub(super) fn strip(link: LinkType, frame: &[u8]) -> Result<Packet<'_>, Skipped> {
    match link {
        LinkType::ETHERNET => by_ether_type(ether::parse(frame)),
        LinkType::LINUX_SLL => by_ether_type(linux_sll(frame)),
        LinkType::LINUX_SLL2 => by_ether_type(linux_sll2(frame)),
        LinkType::NULL | LinkType::LOOP => by_address_family(frame),
        LinkType::RAW | LinkType::RAW_BSD | LinkType::RAW_OPENBSD => {
            by_version(frame).ok_or(Skipped::OuterMalformed)
        }
        LinkType::IPV4 => Ok(Packet::Ipv4(frame)),
        LinkType::IPV6 => Ok(Packet::Ipv6(frame)),
        _ => Err(Skipped::UnsupportedLink),
    }
}

fn by_ether_type(frame: Option<Ethernet<'_>>) -> Result<Packet<'_>, Skipped> {
    let frame = frame.ok_or(Skipped::OuterMalformed)?;
    match frame.ether_type {
        EtherType::IPV4 => Ok(Packet::Ipv4(frame.payload)),
        EtherType::IPV6 => Ok(Packet::Ipv6(frame.payload)),
        pppoe::SESSION => pppoe::outer_packet(frame.payload),
        _ => Err(Skipped::NotIp),
    }
}

/// Linux cooked capture, version 1: 14 bytes about the device, then the protocol.
fn linux_sll(frame: &[u8]) -> Option<Ethernet<'_>> {
    let (header, rest) = frame.split_first_chunk::<16>()?;
    let [.., high, low] = *header;
    ether::skip_tags(EtherType(u16::from_be_bytes([high, low])), rest)
}

/// Linux cooked capture, version 2: the protocol, then 18 bytes about the device.
fn linux_sll2(frame: &[u8]) -> Option<Ethernet<'_>> {
    let (header, rest) = frame.split_first_chunk::<20>()?;
    let [high, low, ..] = *header;
    ether::skip_tags(EtherType(u16::from_be_bytes([high, low])), rest)
}

/// BSD loopback: four bytes of address family, in the byte order of the capturing machine for
/// NULL and of the network for LOOP. Either is accepted: the values cannot be confused.
fn by_address_family(frame: &[u8]) -> Result<Packet<'_>, Skipped> {
    const AF_INET: u32 = 2;
    /// AF_INET6 of Linux; of NetBSD and OpenBSD; of FreeBSD; of macOS.
    const AF_INET6: [u32; 4] = [10, 24, 28, 30];

    let (family, packet) = frame
        .split_first_chunk::<4>()
        .ok_or(Skipped::OuterMalformed)?;
    let family = u32::from_be_bytes(*family);
    match family.min(family.swap_bytes()) {
        AF_INET => Ok(Packet::Ipv4(packet)),
        family if AF_INET6.contains(&family) => Ok(Packet::Ipv6(packet)),
        _ => Err(Skipped::NotIp),
    }
}

/// `None` if it is neither version, or nothing is there.
pub(super) fn by_version(packet: &[u8]) -> Option<Packet<'_>> {
    match packet.first()? >> 4 {
        4 => Some(Packet::Ipv4(packet)),
        6 => Some(Packet::Ipv6(packet)),
        _ => None,
    }
}

/// The packet of a frame that is not mirrored: it is read as mirrored frames are, PPPoE included.
pub(super) fn own_packet(link: LinkType, frame: &[u8]) -> Result<inner::Tagged<'_>, Skipped> {
    match link {
        LinkType::ETHERNET => inner::by_ether_type(ether::parse(frame)),
        LinkType::LINUX_SLL => inner::by_ether_type(linux_sll(frame)),
        LinkType::LINUX_SLL2 => inner::by_ether_type(linux_sll2(frame)),
        _ => match strip(link, frame) {
            Ok(packet) => Ok((packet, None)),
            Err(Skipped::NotIp) => Err(Skipped::InnerNotIp),
            Err(Skipped::OuterMalformed) => Err(Skipped::InnerMalformed),
            Err(reason) => Err(reason),
        },
    }
}
