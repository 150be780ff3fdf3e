//! TZSP, the TaZmen Sniffer Protocol, version 1.
//!
//! ```text
//!  +---------+--------+-----------------+----------------+---------+-------
//!  | version |  type  |  encapsulation  |  tags          | end tag | frame
//!  |    1    | 1 byte |     2 bytes     |  any number    |    1    |
//!  +---------+--------+-----------------+----------------+---------+-------
//! ```
//!
//! A tag is its number, one byte of length and that many bytes, except padding (0) and
//! the end (1), which are a lone byte each.

use super::{Part, Skipped};

const VERSION: u8 = 1;
const TYPE_RECEIVED: u8 = 0;
const TYPE_TRANSMIT: u8 = 1;
const TYPE_KEEPALIVE: u8 = 4;
const TYPE_PORT_OPENER: u8 = 5;
const ENCAPSULATION_ETHERNET: u16 = 1;
const TAG_PADDING: u8 = 0;
const TAG_END: u8 = 1;

/// The frame behind the TZSP header.
#[inline]
pub(super) fn unwrap(payload: Part<'_>) -> Result<Part<'_>, Skipped> {
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
    if u16::from_be_bytes([*high, *low]) != ENCAPSULATION_ETHERNET {
        return Err(Skipped::TzspUnsupportedEncapsulation);
    }
    let frame = behind_tags(tags)?;
    Ok(payload.behind_header(frame))
}

#[inline]
fn behind_tags(mut rest: &[u8]) -> Result<&[u8], Skipped> {
    loop {
        rest = match rest {
            [TAG_END, frame @ ..] => return Ok(frame),
            [TAG_PADDING, tail @ ..] => tail,
            [_, length, tail @ ..] => tail
                .get(usize::from(*length)..)
                .ok_or(Skipped::TzspMalformed)?,
            [] | [_] => return Err(Skipped::TzspMalformed),
        };
    }
}
