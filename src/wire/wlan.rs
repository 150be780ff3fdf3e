//! Data frames of wireless networks: IEEE 802.11-2020, section 9.3.2.1.
//!
//! ```text
//!  +---------------+----------+-------------------+----------+-----------+-----+------+------+---
//!  | frame control | duration | three addresses   | sequence | address 4 | QoS |  HT  | body |FCS
//!  |    2 bytes    |    2     |        18         |    2     |  0 or 6   |0, 2 | 0, 4 |      |0, 4
//!  +---------------+----------+-------------------+----------+-----------+-----+------+------+---
//! ```
//!
//! The body starts with LLC and SNAP, which hold an EtherType. A check sequence at the end, which
//! some sensors leave there, is no different from padding: lengths come from the packet's header.

use etherparse::EtherType;

use super::Skipped;
use super::ether::{self, Ethernet};

/// A data frame and the two stations that it is between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Data<'a> {
    pub(super) destination: [u8; 6],
    pub(super) source: [u8; 6],
    pub(super) body: &'a [u8],
}

/// An EtherType and what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Snap<'a> {
    pub(super) ether_type: EtherType,
    pub(super) payload: &'a [u8],
}

// Of the frame control field: in the first byte the lowest two bits are the version, then come
// two of type and four of subtype.
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

pub(super) fn parse(frame: &[u8]) -> Result<Data<'_>, Skipped> {
    let [control, flags, ..] = frame else {
        return Err(Skipped::InnerMalformed);
    };
    // Version 1 belongs to networks below 1 GHz, and is laid out differently.
    if control & VERSION != 0 {
        return Err(Skipped::InnerMalformed);
    }
    if control & VERSION_AND_TYPE != DATA || control & SUBTYPE_NULL != 0 {
        return Err(Skipped::InnerWlanNoData);
    }
    if flags & PROTECTED != 0 {
        return Err(Skipped::InnerWlanEncrypted);
    }
    body(*control, *flags, frame)
}

fn body(control: u8, flags: u8, frame: &[u8]) -> Result<Data<'_>, Skipped> {
    let (_, rest) = take::<4>(frame)?;
    let (first, rest) = take::<6>(rest)?;
    let (second, rest) = take::<6>(rest)?;
    let (third, rest) = take::<6>(rest)?;
    let ([fragment_number, _], rest) = take::<2>(rest)?;
    if fragment_number & 0x0f != 0 {
        return Err(Skipped::InnerWlanLaterFragment);
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
            return Err(Skipped::InnerWlanAggregate);
        }
        body = rest;
        // Elsewhere this flag asks for a strict order.
        if flags & HT_CONTROL != 0 {
            (_, body) = take::<4>(body)?;
        }
    }
    Ok(Data {
        destination,
        source,
        body,
    })
}

fn take<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), Skipped> {
    let (field, rest) = bytes
        .split_first_chunk::<N>()
        .ok_or(Skipped::InnerMalformed)?;
    Ok((*field, rest))
}

impl<'a> Data<'a> {
    /// An EtherType behind LLC and SNAP: RFC 1042, and IEEE 802.1H for the few types that bridges
    /// must carry differently.
    pub(super) fn snap(&self) -> Result<Snap<'a>, Skipped> {
        match self.body {
            [0xaa, 0xaa, 0x03, 0, 0, 0x00 | 0xf8, high, low, payload @ ..] => Ok(Snap {
                ether_type: EtherType(u16::from_be_bytes([*high, *low])),
                payload,
            }),
            [0xaa, 0xaa, 0x03, _, _, _, _, _, ..] => Err(Skipped::InnerNotIp),
            // It may be the start of such a header.
            [] | [0xaa] | [0xaa, 0xaa] | [0xaa, 0xaa, 0x03, ..] => Err(Skipped::InnerMalformed),
            _ => Err(Skipped::InnerNotIp),
        }
    }
}

/// The EtherType in a data frame, behind VLAN tags if there are some.
#[inline(never)]
pub(super) fn ethernet(frame: &[u8]) -> Result<Ethernet<'_>, Skipped> {
    let Snap {
        ether_type,
        payload,
    } = parse(frame)?.snap()?;
    ether::skip_tags(ether_type, payload).ok_or(Skipped::InnerMalformed)
}

#[cfg(test)]
mod tests {
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

    #[track_caller]
    fn check(frame: &[u8], destination: [u8; 6], source: [u8; 6]) {
        let expected = Data {
            destination,
            source,
            body: &LLC,
        };
        assert_eq!(parse(frame), Ok(expected));
    }

    #[test]
    fn the_flags_tell_which_address_is_whose() {
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
        assert_eq!(parse(&aggregate), Err(Skipped::InnerWlanAggregate));
    }

    #[test]
    fn every_type_but_data_has_no_data() {
        for control in (0..=0xff).filter(|control| control & VERSION == 0) {
            let is_data = control & 0x0c == 0x08 && control & 0x40 == 0;
            let has_none = parse(&frame(control, TO_DS, &[0, 0])) == Err(Skipped::InnerWlanNoData);
            assert_eq!(has_none, !is_data, "{control:#x}");
        }
    }

    #[test]
    fn a_frame_cut_anywhere_says_so() {
        let whole = frame(0x88, TO_DS | HT_CONTROL, &[0x05, 0, 1, 2, 3, 4]);
        for length in 0..whole.len() {
            let expected = match length {
                // 24 bytes of header, 2 of QoS, 4 of HT control, 8 of LLC and SNAP.
                0..38 => Err(Skipped::InnerMalformed),
                _ => Ok(EtherType::IPV4),
            };
            let found = ethernet(&whole[..length]).map(|ethernet| ethernet.ether_type);
            assert_eq!(found, expected, "cut at {length}");
        }
    }
}
