//! Fast path: Ethernet, IPv4, UDP, TZSP, Ethernet, IPv4 without options or tags, as RouterOS sends
//! it, so every field is at a fixed offset.
//!
//! Returns `None` for anything else, which is left to [`decode_full`](super::decode_full). Must
//! agree with it: a frame must not count differently by the path that it takes.
//!
//! ```text
//!  +----------+----------+---------+----------+----------+----------+-----------
//!  | Ethernet |   IPv4   |   UDP   |   TZSP   | Ethernet |   IPv4   |  payload
//!  | 14 bytes | 20 bytes | 8 bytes |  5 bytes | 14 bytes | 20 bytes |
//!  +----------+----------+---------+----------+----------+----------+-----------
//! ```

use etherparse::{EtherType, IpNumber, UdpHeader};

use super::inner;
use super::ip::Ip;
use super::ipv4::Ipv4;
use super::observation::Observation;
use super::outer::Datagram;
use crate::frame::Captured;

/// Version 4, and a header of 5 words.
const VERSION_IHL: u8 = 0x45;
/// The size of the TZSP header, in bytes.
pub(super) const TZSP: usize = 5;
/// TZSP version 1, type 0 or 1, encapsulation 1, and the end of the tags.
const TZSP_RECEIVED: [u8; TZSP] = [1, 0, 0, 1, 1];
const TZSP_TRANSMIT: [u8; TZSP] = [1, 1, 0, 1, 1];

/// Returns the datagram in an Ethernet frame.
#[inline(always)]
pub(super) fn datagram(frame: &[u8]) -> Option<Datagram<'_>> {
    let (header, rest) = frame.split_first_chunk::<42>()?;
    #[rustfmt::skip]
    let [
        _, _, _, _, _, _, _, _, _, _, _, _, ether_high, ether_low,

        version_ihl, _, total_high, total_low,
        _, _, fragment_high, fragment_low,
        _, protocol, _, _,
        s0, s1, s2, s3,
        _, _, _, _,

        _, _, to_high, to_low,
        length_high, length_low, _, _,
    ] = *header;
    let fragment = u16::from_be_bytes([fragment_high, fragment_low]);
    if u16::from_be_bytes([ether_high, ether_low]) != EtherType::IPV4.0
        || version_ihl != VERSION_IHL
        || protocol != IpNumber::UDP.0
        || fragment & Ipv4::FRAGMENT_OFFSET != 0
    {
        return None;
    }
    let total_length = usize::from(u16::from_be_bytes([total_high, total_low]));
    let length = usize::from(u16::from_be_bytes([length_high, length_low]));
    let in_packet = total_length.checked_sub(Ipv4::LENGTH + UdpHeader::LEN)?;
    let in_datagram = length.checked_sub(UdpHeader::LEN)?;
    let there = Captured::claimed(rest, in_packet).bytes;
    Some(Datagram {
        source: Ip::V4(u32::from_be_bytes([s0, s1, s2, s3])),
        destination_port: u16::from_be_bytes([to_high, to_low]),
        payload: Captured::claimed(there, in_datagram),
        first_fragment: fragment & Ipv4::MORE_FRAGMENTS != 0,
    })
}

/// Whether an Ethernet frame has a later fragment of a datagram. A mirrored packet of full size takes
/// two frames, and the second is such a fragment.
#[inline(always)]
pub(super) fn is_later_fragment(frame: &[u8]) -> bool {
    let Some(header) = frame.first_chunk::<34>() else {
        return false;
    };
    #[rustfmt::skip]
    let [
        _, _, _, _, _, _, _, _, _, _, _, _, ether_high, ether_low,

        version_ihl, _, total_high, total_low,
        _, _, fragment_high, fragment_low,
        _, protocol, _, _,
        ..
    ] = *header;
    let total_length = u16::from_be_bytes([total_high, total_low]);
    let fragment = u16::from_be_bytes([fragment_high, fragment_low]);
    u16::from_be_bytes([ether_high, ether_low]) == EtherType::IPV4.0
        && version_ihl == VERSION_IHL
        && usize::from(total_length) >= Ipv4::LENGTH
        && protocol == IpNumber::UDP.0
        && fragment & Ipv4::FRAGMENT_OFFSET != 0
}

/// Decodes the mirrored packet in a datagram.
#[inline(always)]
pub(super) fn inner(datagram: &Datagram<'_>) -> Option<Observation> {
    let (header, rest) = datagram.payload.bytes.split_first_chunk::<39>()?;
    #[rustfmt::skip]
    let [
        z0, z1, z2, z3, z4,

        _, _, _, _, _, _, _, _, _, _, _, _, ether_high, ether_low,

        version_ihl, service, total_high, total_low,
        _, _, fragment_high, fragment_low,
        _, protocol, _, _,
        s0, s1, s2, s3,
        d0, d1, d2, d3,
    ] = *header;
    let tzsp = [z0, z1, z2, z3, z4];
    if (tzsp != TZSP_RECEIVED && tzsp != TZSP_TRANSMIT)
        || u16::from_be_bytes([ether_high, ether_low]) != EtherType::IPV4.0
        || version_ihl != VERSION_IHL
    {
        return None;
    }
    let total_length = u16::from_be_bytes([total_high, total_low]);
    let in_packet = usize::from(total_length).checked_sub(Ipv4::LENGTH)?;
    let fragment = u16::from_be_bytes([fragment_high, fragment_low]);
    let protocol = IpNumber(protocol);
    let ports = match fragment & Ipv4::FRAGMENT_OFFSET {
        0 => inner::ports(protocol, Captured::claimed(rest, in_packet)),
        _ => None,
    };
    let behind = datagram.payload.behind_header(rest);
    Some(Observation {
        source: Ip::V4(u32::from_be_bytes([s0, s1, s2, s3])),
        destination: Ip::V4(u32::from_be_bytes([d0, d1, d2, d3])),
        protocol,
        listen_port: datagram.destination_port,
        sensor: datagram.source,
        ports,
        vlan: None,
        dscp: service >> 2,
        bytes: total_length.into(),
        truncated: inner::truncated(in_packet as u64, behind, datagram),
    })
}
