//! From the outer IP packet to the UDP datagram in it.

use etherparse::{IpNumber, Ipv6Header, Ipv6HeaderSlice, UdpHeader, UdpHeaderSlice};

use super::ipv4::Ipv4;
use super::link::Packet;
use super::{Datagram, Part, Skipped};

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
        0 => Part::whole(packet),
        total => Part::claimed(packet, usize::from(total)),
    };
    udp(whole.skip(header.header_length), header.more_fragments)
}

fn in_ipv6(packet: &[u8]) -> Result<Datagram<'_>, Skipped> {
    let header = Ipv6HeaderSlice::from_slice(packet).map_err(|_| Skipped::OuterMalformed)?;
    let payload = packet.get(Ipv6Header::LEN..).unwrap_or_default();
    let mut part = match header.payload_length() {
        0 => Part::whole(payload),
        length => Part::claimed(payload, usize::from(length)),
    };
    let mut protocol = header.next_header();
    let mut more_fragments = false;
    let mut later_fragment = false;

    // RFC 8200, section 4: each extension header starts with the number of the next one.
    // Every turn takes a byte at least, so the walk ends.
    loop {
        match protocol {
            IpNumber::IPV6_HEADER_HOP_BY_HOP
            | IpNumber::IPV6_ROUTE_HEADER
            | IpNumber::IPV6_DESTINATION_OPTIONS
                if !later_fragment =>
            {
                let (next, size) = match part.bytes {
                    [next, units, ..] => (*next, usize::from(*units)),
                    // Its size is cut away, and so is all behind it.
                    [next] => (*next, usize::from(u8::MAX)),
                    [] => return Err(Skipped::OuterMalformed),
                };
                protocol = IpNumber(next);
                part = part.skip(size.saturating_add(1).saturating_mul(8));
            }
            IpNumber::IPV6_FRAGMENTATION_HEADER if !later_fragment => {
                let [next, _, high, low, ..] = part.bytes else {
                    return Err(Skipped::OuterMalformed);
                };
                let offset_and_flags = u16::from_be_bytes([*high, *low]);
                protocol = IpNumber(*next);
                more_fragments = offset_and_flags & 1 != 0;
                later_fragment = offset_and_flags & 0xfff8 != 0;
                part = part.skip(8);
            }
            IpNumber::UDP if !later_fragment => return udp(part, more_fragments),
            IpNumber::UDP
            | IpNumber::IPV6_HEADER_HOP_BY_HOP
            | IpNumber::IPV6_ROUTE_HEADER
            | IpNumber::IPV6_DESTINATION_OPTIONS
            | IpNumber::IPV6_FRAGMENTATION_HEADER => return Err(Skipped::LaterFragment),
            _ => return Err(Skipped::NotUdp),
        }
    }
}

fn udp(part: Part<'_>, more_fragments: bool) -> Result<Datagram<'_>, Skipped> {
    let header = UdpHeaderSlice::from_slice(part.bytes).map_err(|_| Skipped::OuterMalformed)?;
    let datagram = match header.length() {
        // RFC 2675, section 4, and what segmentation offload leaves: the rest of the packet.
        0 => part,
        1..=7 => return Err(Skipped::OuterMalformed),
        length => Part::claimed(part.bytes, usize::from(length)),
    };
    Ok(Datagram {
        destination_port: header.destination_port(),
        payload: datagram.skip(UdpHeader::LEN),
        first_fragment: more_fragments,
    })
}
