//! The header that drivers for Prism cards and their successors put before an 802.11 frame.
//!
//! ```text
//!  +---------------+----------------+-------------+-------------------------------+-------
//!  |  message code | message length | device name | signal, noise, rate and so on | 802.11
//!  |    4 bytes    |    4 bytes     |  16 bytes   |           120 bytes           |
//!  +---------------+----------------+-------------+-------------------------------+-------
//! ```
//!
//! Everything is in the byte order of the capturing machine. Some drivers write an AVS header under
//! the same link type number; its length field has the same offset.

use super::payload::LinkError;
use crate::frame::Captured;

/// The message code and the length itself.
const MIN_LENGTH: u32 = 8;

/// Skips the header, using its length field.
pub(super) fn skip(frame: Captured<'_>) -> Result<Captured<'_>, LinkError> {
    let [_, _, _, _, a, b, c, d, ..] = *frame.bytes else {
        return Err(LinkError::Malformed);
    };
    let length = u32::from_be_bytes([a, b, c, d]);
    // Headers are short, so the length is plausible in one byte order only.
    let length = length.min(length.swap_bytes());
    if length < MIN_LENGTH {
        return Err(LinkError::Malformed);
    }
    frame.behind_length(length).ok_or(LinkError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code_and_length: [u8; 8], rest: usize, expected: Result<usize, LinkError>) {
        let frame = [&code_and_length[..], &vec![0; rest]].concat();
        let found = skip(Captured::whole(&frame)).map(|found| found.bytes.len());
        assert_eq!(found, expected, "{code_and_length:02x?}");
    }

    #[test]
    fn the_length_is_recognised_in_both_byte_orders() {
        check([0x44, 0, 0, 0, 144, 0, 0, 0], 136 + 24, Ok(24));
        check([0, 0, 0, 0x44, 0, 0, 0, 144], 136 + 24, Ok(24));
        check([0x41, 0, 0, 0, 0, 1, 0, 0], 248 + 24, Ok(24));
        // AVS, whose byte order is that of the network.
        check([0x80, 0x21, 0x10, 0x01, 0, 0, 0, 64], 56 + 24, Ok(24));
    }

    #[test]
    fn a_header_that_is_cut_or_shorter_than_its_length_is_malformed() {
        for rest in 0..136 {
            let cut = Err(LinkError::Malformed);
            check([0x44, 0, 0, 0, 144, 0, 0, 0], rest, cut);
        }
        check([0x44, 0, 0, 0, 144, 0, 0, 0], 136, Ok(0));
        check([0x44, 0, 0, 0, 7, 0, 0, 0], 136, Err(LinkError::Malformed));
        check(
            [0x44, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
            136,
            Err(LinkError::Malformed),
        );
        let short = Captured::whole(&[0x44, 0, 0, 0, 144, 0, 0]);
        assert_eq!(skip(short), Err(LinkError::Malformed));
    }
}
