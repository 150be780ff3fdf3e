//! Decodes the IP packet in a mirrored frame.

use etherparse::{EtherType, IpNumber};

use super::ipv4::Ipv4;
use super::ipv6::{self, Ipv6, Through};
use super::link;
use super::observation::{Observation, Truncated};
use super::outer::Datagram;
use super::payload::{LinkError, Payload};
use super::skipped::Skipped;
use super::{mpls, pppoe};
use crate::frame::{Captured, LinkType};

/// Decodes the packet in a mirrored frame, which `datagram` carried. Also returns the packet
/// itself, from its IP header on, with the length that the outer headers leave for it.
pub(super) fn packet<'a>(
    link: LinkType,
    frame: Captured<'a>,
    datagram: &Datagram<'_>,
    with_ipv6: bool,
) -> Result<(Observation, Captured<'a>), Skipped> {
    let Payload {
        ether_type,
        vlan,
        packet,
    } = tunneled(link, frame).map_err(reason)?;
    let seen = match ether_type {
        EtherType::IPV4 => in_ipv4(packet),
        EtherType::IPV6 if with_ipv6 => in_ipv6(packet),
        EtherType::IPV6 => return Err(Skipped::InnerIpv6),
        _ => return Err(Skipped::InnerNotIp),
    };
    let seen = seen.ok_or(Skipped::InnerMalformed)?;
    let seen = Observation {
        sensor: datagram.source,
        listen_port: datagram.destination_port,
        vlan,
        truncated: truncated(seen.bytes, packet, datagram),
        ..seen
    };
    Ok((seen, packet))
}

/// Returns the payload of a frame, behind PPPoE and MPLS if they are there, in this order.
fn tunneled(link: LinkType, frame: Captured<'_>) -> Result<Payload<'_>, LinkError> {
    let mut carried = link::payload(link, frame)?;
    let vlan = carried.vlan;
    if carried.ether_type == pppoe::SESSION {
        carried = pppoe::parse(carried.packet)?;
    }
    if let mpls::UNICAST | mpls::MULTICAST = carried.ether_type {
        carried = mpls::parse(carried.packet)?;
    }
    Ok(Payload { vlan, ..carried })
}

/// Returns the reason to skip a frame whose payload cannot be reached.
fn reason(error: LinkError) -> Skipped {
    match error {
        LinkError::Unsupported => Skipped::UnsupportedLink,
        LinkError::Malformed => Skipped::InnerMalformed,
        LinkError::NoEtherType => Skipped::InnerNotIp,
        LinkError::WlanNoData => Skipped::InnerWlanNoData,
        LinkError::WlanEncrypted => Skipped::InnerWlanEncrypted,
        LinkError::WlanLaterFragment => Skipped::InnerWlanLaterFragment,
        LinkError::WlanAggregate => Skipped::InnerWlanAggregate,
    }
}

/// The fields that come from the inner packet itself.
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
    let bytes = match (header.payload_length, header.next_header) {
        // No next header, so the remaining bytes are padding.
        (0, IpNumber::IPV6_NO_NEXT_HEADER) => Ipv6::LENGTH,
        // A jumbogram, or a length that segmentation offload left empty.
        (0, _) => carried.length(),
        (claimed, _) => usize::from(claimed).saturating_add(Ipv6::LENGTH),
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

/// Returns why a packet that claims this many bytes is incomplete; `None` if it is complete.
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

/// Returns source and destination port, the first four bytes of these protocols' headers.
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
