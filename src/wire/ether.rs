//! Ethernet II and IEEE 802.3, and the VLAN tags that may follow the addresses.
//!
//! ```text
//!  +-------------+-------------+----------------------+-----------------------+---------
//!  | destination |   source    |  any number of tags  |  EtherType or length  | payload
//!  |   6 bytes   |   6 bytes   |     4 bytes each     |        2 bytes        |
//!  +-------------+-------------+----------------------+-----------------------+---------
//! ```
//!
//! A number below 0x600 is a length, as in IEEE 802.3, and LLC follows it. The length is not used,
//! because the packet inside has its own.

use etherparse::EtherType;

use super::llc;
use super::payload::{LinkError, MIN_ETHER_TYPE, Payload};
use crate::frame::Captured;

/// Used for stacked tags before IEEE 802.1ad, like 0x9100.
const VLAN_9200: EtherType = EtherType(0x9200);

/// Decodes an Ethernet header with its tags.
#[inline(always)]
pub(super) fn parse(frame: Captured<'_>) -> Result<Payload<'_>, LinkError> {
    let (header, rest) = frame
        .bytes
        .split_first_chunk::<14>()
        .ok_or(LinkError::Malformed)?;
    let [.., high, low] = *header;
    let type_or_length = EtherType(u16::from_be_bytes([high, low]));
    behind_type_or_length(type_or_length, frame.behind_header(rest))
}

/// Decodes what follows an EtherType, for link layers where this number is never a length.
pub(super) fn behind_type(
    ether_type: EtherType,
    rest: Captured<'_>,
) -> Result<Payload<'_>, LinkError> {
    if ether_type.0 < MIN_ETHER_TYPE {
        return Err(LinkError::NoEtherType);
    }
    behind_type_or_length(ether_type, rest)
}

/// Skips any number of VLAN tags and LLC headers. Each VLAN tag (IEEE 802.1Q, 802.1ad and the
/// numbers in use before it) consists of two bytes and then an EtherType or length, as in the
/// Ethernet header.
#[inline(always)]
fn behind_type_or_length(
    mut ether_type: EtherType,
    mut rest: Captured<'_>,
) -> Result<Payload<'_>, LinkError> {
    let mut vlan = None;
    // Each iteration takes 4 bytes at least, so the loop ends.
    loop {
        match ether_type {
            EtherType::VLAN_TAGGED_FRAME
            | EtherType::PROVIDER_BRIDGING
            | EtherType::VLAN_DOUBLE_TAGGED_FRAME
            | VLAN_9200 => {
                let [tag_high, tag_low, high, low, tail @ ..] = rest.bytes else {
                    return Err(LinkError::Malformed);
                };
                // The four bits before the identifier are priority and drop eligibility.
                vlan = vlan.or(Some(u16::from_be_bytes([*tag_high, *tag_low]) & 0x0fff));
                ether_type = EtherType(u16::from_be_bytes([*high, *low]));
                rest = rest.behind_header(tail);
            }
            EtherType(..MIN_ETHER_TYPE) => {
                let snap = llc::parse(rest)?;
                (ether_type, rest) = (snap.ether_type, snap.packet);
            }
            _ => {
                return Ok(Payload {
                    ether_type,
                    vlan,
                    packet: rest,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Addresses, then `bytes`, the last of which are the payload.
    #[track_caller]
    fn check(bytes: &[u8], expected: Result<(u16, Option<u16>, &[u8]), LinkError>) {
        let frame = [&[0x02; 12][..], bytes].concat();
        let found = parse(Captured::whole(&frame))
            .map(|found| (found.ether_type.0, found.vlan, found.packet.bytes));
        assert_eq!(found, expected, "{bytes:02x?}");
    }

    #[test]
    fn tags_of_each_type_are_skipped() {
        check(&[0x08, 0x00, 0x45], Ok((0x0800, None, &[0x45])));
        for tag in [[0x81, 0x00], [0x88, 0xa8], [0x91, 0x00], [0x92, 0x00]] {
            let tagged = [&tag[..], &[0xe0, 10, 0x86, 0xdd, 0x60]].concat();
            check(&tagged, Ok((0x86dd, Some(10), &[0x60])));
        }
    }

    #[test]
    fn llc_follows_a_length_behind_a_tag_and_before_one() {
        let llc = |ether_type: [u8; 2]| [&[0xaa, 0xaa, 0x03, 0, 0, 0][..], &ether_type].concat();
        let of = |parts: &[&[u8]]| parts.concat();
        let ip = Ok((0x0800, None, &[0x45][..]));
        let tagged = Ok((0x0800, Some(7), &[0x45][..]));
        check(&of(&[&[0, 9], &llc([8, 0]), &[0x45]]), ip);
        // The length is not used, and 0x5ff is the largest.
        check(&of(&[&[0, 0], &llc([8, 0]), &[0x45]]), ip);
        check(&of(&[&[0x05, 0xff], &llc([8, 0]), &[0x45]]), ip);
        check(
            &of(&[&[0x06, 0x00], &llc([8, 0])]),
            Ok((0x0600, None, &llc([8, 0]))),
        );
        check(
            &of(&[&[0x81, 0, 0, 7, 0, 9], &llc([8, 0]), &[0x45]]),
            tagged,
        );
        check(
            &of(&[&[0, 13], &llc([0x81, 0]), &[0, 7, 8, 0, 0x45]]),
            tagged,
        );
        let nested = of(&[
            &[0, 21],
            &llc([0x81, 0]),
            &[0, 7, 0, 9],
            &llc([8, 0]),
            &[0x45],
        ]);
        check(&nested, tagged);
    }

    #[test]
    fn a_frame_cut_before_its_type_is_malformed() {
        let frame = [0x81, 0, 0, 7, 0, 9, 0xaa, 0xaa, 0x03, 0, 0, 0, 0x08, 0x00];
        for length in 0..frame.len() {
            check(&frame[..length], Err(LinkError::Malformed));
        }
        check(&frame, Ok((0x0800, Some(7), &[])));
    }

    #[test]
    fn small_numbers_are_unknown_where_there_is_no_length() {
        let rest = Captured::whole(&[0xaa, 0xaa, 0x03, 0, 0, 0, 0x08, 0x00]);
        let small = behind_type(EtherType(0x05ff), rest);
        assert_eq!(small, Err(LinkError::NoEtherType));
        assert!(behind_type(EtherType(0x0600), rest).is_ok());
    }
}
