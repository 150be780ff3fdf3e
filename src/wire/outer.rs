//! From the outer IP packet to the UDP datagram in it.

use etherparse::{IpNumber, UdpHeader, UdpHeaderSlice};

use super::ipv4::Ipv4;
use super::ipv6::{self, Ipv6, Through};
use super::link::Packet;
use super::{Captured, Datagram, Ip, Skipped};

pub(super) fn datagram(packet: Packet<'_>) -> Result<Datagram<'_>, Skipped> {
    match packet {
        Packet::Ipv4(packet) => in_ipv4(packet),
        Packet::Ipv6(packet) => in_ipv6(packet),
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
        // RFC 2675, section 4, and what segmentation offload leaves: the rest of the packet.
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
