//! Data frames of wireless networks: IEEE 802.11-2020, section 9.3.2.1.
//!
//! ```text
//!  +---------------+----------+-------------------+----------+-----------+-----+------+------+---
//!  | frame control | duration | three addresses   | sequence | address 4 | QoS |  HT  | body |FCS
//!  |    2 bytes    |    2     |        18         |    2     |  0 or 6   |0, 2 | 0, 4 |      |0, 4
//!  +---------------+----------+-------------------+----------+-----------+-----+------+------+---
//! ```
//!
//! The body starts with LLC and SNAP, which contain an EtherType. A check sequence at the end,
//! which some sensors leave there, does no harm: like padding, it lies behind the length in the
//! packet's header. Some drivers pad the header to a multiple of 4 bytes and state so in radiotap.

use super::payload::{LinkError, Payload};
use super::{ether, llc};
use crate::frame::Captured;

/// A data frame with its source and destination station.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Data<'a> {
    pub(super) destination: [u8; 6],
    pub(super) source: [u8; 6],
    pub(super) body: Captured<'a>,
}

// The frame control field. In the first byte, the lowest two bits are the version, followed by two
// bits of type and four of subtype.
const VERSION_AND_TYPE: u8 = 0b1111;
const DATA: u8 = 0b1000;
const VERSION: u8 = 0b0011;
const SUBTYPE_NULL: u8 = 0b0100_0000;
const SUBTYPE_QOS: u8 = 0b1000_0000;
// The second byte.
const TO_DS: u8 = 0x01;
const FROM_DS: u8 = 0x02;
const PROTECTED: u8 = 0x40;
const HT_CONTROL: u8 = 0x80;

/// Decodes a data frame. `has_data_pad` states whether its header is padded to a multiple of 4
/// bytes.
pub(super) fn parse(frame: Captured<'_>, has_data_pad: bool) -> Result<Data<'_>, LinkError> {
    let [control, flags, ..] = *frame.bytes else {
        return Err(LinkError::Malformed);
    };
    // Version 1, for networks below 1 GHz, has a different layout.
    if control & VERSION != 0 {
        return Err(LinkError::Malformed);
    }
    if control & VERSION_AND_TYPE != DATA || control & SUBTYPE_NULL != 0 {
        return Err(LinkError::WlanNoData);
    }
    if flags & PROTECTED != 0 {
        return Err(LinkError::WlanEncrypted);
    }
    let mut data = body(control, flags, frame)?;
    if has_data_pad {
        let header = frame.length().saturating_sub(data.body.length());
        let padding = header.next_multiple_of(4).saturating_sub(header);
        let body = data.body.bytes.get(padding..).ok_or(LinkError::Malformed)?;
        data.body = data.body.behind_header(body);
    }
    Ok(data)
}

fn body(control: u8, flags: u8, frame: Captured<'_>) -> Result<Data<'_>, LinkError> {
    let (_, rest) = take::<4>(frame.bytes)?;
    let (first, rest) = take::<6>(rest)?;
    let (second, rest) = take::<6>(rest)?;
    let (third, rest) = take::<6>(rest)?;
    let ([fragment_number, _], rest) = take::<2>(rest)?;
    if fragment_number & 0x0f != 0 {
        return Err(LinkError::WlanLaterFragment);
    }
    let (destination, source, rest) = match (flags & TO_DS != 0, flags & FROM_DS != 0) {
        (false, false) => (first, second, rest),
        (false, true) => (first, third, rest),
        (true, false) => (third, second, rest),
        (true, true) => {
            let (fourth, rest) = take::<6>(rest)?;
            (third, fourth, rest)
        }
    };
    let mut body = rest;
    if control & SUBTYPE_QOS != 0 {
        let ([quality, _], rest) = take::<2>(body)?;
        if quality & 0x80 != 0 {
            return Err(LinkError::WlanAggregate);
        }
        body = rest;
        // In other frames, this flag requests strict ordering.
        if flags & HT_CONTROL != 0 {
            (_, body) = take::<4>(body)?;
        }
    }
    Ok(Data {
        destination,
        source,
        body: frame.behind_header(body),
    })
}

fn take<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), LinkError> {
    let (field, rest) = bytes.split_first_chunk::<N>().ok_or(LinkError::Malformed)?;
    Ok((*field, rest))
}

impl<'a> Data<'a> {
    /// Returns the type and bytes of the body, before any VLAN tags are skipped.
    pub(super) fn snap(&self) -> Result<Payload<'a>, LinkError> {
        llc::parse(self.body)
    }

    /// Returns the payload of the body, behind VLAN tags.
    pub(super) fn payload(&self) -> Result<Payload<'a>, LinkError> {
        let snap = self.snap()?;
        ether::behind_type(snap.ether_type, snap.packet)
    }
}

#[cfg(test)]
mod tests {
    use etherparse::EtherType;

    use super::*;

    const A: [u8; 6] = [0x0a; 6];
    const B: [u8; 6] = [0x0b; 6];
    const C: [u8; 6] = [0x0c; 6];
    const D: [u8; 6] = [0x0d; 6];
    const LLC: [u8; 9] = [0xaa, 0xaa, 0x03, 0, 0, 0, 0x08, 0x00, 0x45];

    /// Three addresses, sequence number 0, then `more` and [`LLC`].
    fn frame(control: u8, flags: u8, more: &[u8]) -> Vec<u8> {
        [&[control, flags, 0, 0][..], &A, &B, &C, &[0, 0], more, &LLC].concat()
    }

    fn parse_whole(frame: &[u8]) -> Result<Data<'_>, LinkError> {
        parse(Captured::whole(frame), false)
    }

    #[track_caller]
    fn check(frame: &[u8], destination: [u8; 6], source: [u8; 6]) {
        let expected = Data {
            destination,
            source,
            body: Captured::whole(&LLC),
        };
        assert_eq!(parse_whole(frame), Ok(expected));
    }

    #[test]
    fn the_flags_decide_the_meaning_of_the_addresses() {
        check(&frame(0x08, 0, &[]), A, B);
        check(&frame(0x08, FROM_DS, &[]), A, C);
        check(&frame(0x08, TO_DS, &[]), C, B);
        check(&frame(0x08, TO_DS | FROM_DS, &D), C, D);
    }

    #[test]
    fn quality_of_service_and_ht_control_follow_the_addresses() {
        check(&frame(0x88, TO_DS, &[0x05, 0]), C, B);
        check(
            &frame(0x88, TO_DS | HT_CONTROL, &[0x05, 0, 1, 2, 3, 4]),
            C,
            B,
        );
        check(&frame(0x08, TO_DS | HT_CONTROL, &[]), C, B);
        let all = [&D[..], &[0x05, 0, 1, 2, 3, 4]].concat();
        check(&frame(0x88, TO_DS | FROM_DS | HT_CONTROL, &all), C, D);
        let aggregate = frame(0x88, TO_DS, &[0x80, 0]);
        assert_eq!(parse_whole(&aggregate), Err(LinkError::WlanAggregate));
    }

    #[test]
    fn only_data_frames_have_data() {
        for control in (0..=0xff).filter(|control| control & VERSION == 0) {
            let is_data = control & 0x0c == 0x08 && control & 0x40 == 0;
            let frame = frame(control, TO_DS, &[0, 0]);
            let has_none = parse_whole(&frame) == Err(LinkError::WlanNoData);
            assert_eq!(has_none, !is_data, "{control:#x}");
        }
    }

    #[test]
    fn a_frame_cut_anywhere_is_malformed() {
        let whole = frame(0x88, TO_DS | HT_CONTROL, &[0x05, 0, 1, 2, 3, 4]);
        for length in 0..whole.len() {
            let expected = match length {
                // 24 bytes of header, 2 of QoS, 4 of HT control, 8 of LLC and SNAP.
                0..38 => Err(LinkError::Malformed),
                _ => Ok(EtherType::IPV4),
            };
            let found = parse_whole(&whole[..length])
                .and_then(|data| data.payload())
                .map(|payload| payload.ether_type);
            assert_eq!(found, expected, "cut at {length}");
        }
    }

    #[test]
    fn a_padded_header_ends_at_a_multiple_of_4_bytes() {
        let body_of = |control, flags, more: &[u8]| {
            let frame = frame(control, flags, more);
            let found = parse(Captured::whole(&frame), true);
            found.map(|data| data.body.bytes == LLC)
        };
        // 24 and 32 bytes need no padding; 26, 30 and 30 do.
        assert_eq!(body_of(0x08, TO_DS, &[]), Ok(true));
        let four_and_qos = [&D[..], &[0x05, 0]].concat();
        assert_eq!(body_of(0x88, TO_DS | FROM_DS, &four_and_qos), Ok(true));
        assert_eq!(body_of(0x88, TO_DS, &[0x05, 0, 0, 0]), Ok(true));
        assert_eq!(body_of(0x88, TO_DS, &[0x05, 0]), Ok(false));
        let four = [&D[..], &[0, 0]].concat();
        assert_eq!(body_of(0x08, TO_DS | FROM_DS, &four), Ok(true));
        let ht_control = [0x05, 0, 1, 2, 3, 4, 0, 0];
        assert_eq!(body_of(0x88, TO_DS | HT_CONTROL, &ht_control), Ok(true));
        let cut = frame(0x88, TO_DS, &[0x05, 0]);
        let cut = parse(Captured::whole(&cut[..27]), true);
        assert_eq!(cut, Err(LinkError::Malformed));
    }
}
