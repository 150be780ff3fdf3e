//! Linux cooked captures, as `-i any` produces them: <https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL.html>.
//!
//! ```text
//!  version 1  +-------------------------+------------+---------
//!             |    about the device     |  protocol  | payload
//!             |        14 bytes         |  2 bytes   |
//!             +------------+------------+------------+---------
//!  version 2  |  protocol  |    about the device     | payload
//!             |  2 bytes   |        18 bytes         |
//!             +------------+-------------------------+---------
//! ```
//!
//! The protocol is an EtherType, or one of Linux's own numbers below 0x600.

use etherparse::EtherType;

use super::payload::{LinkError, Payload};
use super::{ether, llc};
use crate::frame::Captured;

/// Linux's own number for LLC: `ETH_P_802_2`.
const LLC: u16 = 0x0004;

pub(super) fn parse_v1(frame: Captured<'_>) -> Result<Payload<'_>, LinkError> {
    let (header, rest) = frame
        .bytes
        .split_first_chunk::<16>()
        .ok_or(LinkError::Malformed)?;
    let [.., high, low] = *header;
    behind_protocol([high, low], frame.behind_header(rest))
}

pub(super) fn parse_v2(frame: Captured<'_>) -> Result<Payload<'_>, LinkError> {
    let (header, rest) = frame
        .bytes
        .split_first_chunk::<20>()
        .ok_or(LinkError::Malformed)?;
    let [high, low, ..] = *header;
    behind_protocol([high, low], frame.behind_header(rest))
}

fn behind_protocol(protocol: [u8; 2], rest: Captured<'_>) -> Result<Payload<'_>, LinkError> {
    match u16::from_be_bytes(protocol) {
        LLC => {
            let snap = llc::parse(rest)?;
            ether::behind_type(snap.ether_type, snap.packet)
        }
        number => ether::behind_type(EtherType(number), rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Parse = fn(Captured<'_>) -> Result<Payload<'_>, LinkError>;

    #[track_caller]
    fn check(parse: Parse, header: &[u8], payload: &[u8], expected: Result<u16, LinkError>) {
        let frame = [header, payload].concat();
        let found = parse(Captured::whole(&frame)).map(|found| found.ether_type.0);
        assert_eq!(found, expected, "{frame:02x?}");
    }

    fn v1(high: u8, low: u8) -> [u8; 16] {
        [0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, high, low]
    }

    fn v2(high: u8, low: u8) -> [u8; 20] {
        #[rustfmt::skip]
        let header = [high, low, 0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0];
        header
    }

    #[test]
    fn the_protocol_is_an_ether_type_or_llc() {
        let snap = [0xaa, 0xaa, 0x03, 0, 0, 0, 0x08, 0x00];
        let tag = [0, 10, 0x86, 0xdd];
        let none = Err(LinkError::NoEtherType);
        check(parse_v1, &v1(0x08, 0x00), &[], Ok(0x0800));
        check(parse_v2, &v2(0x08, 0x00), &[], Ok(0x0800));
        check(parse_v1, &v1(0x81, 0x00), &tag, Ok(0x86dd));
        check(parse_v2, &v2(0x81, 0x00), &tag, Ok(0x86dd));
        check(parse_v1, &v1(0, 4), &snap, Ok(0x0800));
        check(parse_v2, &v2(0, 4), &snap, Ok(0x0800));
        // Any other small number is not a length: Novell's frames (1), CAN (12).
        check(parse_v1, &v1(0, 1), &snap, none);
        check(parse_v2, &v2(0, 12), &snap, none);
    }

    #[test]
    fn a_header_cut_anywhere_is_malformed() {
        for length in 0..16 {
            check(
                parse_v1,
                &v1(8, 0)[..length],
                &[],
                Err(LinkError::Malformed),
            );
        }
        for length in 0..20 {
            check(
                parse_v2,
                &v2(8, 0)[..length],
                &[],
                Err(LinkError::Malformed),
            );
        }
    }
}
