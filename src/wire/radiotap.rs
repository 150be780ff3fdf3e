//! Radiotap, before an 802.11 frame: <https://www.radiotap.org>.
//!
//! ```text
//!  +---------+---------+---------+--------------+-----------------------+-------
//!  | version | padding | length  | what follows | time, flags and so on | 802.11
//!  | 1 byte  | 1 byte  | 2 bytes | 4 bytes each |                       |
//!  +---------+---------+---------+--------------+-----------------------+-------
//! ```
//!
//! Everything is little-endian. Each presence word ("what follows") has a bit for one more such
//! word. Of the fields, only the flags matter here. At most the time precedes them. Another version
//! than 0 may arrange the fields differently, so only its length is used.

use super::payload::LinkError;
use crate::frame::Captured;

/// The version that this module describes, the only one so far.
const VERSION: u8 = 0;
/// The size of version, padding, length and one presence word.
const MIN_LENGTH: u16 = 8;

// Bits of the first presence word, and one bit that each presence word has.
const HAS_TIME: u32 = 1 << 0;
const HAS_FLAGS: u32 = 1 << 1;
const HAS_MORE_WORDS: u32 = 1 << 31;

// The flags.
const FCS_AT_END: u8 = 0x10;
const DATA_PAD: u8 = 0x20;

/// An 802.11 frame, and how it is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Radiotap<'a> {
    /// The frame, without a check sequence if the header states that there is one.
    pub(super) frame: Captured<'a>,
    /// Whether the 802.11 header is padded to a multiple of 4 bytes.
    pub(super) has_data_pad: bool,
}

/// Skips the header, using its length field.
pub(super) fn parse(frame: Captured<'_>) -> Result<Radiotap<'_>, LinkError> {
    let [version, _, low, high, fields @ ..] = frame.bytes else {
        return Err(LinkError::Malformed);
    };
    let length = u16::from_le_bytes([*low, *high]);
    if length < MIN_LENGTH {
        return Err(LinkError::Malformed);
    }
    let behind = frame
        .behind_length(length.into())
        .ok_or(LinkError::Malformed)?;
    // The fields end where the header does.
    let fields = fields
        .get(..usize::from(length).saturating_sub(4))
        .ok_or(LinkError::Malformed)?;
    let flags = match *version {
        VERSION => flags(fields).unwrap_or(0),
        _ => 0,
    };
    Ok(Radiotap {
        frame: if flags & FCS_AT_END == 0 {
            behind
        } else {
            behind.without_fcs()
        },
        has_data_pad: flags & DATA_PAD != 0,
    })
}

/// Returns the flags from what follows the length, if they are present.
fn flags(fields: &[u8]) -> Option<u8> {
    let (words, _) = fields.as_chunks::<4>();
    let mut words = words.iter().map(|word| u32::from_le_bytes(*word));
    let follows = words.next()?;
    if follows & HAS_FLAGS == 0 {
        return None;
    }
    let mut number = 1_usize;
    let mut last = follows;
    while last & HAS_MORE_WORDS != 0 {
        last = words.next()?;
        number = number.saturating_add(1);
    }
    // From the start of the header. The time has 8 bytes, at a multiple of 8.
    let mut at = number.saturating_add(1).saturating_mul(4);
    if follows & HAS_TIME != 0 {
        at = at.next_multiple_of(8).saturating_add(8);
    }
    fields.get(at.saturating_sub(4)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of these bytes before a frame of 24, and what is left of it.
    #[track_caller]
    fn check(header: &[u8], left: usize, has_data_pad: bool) {
        let frame = [header, &[0x55; 24]].concat();
        let found = parse(Captured::whole(&frame)).map(|found| {
            let Radiotap {
                frame,
                has_data_pad,
            } = found;
            (frame.bytes.len(), frame.length(), has_data_pad)
        });
        assert_eq!(found, Ok((left, left, has_data_pad)), "{header:02x?}");
    }

    #[test]
    fn the_length_leads_to_the_frame() {
        check(&[0, 0, 8, 0, 0, 0, 0, 0], 24, false);
        // Signal and noise, which are ignored.
        check(&[0, 0, 10, 0, 0x60, 0, 0, 0, 0x30, 0xff], 24, false);
    }

    #[test]
    fn flags_state_a_check_sequence_and_padding() {
        check(&[0, 0, 9, 0, 2, 0, 0, 0, 0x00], 24, false);
        check(&[0, 0, 9, 0, 2, 0, 0, 0, 0x10], 20, false);
        check(&[0, 0, 9, 0, 2, 0, 0, 0, 0x20], 24, true);
        check(&[0, 0, 9, 0, 2, 0, 0, 0, 0x30], 20, true);
    }

    #[test]
    fn fields_of_another_version_are_not_read() {
        for version in [1, 0x61, 0xff] {
            check(&[version, 0, 9, 0, 2, 0, 0, 0, 0x30], 24, false);
        }
    }

    #[test]
    fn flags_follow_all_presence_words_and_the_time() {
        let time = [0xff; 8];
        let with_time = [&[0, 0, 17, 0, 3, 0, 0, 0][..], &time, &[0x30]].concat();
        check(&with_time, 20, true);
        // Two words, and the time at the next multiple of 8.
        let two_words = [
            &[0, 0, 25, 0, 3, 0, 0, 0x80, 0, 0, 0, 0][..],
            &[0xff; 4],
            &time,
            &[0x30],
        ]
        .concat();
        check(&two_words, 20, true);
        let three_words = [
            &[0, 0, 17, 0, 2, 0, 0, 0x80][..],
            &[0, 0, 0, 0x80, 0, 0, 0, 0, 0x30],
        ]
        .concat();
        check(&three_words, 20, true);
    }

    #[test]
    fn flags_that_are_not_in_the_header_are_none() {
        // The frame that follows would set all of them.
        check(&[0, 0, 8, 0, 2, 0, 0, 0], 24, false);
        check(&[0, 0, 8, 0, 2, 0, 0, 0x80], 24, false);
        check(
            &[0, 0, 12, 0, 3, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
            24,
            false,
        );
    }

    #[test]
    fn a_check_sequence_that_is_cut_away_does_not_matter() {
        let header = [0, 0, 9, 0, 2, 0, 0, 0, 0x10];
        let of = |there: usize, length: usize| {
            let bytes = [&header[..], &vec![0x55; there]].concat();
            let found = parse(Captured::new(&bytes, 9 + length)).map(|found| found.frame);
            found.map(|frame| (frame.bytes.len(), frame.length()))
        };
        assert_eq!(of(20, 24), Ok((20, 20)));
        assert_eq!(of(22, 24), Ok((20, 20)));
        assert_eq!(of(10, 24), Ok((10, 20)));
        assert_eq!(of(3, 3), Ok((0, 0)));
    }

    #[test]
    fn a_header_that_is_cut_or_shorter_than_its_length_is_malformed() {
        let header = [0, 0, 9, 0, 2, 0, 0, 0, 0x10];
        for length in 0..header.len() {
            let cut = Captured::whole(&header[..length]);
            assert_eq!(parse(cut), Err(LinkError::Malformed), "{length}");
        }
        let short = Captured::whole(&[0, 0, 7, 0, 0, 0, 0, 0]);
        assert_eq!(parse(short), Err(LinkError::Malformed));
    }
}
