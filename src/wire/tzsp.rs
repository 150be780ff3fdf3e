//! TZSP, the TaZmen Sniffer Protocol, version 1.
//!
//! ```text
//!  +---------+--------+-----------------+----------------+---------+-------
//!  | version |  type  |  encapsulation  |  tags          | end tag | frame
//!  |    1    | 1 byte |     2 bytes     |  any number    |    1    |
//!  +---------+--------+-----------------+----------------+---------+-------
//! ```
//!
//! A tag is its number, one byte of length and that many bytes. Padding (0) and the end (1) are
//! single bytes.
//!
//! Tag 16 is ignored: its meaning is unclear, "decrypted" for senders and "undecrypted" for
//! Wireshark. The header of an 802.11 frame itself states whether it is encrypted.

use super::link::is_wlan;
use super::skipped::Skipped;
use crate::frame::{Captured, LinkType};

const VERSION: u8 = 1;
const TYPE_RECEIVED: u8 = 0;
const TYPE_TRANSMIT: u8 = 1;
const TYPE_KEEPALIVE: u8 = 4;
const TYPE_PORT_OPENER: u8 = 5;
const TAG_PADDING: u8 = 0;
const TAG_END: u8 = 1;
/// One byte, not 0 if the frame was received with a wrong check sequence.
const TAG_FCS_ERROR: u8 = 17;
/// Two bytes: the length of the frame before the sensor cut it.
const TAG_ORIGINAL_LENGTH: u8 = 41;

/// A mirrored frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mirrored<'a> {
    pub(super) link: LinkType,
    /// With the length that the outer headers leave for it.
    pub(super) frame: Captured<'a>,
    /// The frame's original length as the sensor reports it, if it does.
    pub(super) original_length: Option<u16>,
}

/// Returns the link type that corresponds to an encapsulation. The two have different numbers.
fn link_type(encapsulation: u16) -> Option<LinkType> {
    match encapsulation {
        1 => Some(LinkType::ETHERNET),
        7 => Some(LinkType::RAW),
        18 => Some(LinkType::WLAN),
        119 => Some(LinkType::WLAN_PRISM),
        126 => Some(LinkType::WLAN_RADIOTAP),
        127 => Some(LinkType::WLAN_AVS),
        _ => None,
    }
}

/// Returns the frame behind the TZSP header.
pub(super) fn unwrap(payload: Captured<'_>) -> Result<Mirrored<'_>, Skipped> {
    let [VERSION, rest @ ..] = payload.bytes else {
        return Err(Skipped::NotTzsp);
    };
    let rest = match rest {
        [TYPE_RECEIVED | TYPE_TRANSMIT, rest @ ..] => rest,
        [TYPE_KEEPALIVE | TYPE_PORT_OPENER, ..] => return Err(Skipped::TzspKeepalive),
        [_, ..] => return Err(Skipped::TzspUnsupportedType),
        [] => return Err(Skipped::TzspMalformed),
    };
    let [high, low, tags @ ..] = rest else {
        return Err(Skipped::TzspMalformed);
    };
    let link = link_type(u16::from_be_bytes([*high, *low]))
        .ok_or(Skipped::TzspUnsupportedEncapsulation)?;
    // RouterOS sends no tags with Ethernet.
    let (frame, tags) = match tags {
        [TAG_END, frame @ ..] => (frame, Tags::default()),
        tags => read_tags(tags)?,
    };
    if tags.fcs_error && is_wlan(link) {
        return Err(Skipped::TzspFcsError);
    }
    Ok(Mirrored {
        link,
        frame: payload.behind_header(frame),
        original_length: tags.original_length,
    })
}

#[derive(Default)]
struct Tags {
    fcs_error: bool,
    original_length: Option<u16>,
}

/// What follows the tags, and the values of the tags that matter.
fn read_tags(mut rest: &[u8]) -> Result<(&[u8], Tags), Skipped> {
    let mut tags = Tags::default();
    loop {
        rest = match rest {
            [TAG_END, frame @ ..] => return Ok((frame, tags)),
            [TAG_PADDING, tail @ ..] => tail,
            [tag, length, tail @ ..] => {
                let (value, tail) = tail
                    .split_at_checked(usize::from(*length))
                    .ok_or(Skipped::TzspMalformed)?;
                match (*tag, value) {
                    (TAG_FCS_ERROR, [error, ..]) => tags.fcs_error = *error != 0,
                    (TAG_ORIGINAL_LENGTH, [high, low]) => {
                        tags.original_length = Some(u16::from_be_bytes([*high, *low]));
                    }
                    _ => {}
                }
                tail
            }
            [] | [_] => return Err(Skipped::TzspMalformed),
        };
    }
}
