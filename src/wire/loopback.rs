//! BSD's loopback headers, NULL and LOOP, including what other systems put into them.
//!
//! ```text
//!  +-------------------------------+--------
//!  |  address family or EtherType  | packet
//!  |            4 bytes            |
//!  +-------------------------------+--------
//! ```
//!
//! A family is in the byte order of the capturing machine for NULL and of the network for LOOP.
//! Both orders are accepted, because the values are unambiguous. Some programs write an EtherType,
//! some a number of two bytes, and some PPP. They are distinguished by their values, as in
//! Wireshark's `packet-null.c`.

use etherparse::EtherType;

use super::payload::{LinkError, Payload};
use super::{ether, ppp};
use crate::frame::Captured;

const AF_INET: u32 = 2;
/// AF_INET6 of Linux; of NetBSD and OpenBSD; of FreeBSD; of macOS.
const AF_INET6: [u32; 4] = [10, 24, 28, 30];
/// The largest length of IEEE 802.3. Larger numbers are EtherTypes.
const MAX_FAMILY: u32 = 1500;

pub(super) fn parse(frame: Captured<'_>) -> Result<Payload<'_>, LinkError> {
    let (header, packet) = frame
        .bytes
        .split_first_chunk::<4>()
        .ok_or(LinkError::Malformed)?;
    if let [0xff, 0x03, ..] = header {
        return ppp::parse_framed(frame);
    }
    let packet = frame.behind_header(packet);
    match number(*header) {
        AF_INET => Ok(Payload::untagged(EtherType::IPV4, packet)),
        family if AF_INET6.contains(&family) => Ok(Payload::untagged(EtherType::IPV6, packet)),
        ..=MAX_FAMILY => Err(LinkError::NoEtherType),
        number => {
            let [_, _, high, low] = number.to_be_bytes();
            ether::behind_type(EtherType(u16::from_be_bytes([high, low])), packet)
        }
    }
}

/// Returns the number in a header, for every size and byte order.
fn number(header: [u8; 4]) -> u32 {
    match header {
        // A family of two bytes, big-endian: the first two, as IRIX has it, or the last two of a
        // machine that swaps halves. No EtherType is below 0x600.
        [_, _, family @ 1..=5, 0] | [0, family @ 0..=5, 0, 0] => family.into(),
        [low, high, 0, 0] => u16::from_le_bytes([low, high]).into(),
        big_endian => u32::from_be_bytes(big_endian),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(header: [u8; 4], expected: Result<u16, LinkError>) {
        let frame = [&header[..], &[0x45]].concat();
        let found = parse(Captured::whole(&frame)).map(|found| found.ether_type.0);
        assert_eq!(found, expected, "{header:02x?}");
    }

    #[test]
    fn a_family_is_recognised_in_both_byte_orders() {
        check([2, 0, 0, 0], Ok(0x0800));
        check([0, 0, 0, 2], Ok(0x0800));
        for family in [10, 24, 28, 30] {
            check([family, 0, 0, 0], Ok(0x86dd));
            check([0, 0, 0, family], Ok(0x86dd));
        }
        // AppleTalk, zero, and a number that is neither a family nor an EtherType.
        for other in [[16, 0, 0, 0], [0; 4], [0, 0, 1, 0], [0, 0, 0x05, 0xdc]] {
            check(other, Err(LinkError::NoEtherType));
        }
    }

    /// The expected values are tshark's, of the same bytes.
    #[test]
    fn an_ether_type_and_a_family_of_two_bytes_are_read_as_wireshark_reads_them() {
        check([0, 0, 0x08, 0], Ok(0x0800));
        check([0, 0x08, 0, 0], Ok(0x0800));
        check([0, 1, 0x08, 0], Ok(0x0800));
        check([0xdd, 0x86, 0, 0], Ok(0x86dd));
        check([0, 0, 0x86, 0xdd], Ok(0x86dd));
        check([0, 2, 0, 0], Ok(0x0800));
        check([0, 0, 2, 0], Ok(0x0800));
        check([8, 0, 0, 0], Err(LinkError::NoEtherType));
        check([0, 0, 0, 8], Err(LinkError::NoEtherType));
        check([0x86, 0xdd, 0, 0], Ok(0xdd86));
        check([8, 0, 6, 0], Ok(0x0600));
    }

    #[test]
    fn the_header_may_be_ppp() {
        check([0xff, 0x03, 0x00, 0x21], Ok(0x0800));
        check([0xff, 0x03, 0x57, 0x60], Ok(0x86dd));
        check([0xff, 0x03, 0xc0, 0x21], Err(LinkError::NoEtherType));
    }

    #[test]
    fn four_bytes_are_needed() {
        for length in 0..4 {
            let cut = Captured::whole(&[2, 0, 0, 0][..length]);
            assert_eq!(parse(cut), Err(LinkError::Malformed));
        }
    }
}
