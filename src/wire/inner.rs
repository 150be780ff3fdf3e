//! From the mirrored frame to the IP packet in it.

use etherparse::{EtherType, IpNumber};

use super::ether::{self, Ethernet};
use super::ipv4::Ipv4;
use super::ipv6::{self, Ipv6, Through};
use super::link::{self, Packet};
use super::tzsp::{Encapsulation, Mirrored};
use super::{Captured, Datagram, Observation, Skipped, Truncated, wlan};

/// RFC 2516, section 4: the EtherType of a PPPoE session.
const PPPOE_SESSION: EtherType = EtherType(0x8864);
/// PPP protocol numbers: RFC 1332 and RFC 5072.
const PPP_IPV4: u16 = 0x0021;
const PPP_IPV6: u16 = 0x0057;

/// The packet and the VLAN of the outermost tag before it.
pub(super) type Tagged<'a> = (Packet<'a>, Option<u16>);

/// The packet in a mirrored frame, which `datagram` carried. Also returns it from its IP header on,
/// with the length that the outer headers leave for it.
pub(super) fn packet<'a>(
    mirrored: Mirrored<'a>,
    datagram: &Datagram<'_>,
    with_ipv6: bool,
) -> Result<(Observation, Captured<'a>), Skipped> {
    let frame = mirrored.frame;
    let tagged = match mirrored.encapsulation {
        Encapsulation::Ethernet => by_ether_type(ether::parse(frame.bytes)),
        Encapsulation::Wlan => by_ether_type(Some(wlan::ethernet(frame.bytes)?)),
        Encapsulation::RawIp => link::by_version(frame.bytes)
            .map(|packet| (packet, None))
            .ok_or(Skipped::InnerMalformed),
    };
    in_frame(frame, tagged?, datagram, with_ipv6)
}

/// The packet in a frame, once its link layer is read.
pub(super) fn in_frame<'a>(
    frame: Captured<'a>,
    (packet, vlan): Tagged<'a>,
    datagram: &Datagram<'_>,
    with_ipv6: bool,
) -> Result<(Observation, Captured<'a>), Skipped> {
    let (carried, seen) = match packet {
        Packet::Ipv4(packet) => {
            let carried = frame.behind_header(packet);
            (carried, in_ipv4(carried))
        }
        Packet::Ipv6(packet) if with_ipv6 => {
            let carried = frame.behind_header(packet);
            (carried, in_ipv6(carried))
        }
        Packet::Ipv6(_) => return Err(Skipped::InnerIpv6),
    };
    let seen = seen.ok_or(Skipped::InnerMalformed)?;
    let seen = Observation {
        sensor: datagram.source,
        listen_port: datagram.destination_port,
        vlan,
        truncated: truncated(seen.bytes, carried, datagram),
        ..seen
    };
    Ok((seen, carried))
}

pub(super) fn by_ether_type(frame: Option<Ethernet<'_>>) -> Result<Tagged<'_>, Skipped> {
    let frame = frame.ok_or(Skipped::InnerMalformed)?;
    let packet = match frame.ether_type {
        EtherType::IPV4 => Packet::Ipv4(frame.payload),
        EtherType::IPV6 => Packet::Ipv6(frame.payload),
        PPPOE_SESSION => in_pppoe(frame.payload)?,
        _ => return Err(Skipped::InnerNotIp),
    };
    Ok((packet, frame.vlan))
}

/// The packet in a PPPoE session.
///
/// ```text
///  +---------------+------+------------+--------+--------------+
///  | version, type | code | session id | length | PPP protocol |
///  |    1 byte     |  1   |     2      |   2    |      2       |
///  +---------------+------+------------+--------+--------------+
/// ```
fn in_pppoe(rest: &[u8]) -> Result<Packet<'_>, Skipped> {
    let [_, _, _, _, _, _, high, low, packet @ ..] = rest else {
        return Err(Skipped::InnerMalformed);
    };
    match u16::from_be_bytes([*high, *low]) {
        PPP_IPV4 => Ok(Packet::Ipv4(packet)),
        PPP_IPV6 => Ok(Packet::Ipv6(packet)),
        _ => Err(Skipped::InnerNotIp),
    }
}

/// What the packet itself says.
fn in_ipv4(carried: Captured<'_>) -> Option<Observation> {
    let header = Ipv4::parse(carried.bytes)?;
    let bytes = match header.total_length {
        0 => carried.length(),
        claimed => usize::from(claimed),
    };
    if bytes < header.header_length {
        return None;
    }
    let payload = Captured::claimed(carried.bytes, bytes).skip(header.header_length);
    let has_ports = header.fragment_offset == 0;
    Some(Observation {
        source: header.source,
        destination: header.destination,
        protocol: header.protocol,
        ports: has_ports.then(|| ports(header.protocol, payload)).flatten(),
        dscp: header.dscp,
        bytes: bytes as u64,
        ..Observation::default()
    })
}

fn in_ipv6(carried: Captured<'_>) -> Option<Observation> {
    let header = Ipv6::parse(carried.bytes)?;
    let bytes = match header.payload_length {
        0 => carried.length(),
        claimed => usize::from(claimed).saturating_add(Ipv6::LENGTH),
    };
    let payload = header.payload(carried.bytes);
    let chain = ipv6::walk(header.next_header, payload, Through::Authentication);
    let first = chain.rest.filter(|_| !chain.later_fragment);
    Some(Observation {
        source: header.source.into(),
        destination: header.destination.into(),
        protocol: chain.protocol,
        ports: first.and_then(|rest| ports(chain.protocol, rest)),
        dscp: header.dscp,
        bytes: bytes as u64,
        ..Observation::default()
    })
}

/// Why a packet of so many bytes is not there whole, if it is not.
#[inline(always)]
pub(super) fn truncated(
    bytes: u64,
    carried: Captured<'_>,
    datagram: &Datagram<'_>,
) -> Option<Truncated> {
    if bytes <= carried.bytes.len() as u64 {
        None
    } else if bytes > carried.length() as u64 {
        Some(Truncated::Sensor)
    } else if datagram.first_fragment {
        Some(Truncated::Fragment)
    } else {
        Some(Truncated::Snaplen)
    }
}

/// Source and destination port: the first four bytes of these protocols' headers.
#[inline(always)]
pub(super) fn ports(protocol: IpNumber, payload: Captured<'_>) -> Option<(u16, u16)> {
    match (protocol, payload.bytes) {
        (
            IpNumber::TCP | IpNumber::UDP | IpNumber::UDP_LITE | IpNumber::SCTP | IpNumber::DCCP,
            [source_high, source_low, high, low, ..],
        ) => Some((
            u16::from_be_bytes([*source_high, *source_low]),
            u16::from_be_bytes([*high, *low]),
        )),
        _ => None,
    }
}
