//! The header that AVS designed to follow Prism's, before an 802.11 frame.
//!
//! ```text
//!  +------------+----------+-------------------------------+-------
//!  |  version   |  length  | signal, noise, rate and so on | 802.11
//!  |  4 bytes   | 4 bytes  |     56 bytes in version 1     |
//!  +------------+----------+-------------------------------+-------
//! ```
//!
//! Everything is in network byte order.

use super::payload::LinkError;
use crate::frame::Captured;

/// Version and length.
const MIN_LENGTH: u32 = 8;

/// Skips the header, using its length field.
pub(super) fn skip(frame: Captured<'_>) -> Result<Captured<'_>, LinkError> {
    let [_, _, _, _, a, b, c, d, ..] = *frame.bytes else {
        return Err(LinkError::Malformed);
    };
    match u32::from_be_bytes([a, b, c, d]) {
        ..MIN_LENGTH => Err(LinkError::Malformed),
        length => frame.behind_length(length).ok_or(LinkError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(length: [u8; 4], rest: usize, expected: Result<usize, LinkError>) {
        let frame = [&[0x80, 0x21, 0x10, 0x01][..], &length, &vec![0; rest]].concat();
        let found = skip(Captured::whole(&frame)).map(|found| found.bytes.len());
        assert_eq!(found, expected, "{length:?} {rest}");
    }

    #[test]
    fn the_length_leads_to_the_frame() {
        check([0, 0, 0, 64], 56 + 24, Ok(24));
        // Version 2.
        check([0, 0, 0, 80], 72 + 24, Ok(24));
    }

    #[test]
    fn a_header_that_is_cut_or_shorter_than_its_length_is_malformed() {
        for rest in 0..56 {
            check([0, 0, 0, 64], rest, Err(LinkError::Malformed));
        }
        check([0, 0, 0, 64], 56, Ok(0));
        check([0, 0, 0, 7], 56, Err(LinkError::Malformed));
        check([0xff; 4], 56, Err(LinkError::Malformed));
        let short = Captured::whole(&[0x80, 0x21, 0x10, 0x01, 0, 0, 0]);
        assert_eq!(skip(short), Err(LinkError::Malformed));
    }
}
