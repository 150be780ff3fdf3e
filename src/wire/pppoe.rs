//! PPPoE around the outer packet (RFC 2516, section 4).
//!
//! ```text
//!  +---------------+------+------------+--------+-------------------+
//!  | version, type | code | session id | length |   PPP protocol    |
//!  |    1 byte     |  1   |     2      |   2    | 2, or compressed 1|
//!  +---------------+------+------------+--------+-------------------+
//! ```

use etherparse::EtherType;

use super::Skipped;
use super::link::Packet;

pub(super) const SESSION: EtherType = EtherType(0x8864);

/// PPP protocol numbers: RFC 1332 and RFC 5072. The first byte of two may be left out (RFC 1661,
/// section 6.5): it is even, and the last one odd.
const IPV4: u8 = 0x21;
const IPV6: u8 = 0x57;

/// The IP packet in a session.
pub(super) fn outer_packet(session: &[u8]) -> Result<Packet<'_>, Skipped> {
    let (_, rest) = session
        .split_first_chunk::<6>()
        .ok_or(Skipped::OuterMalformed)?;
    match rest {
        [0, IPV4, packet @ ..] | [IPV4, packet @ ..] => Ok(Packet::Ipv4(packet)),
        [0, IPV6, packet @ ..] | [IPV6, packet @ ..] => Ok(Packet::Ipv6(packet)),
        [] | [0] => Err(Skipped::OuterMalformed),
        _ => Err(Skipped::NotIp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(behind_header: &[u8], expected: Result<Packet<'_>, Skipped>) {
        let session = [&[0x11, 0, 0, 7, 0, 100], behind_header].concat();
        assert_eq!(outer_packet(&session), expected);
    }

    #[test]
    fn the_protocol_has_two_bytes_or_one() {
        check(&[0, 0x21, 0x45], Ok(Packet::Ipv4(&[0x45])));
        check(&[0x21, 0x45], Ok(Packet::Ipv4(&[0x45])));
        check(&[0, 0x57, 0x60], Ok(Packet::Ipv6(&[0x60])));
        check(&[0x57, 0x60], Ok(Packet::Ipv6(&[0x60])));
        // LCP, and IPX in one byte.
        check(&[0xc0, 0x21, 1], Err(Skipped::NotIp));
        check(&[0x2b, 1], Err(Skipped::NotIp));
    }

    #[test]
    fn a_session_that_is_cut_is_malformed() {
        check(&[], Err(Skipped::OuterMalformed));
        check(&[0], Err(Skipped::OuterMalformed));
        assert_eq!(outer_packet(&[0x11; 5]), Err(Skipped::OuterMalformed));
    }
}
