//! LLC (IEEE 802.2) with SNAP, which holds an EtherType: RFC 1042.
//!
//! ```text
//!  +--------+--------+---------+----------------+-----------+---------
//!  |  DSAP  |  SSAP  | control |  organisation  | EtherType | payload
//!  |  0xaa  |  0xaa  |  0x03   |    3 bytes     |  2 bytes  |
//!  +--------+--------+---------+----------------+-----------+---------
//! ```
//!
//! The organisation is 00-00-00, or 00-00-F8 for the few types that bridges must carry differently
//! (IEEE 802.1H). Any other LLC carries no EtherType.

use etherparse::EtherType;

use super::payload::{LinkError, MIN_ETHER_TYPE, Payload};
use crate::frame::Captured;

/// Decodes an LLC header. VLAN tags may follow it.
pub(super) fn parse(frame: Captured<'_>) -> Result<Payload<'_>, LinkError> {
    match frame.bytes {
        [0xaa, 0xaa, 0x03, 0, 0, 0x00 | 0xf8, high, low, payload @ ..] => {
            match u16::from_be_bytes([*high, *low]) {
                ..MIN_ETHER_TYPE => Err(LinkError::NoEtherType),
                number => {
                    let packet = frame.behind_header(payload);
                    Ok(Payload::untagged(EtherType(number), packet))
                }
            }
        }
        [0xaa, 0xaa, 0x03, _, _, _, _, _, ..] => Err(LinkError::NoEtherType),
        // These bytes may be the beginning of such a header.
        [] | [0xaa] | [0xaa, 0xaa] | [0xaa, 0xaa, 0x03, ..] => Err(LinkError::Malformed),
        _ => Err(LinkError::NoEtherType),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: Result<u16, LinkError>) {
        let found = parse(Captured::whole(bytes)).map(|found| found.ether_type.0);
        assert_eq!(found, expected, "{bytes:02x?}");
    }

    #[test]
    fn snap_of_two_organisations_holds_an_ether_type() {
        check(&[0xaa, 0xaa, 0x03, 0, 0, 0, 0x08, 0x00, 0x45], Ok(0x0800));
        check(&[0xaa, 0xaa, 0x03, 0, 0, 0xf8, 0x86, 0xdd], Ok(0x86dd));
        let none = Err(LinkError::NoEtherType);
        // Cisco, and a number that is not an EtherType.
        check(&[0xaa, 0xaa, 0x03, 0, 0, 0x0c, 0x20, 0x00], none);
        check(&[0xaa, 0xaa, 0x03, 0, 0, 0, 0x05, 0xff], none);
    }

    #[test]
    fn other_llc_has_no_ether_type() {
        let none = Err(LinkError::NoEtherType);
        // Spanning tree, NetBIOS, raw IPX, IP by its own service access point, and an XID.
        check(&[0x42, 0x42, 0x03, 0, 0], none);
        check(&[0xf0], none);
        check(&[0xff, 0xff], none);
        check(&[0x06, 0x06, 0x03, 0x45], none);
        check(&[0xaa, 0xaa, 0xaf, 0, 0, 0, 8, 0], none);
    }

    #[test]
    fn a_header_cut_anywhere_is_malformed() {
        let header = [0xaa, 0xaa, 0x03, 0, 0, 0, 0x08, 0x00];
        for length in 0..header.len() {
            check(&header[..length], Err(LinkError::Malformed));
        }
        check(&header, Ok(0x0800));
    }
}
