//! PPI, per-packet information before a frame of any link type:
//! <https://www.tcpdump.org/linktypes/LINKTYPE_PPI.html>.
//!
//! ```text
//!  +---------+--------+---------+-----------+---------------------+------
//!  | version | flags  | length  | link type | fields, each a type | frame
//!  | 1 byte  | 1 byte | 2 bytes |  4 bytes  | and a length before |
//!  +---------+--------+---------+-----------+---------------------+------
//! ```
//!
//! Everything is little-endian. Of the fields, only 802.11-Common matters here: it has a flag for a
//! check sequence at the end of the frame.

use super::payload::LinkError;
use crate::frame::Captured;

/// The fixed header.
const MIN_LENGTH: u16 = 8;
/// The header's flag for fields that are padded to a multiple of 4 bytes.
const ALIGNED: u8 = 1;

const FIELD_WLAN_COMMON: u16 = 2;
/// The bit of its flags, which follow 8 bytes of time, for a check sequence.
const FCS_AT_END: u8 = 1;

/// Returns the link type number in the header, and the frame without a check sequence.
pub(super) fn parse(frame: Captured<'_>) -> Result<(u32, Captured<'_>), LinkError> {
    let [_, flags, low, high, a, b, c, d, fields @ ..] = frame.bytes else {
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
        .get(..usize::from(length.saturating_sub(MIN_LENGTH)))
        .ok_or(LinkError::Malformed)?;
    let link = u32::from_le_bytes([*a, *b, *c, *d]);
    if has_fcs(fields, flags & ALIGNED != 0) {
        return Ok((link, behind.without_fcs()));
    }
    Ok((link, behind))
}

/// Whether a field states that the frame ends with a check sequence.
fn has_fcs(mut fields: &[u8], are_aligned: bool) -> bool {
    while let [type_low, type_high, low, high, rest @ ..] = fields {
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let is_common = u16::from_le_bytes([*type_low, *type_high]) == FIELD_WLAN_COMMON;
        if let (true, Some([_, _, _, _, _, _, _, _, flags, ..])) = (is_common, rest.get(..length)) {
            return flags & FCS_AT_END != 0;
        }
        let size = if are_aligned {
            length.next_multiple_of(4)
        } else {
            length
        };
        fields = rest.get(size..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 802.11-Common: type 2, 20 bytes, of which the ninth is flags.
    fn common(flags: u8) -> Vec<u8> {
        [&[2, 0, 20, 0][..], &[0xff; 8], &[flags], &[0xff; 11]].concat()
    }

    /// A header with these fields before a frame of 24 bytes of link type 105.
    #[track_caller]
    fn check(flags: u8, fields: &[u8], left: usize) {
        let length = u8::try_from(8 + fields.len()).expect("few fields");
        let header = [0, flags, length, 0, 105, 0, 0, 0];
        let frame = [&header[..], fields, &[0x55; 24]].concat();
        let found = parse(Captured::whole(&frame)).map(|(link, frame)| (link, frame.bytes.len()));
        assert_eq!(found, Ok((105, left)), "{fields:02x?}");
    }

    #[test]
    fn the_length_leads_to_a_frame_of_the_link_type() {
        check(0, &[], 24);
        let ethernet = [0, 0, 8, 0, 1, 0, 0, 0, 0x55];
        assert_eq!(
            parse(Captured::whole(&ethernet)),
            Ok((1, Captured::whole(&[0x55])))
        );
        let unknown = [0, 0, 8, 0, 1, 0, 0, 1];
        assert_eq!(
            parse(Captured::whole(&unknown)),
            Ok((0x0100_0001, Captured::whole(&[])))
        );
    }

    #[test]
    fn a_field_states_a_check_sequence() {
        check(0, &common(0), 24);
        check(0, &common(1), 20);
        // Behind a field of 3 bytes, padded or not.
        let gps = [0x32, 0x75, 3, 0, 1, 2, 3];
        check(0, &[&gps[..], &common(1)].concat(), 20);
        check(1, &[&gps[..], &[0], &common(1)].concat(), 20);
        // A field that reaches past the header, or is too short for flags.
        check(0, &common(1)[..23], 24);
        check(0, &[2, 0, 8, 0, 1, 1, 1, 1, 1, 1, 1, 1], 24);
        check(0, &[2, 0, 0xff, 0xff, 1], 24);
    }

    #[test]
    fn a_header_that_is_cut_or_shorter_than_its_length_is_malformed() {
        let header = [&[0, 0, 32, 0, 105, 0, 0, 0][..], &common(1)].concat();
        for length in 0..header.len() {
            let cut = Captured::whole(&header[..length]);
            assert_eq!(parse(cut), Err(LinkError::Malformed), "{length}");
        }
        let short = Captured::whole(&[0, 0, 7, 0, 105, 0, 0, 0]);
        assert_eq!(parse(short), Err(LinkError::Malformed));
    }
}
