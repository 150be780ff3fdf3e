//! PPP (RFC 1661), alone and in HDLC-like framing (RFC 1662), and Cisco's HDLC.
//!
//! ```text
//!             +---------+---------+------------+--------
//!  PPP        |  0xff   |  0x03   |  protocol  | packet
//!             | 0 or 1  | 0 or 1  |   1 or 2   |
//!             +---------+---------+------------+--------
//!  Cisco HDLC |  0x0f,  | control | EtherType  | packet
//!             |  0x8f   | 1 byte  |  2 bytes   |
//!             +---------+---------+------------+--------
//! ```
//!
//! Section 6.5 of RFC 1661: a protocol of two bytes below 256 may be sent as one. The last bit of
//! a protocol's first byte is 0 and that of its second byte is 1, so the two forms are
//! distinguishable.

use etherparse::EtherType;

use super::payload::{LinkError, Payload};
use super::{ether, mpls};
use crate::frame::Captured;

/// RFC 1332.
const IPV4: u16 = 0x0021;
/// RFC 5072.
const IPV6: u16 = 0x0057;
/// RFC 3032, section 4.3.
const MPLS: u16 = 0x0281;

const ALL_STATIONS: u8 = 0xff;
const CISCO_UNICAST: u8 = 0x0f;
const CISCO_MULTICAST: u8 = 0x8f;

/// Decodes PPP with or without address and control fields, or Cisco's HDLC, which shares link
/// types with it.
pub(super) fn parse_framed(frame: Captured<'_>) -> Result<Payload<'_>, LinkError> {
    match frame.bytes {
        [CISCO_UNICAST | CISCO_MULTICAST, rest @ ..] => {
            let [_, high, low, packet @ ..] = rest else {
                return Err(LinkError::Malformed);
            };
            let ether_type = EtherType(u16::from_be_bytes([*high, *low]));
            ether::behind_type(ether_type, frame.behind_header(packet))
        }
        [ALL_STATIONS, _, rest @ ..] => parse(frame.behind_header(rest)),
        [ALL_STATIONS] => Err(LinkError::Malformed),
        _ => parse(frame),
    }
}

/// Decodes PPP that starts with its protocol.
pub(super) fn parse(frame: Captured<'_>) -> Result<Payload<'_>, LinkError> {
    let (protocol, packet) = match frame.bytes {
        [low, packet @ ..] if low & 1 == 1 => (u16::from(*low), packet),
        [high, low, packet @ ..] => (u16::from_be_bytes([*high, *low]), packet),
        [] | [_] => return Err(LinkError::Malformed),
    };
    let ether_type = match protocol {
        IPV4 => EtherType::IPV4,
        IPV6 => EtherType::IPV6,
        MPLS => mpls::UNICAST,
        _ => return Err(LinkError::NoEtherType),
    };
    let packet = frame.behind_header(packet);
    Ok(Payload::untagged(ether_type, packet))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(frame: &[u8], expected: Result<(u16, &[u8]), LinkError>) {
        let found = parse_framed(Captured::whole(frame))
            .map(|found| (found.ether_type.0, found.packet.bytes));
        assert_eq!(found, expected, "{frame:02x?}");
    }

    #[test]
    fn a_protocol_has_one_byte_or_two_behind_framing_or_without() {
        let ipv4 = Ok((0x0800, &[0x45][..]));
        check(&[0x00, 0x21, 0x45], ipv4);
        check(&[0x21, 0x45], ipv4);
        check(&[0xff, 0x03, 0x00, 0x21, 0x45], ipv4);
        check(&[0xff, 0x03, 0x21, 0x45], ipv4);
        check(&[0x00, 0x57, 0x60], Ok((0x86dd, &[0x60])));
        check(&[0x57, 0x60], Ok((0x86dd, &[0x60])));
        check(&[0x02, 0x81, 0, 1], Ok((0x8847, &[0, 1])));
        // LCP, IPCP, and a compressed packet (RFC 1962).
        for other in [[0xc0, 0x21], [0x80, 0x21], [0x00, 0xfd], [0xfd, 0x00]] {
            check(&other, Err(LinkError::NoEtherType));
        }
        // Van Jacobson's compression (RFC 1332, section 4): even in the uncompressed form, a slot
        // identifier replaces the protocol in the IPv4 header.
        for other in [[0x2d, 0x45], [0x2f, 0x45]] {
            check(&other, Err(LinkError::NoEtherType));
        }
    }

    #[test]
    fn cisco_hdlc_has_an_ether_type() {
        check(&[0x0f, 0, 0x08, 0, 0x45], Ok((0x0800, &[0x45])));
        check(&[0x8f, 0, 0x86, 0xdd, 0x60], Ok((0x86dd, &[0x60])));
        // Keepalives (SLARP) are not IP, and small numbers are not lengths.
        check(&[0x8f, 0, 0x80, 0x35, 0], Ok((0x8035, &[0])));
        let llc = [0x0f, 0, 0, 9, 0xaa, 0xaa, 0x03, 0, 0, 0, 8, 0];
        check(&llc, Err(LinkError::NoEtherType));
    }

    #[test]
    fn a_header_cut_anywhere_is_malformed() {
        for header in [
            &[0x00, 0x21][..],
            &[0x21],
            &[0xff, 0x03, 0x00, 0x21],
            &[0x0f, 0x00, 0x08, 0x00],
        ] {
            for length in 0..header.len() {
                check(&header[..length], Err(LinkError::Malformed));
            }
        }
    }
}
