//! Finds the UDP datagram in a captured frame.

use std::net::Ipv4Addr;

use etherparse::{EtherType, IpNumber, UdpHeader, UdpHeaderSlice};

use super::ip::Ip;
use super::ipv4::Ipv4;
use super::ipv6::{self, Ipv6, Through};
use super::link;
use super::payload::{LinkError, Payload};
use super::pppoe;
use super::skipped::Skipped;
use crate::frame::{Captured, LinkType};

/// A UDP datagram that may carry TZSP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// The address of the sender, the sensor.
    pub source: Ip,
    pub destination_port: u16,
    /// What follows the UDP header, with the length that this header claims for it.
    pub payload: Captured<'a>,
    /// Whether this is a first fragment, so that the rest of the datagram is missing.
    pub first_fragment: bool,
}

impl<'a> Datagram<'a> {
    /// Creates a datagram for TZSP that was captured without UDP.
    pub(super) fn bare(payload: Captured<'a>) -> Self {
        Self {
            source: Ipv4Addr::UNSPECIFIED.into(),
            destination_port: 0,
            payload,
            first_fragment: false,
        }
    }
}

/// Returns the UDP datagram in a captured frame, for any port.
///
/// # Errors
/// The reason why the frame has none.
pub fn datagram(link: LinkType, frame: Captured<'_>) -> Result<Datagram<'_>, Skipped> {
    if !link::carries_datagrams(link) {
        return match link {
            LinkType::TZSP => Ok(Datagram::bare(frame)),
            _ => Err(Skipped::UnsupportedLink),
        };
    }
    let carried = link::payload(link, frame).map_err(reason)?;
    match carried.ether_type {
        pppoe::SESSION => ip_packet(pppoe::parse(carried.packet).map_err(reason)?),
        _ => ip_packet(carried),
    }
}

#[inline(always)]
fn ip_packet(carried: Payload<'_>) -> Result<Datagram<'_>, Skipped> {
    match carried.ether_type {
        EtherType::IPV4 => in_ipv4(carried.packet.bytes),
        EtherType::IPV6 => in_ipv6(carried.packet.bytes),
        _ => Err(Skipped::NotIp),
    }
}

/// Returns the reason to skip a frame whose payload cannot be reached.
fn reason(error: LinkError) -> Skipped {
    match error {
        LinkError::Malformed => Skipped::OuterMalformed,
        LinkError::NoEtherType => Skipped::NotIp,
        // No link type of 802.11 carries datagrams.
        LinkError::Unsupported
        | LinkError::WlanNoData
        | LinkError::WlanEncrypted
        | LinkError::WlanLaterFragment
        | LinkError::WlanAggregate => Skipped::UnsupportedLink,
    }
}

fn in_ipv4(packet: &[u8]) -> Result<Datagram<'_>, Skipped> {
    let header = Ipv4::parse(packet).ok_or(Skipped::OuterMalformed)?;
    if header.protocol != IpNumber::UDP {
        return Err(Skipped::NotUdp);
    }
    if header.fragment_offset != 0 {
        return Err(Skipped::LaterFragment);
    }
    let whole = match header.total_length {
        0 => Captured::whole(packet),
        total => Captured::claimed(packet, usize::from(total)),
    };
    udp(
        header.source,
        whole.skip(header.header_length),
        header.more_fragments,
    )
}

fn in_ipv6(packet: &[u8]) -> Result<Datagram<'_>, Skipped> {
    let header = Ipv6::parse(packet).ok_or(Skipped::OuterMalformed)?;
    let chain = ipv6::walk(header.next_header, header.payload(packet), Through::Plain);
    let rest = chain.rest.ok_or(Skipped::OuterMalformed)?;
    match chain.protocol {
        IpNumber::UDP if !chain.later_fragment => {
            udp(header.source.into(), rest, chain.more_fragments)
        }
        // It may have been UDP, behind headers that are in the first fragment.
        IpNumber::UDP
        | IpNumber::IPV6_HEADER_HOP_BY_HOP
        | IpNumber::IPV6_ROUTE_HEADER
        | IpNumber::IPV6_DESTINATION_OPTIONS
        | IpNumber::IPV6_FRAGMENTATION_HEADER => Err(Skipped::LaterFragment),
        _ => Err(Skipped::NotUdp),
    }
}

fn udp(source: Ip, packet: Captured<'_>, more_fragments: bool) -> Result<Datagram<'_>, Skipped> {
    let header = UdpHeaderSlice::from_slice(packet.bytes).map_err(|_| Skipped::OuterMalformed)?;
    let datagram = match header.length() {
        // A jumbogram (RFC 2675, section 4), or a length that segmentation offload left empty: the
        // rest of the packet.
        0 => packet,
        1..=7 => return Err(Skipped::OuterMalformed),
        length => Captured::claimed(packet.bytes, usize::from(length)),
    };
    Ok(Datagram {
        source,
        destination_port: header.destination_port(),
        payload: datagram.skip(UdpHeader::LEN),
        first_fragment: more_fragments,
    })
}
