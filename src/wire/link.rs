//! From a capture's link layer to the outer IP packet.

use etherparse::EtherType;

use super::Skipped;
use super::ether::{self, Ethernet};

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
    pub const IPV4: Self = Self(228);
    pub const IPV6: Self = Self(229);
    pub const LINUX_SLL2: Self = Self(276);
}

/// The outer packet, by what the link layer says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    Ipv4(&'a [u8]),
    Ipv6(&'a [u8]),
}

#[inline]
pub(super) fn strip(link: LinkType, frame: &[u8]) -> Result<Packet<'_>, Skipped> {
    match link {
        LinkType::ETHERNET => by_ether_type(ether::parse(frame)),
        LinkType::LINUX_SLL => by_ether_type(linux_sll(frame)),
        LinkType::LINUX_SLL2 => by_ether_type(linux_sll2(frame)),
        LinkType::NULL | LinkType::LOOP => by_address_family(frame),
        LinkType::RAW | LinkType::RAW_BSD | LinkType::RAW_OPENBSD => by_version(frame),
        LinkType::IPV4 => Ok(Packet::Ipv4(frame)),
        LinkType::IPV6 => Ok(Packet::Ipv6(frame)),
        _ => Err(Skipped::UnsupportedLink),
    }
}

#[inline]
fn by_ether_type(frame: Option<Ethernet<'_>>) -> Result<Packet<'_>, Skipped> {
    let frame = frame.ok_or(Skipped::OuterMalformed)?;
    match frame.ether_type {
        EtherType::IPV4 => Ok(Packet::Ipv4(frame.payload)),
        EtherType::IPV6 => Ok(Packet::Ipv6(frame.payload)),
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

fn by_version(packet: &[u8]) -> Result<Packet<'_>, Skipped> {
    match packet.first().map(|byte| byte >> 4) {
        Some(4) => Ok(Packet::Ipv4(packet)),
        Some(6) => Ok(Packet::Ipv6(packet)),
        _ => Err(Skipped::OuterMalformed),
    }
}
