//! From the mirrored Ethernet frame to the IPv4 packet in it.

use etherparse::EtherType;

use super::ipv4::Ipv4;
use super::{Part, Skipped, ether};

/// RFC 2516, section 4: the EtherType of a PPPoE session.
const PPPOE_SESSION: EtherType = EtherType(0x8864);
/// PPP protocol numbers: RFC 1332 and RFC 5072.
const PPP_IPV4: u16 = 0x0021;
const PPP_IPV6: u16 = 0x0057;

/// The IPv4 header, and the packet from that header on.
pub(super) fn ipv4(frame: Part<'_>) -> Result<(Ipv4, Part<'_>), Skipped> {
    let (ether_type, rest) = ether::payload(frame.bytes).ok_or(Skipped::InnerMalformed)?;
    let packet = match ether_type {
        EtherType::IPV4 => rest,
        EtherType::IPV6 => return Err(Skipped::InnerIpv6),
        PPPOE_SESSION => ipv4_in_pppoe(rest)?,
        _ => return Err(Skipped::InnerNotIp),
    };
    let header = Ipv4::parse(packet).ok_or(Skipped::InnerMalformed)?;
    Ok((header, frame.behind_header(packet)))
}

/// ```text
///  +---------------+------+------------+--------+--------------+
///  | version, type | code | session id | length | PPP protocol |
///  |    1 byte     |  1   |     2      |   2    |      2       |
///  +---------------+------+------------+--------+--------------+
/// ```
fn ipv4_in_pppoe(rest: &[u8]) -> Result<&[u8], Skipped> {
    let [_, _, _, _, _, _, high, low, packet @ ..] = rest else {
        return Err(Skipped::InnerMalformed);
    };
    match u16::from_be_bytes([*high, *low]) {
        PPP_IPV4 => Ok(packet),
        PPP_IPV6 => Err(Skipped::InnerIpv6),
        _ => Err(Skipped::InnerNotIp),
    }
}
