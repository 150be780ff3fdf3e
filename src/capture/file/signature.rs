//! Magic numbers and headers with which captures begin.

use super::record::{Plausible, Window};

/// The type of a pcapng section header, the same in both byte orders.
pub(super) const SECTION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// The byte-order magic of a section header, which follows its length, in both byte orders.
pub(super) const BIG_ENDIAN: [u8; 4] = [0x1a, 0x2b, 0x3c, 0x4d];
pub(super) const LITTLE_ENDIAN: [u8; 4] = [0x4d, 0x3c, 0x2b, 0x1a];

/// The magic numbers of pcap: microseconds, nanoseconds, and microseconds with longer record
/// headers.
pub(super) const MICROSECONDS: u32 = 0xa1b2_c3d4;
pub(super) const NANOSECONDS: u32 = 0xa1b2_3c4d;
pub(super) const MODIFIED: u32 = 0xa1b2_cd34;

/// Whether another capture begins where a record header is expected, as in files that were
/// concatenated: a pcapng section header, or a pcap header of an existing version (2.0 to 2.4) with
/// a time zone and accuracy of 0, which all writers use.
///
/// This is almost never ambiguous. A section header, read as a pcap record, would have a length of
/// 439 MB or more, which is over the limit. A pcap header would be an empty record of one exact
/// microsecond in the year 2055. That is the only record that is misread.
pub(super) fn begins_capture(window: Window<'_>) -> Plausible {
    match window.bytes {
        [first, ..] if !matches!(first, 0x0a | 0xa1 | 0xd4 | 0x4d | 0x34) => Plausible::No,
        bytes => match begins_section(bytes) {
            Plausible::No => begins_pcap(bytes),
            answer => answer,
        },
    }
}

/// Whether a pcapng section header begins here.
fn begins_section(bytes: &[u8]) -> Plausible {
    match bytes {
        [0x0a, 0x0d, 0x0d, 0x0a, _, _, _, _, order @ ..] => match order.first_chunk() {
            Some(order) => Plausible::from(is_section_order(*order)),
            None => Plausible::Unknown,
        },
        [0x0a, 0x0d, 0x0d, 0x0a, ..] => Plausible::Unknown,
        bytes if SECTION.starts_with(bytes) => Plausible::Unknown,
        _ => Plausible::No,
    }
}

/// Whether a pcap header begins here; see [`begins_capture`].
pub(super) fn begins_pcap(bytes: &[u8]) -> Plausible {
    let Some((magic, rest)) = bytes.split_first_chunk() else {
        return Plausible::Unknown;
    };
    let Some(is_big_endian) = byte_order(*magic) else {
        return Plausible::No;
    };
    let Some(([major, minor], rest)) = rest
        .split_first_chunk::<4>()
        .and_then(|(version, rest)| Some((version.as_chunks().0.first_chunk()?, rest)))
    else {
        return Plausible::Unknown;
    };
    let word = |word| {
        if is_big_endian {
            u16::from_be_bytes(word)
        } else {
            u16::from_le_bytes(word)
        }
    };
    let zone_and_accuracy = rest.get(..8).unwrap_or(rest);
    if word(*major) != 2 || word(*minor) > 4 || zone_and_accuracy.iter().any(|&byte| byte != 0) {
        return Plausible::No;
    }
    match zone_and_accuracy.len() {
        8 => Plausible::Yes,
        _ => Plausible::Unknown,
    }
}

/// Returns whether a pcap header with this magic number is big endian, or `None` if it is not a
/// pcap magic number.
pub(super) fn byte_order(magic: [u8; 4]) -> Option<bool> {
    let is_magic = |number| matches!(number, MICROSECONDS | NANOSECONDS | MODIFIED);
    if is_magic(u32::from_be_bytes(magic)) {
        Some(true)
    } else {
        is_magic(u32::from_le_bytes(magic)).then_some(false)
    }
}

/// Whether this is the byte-order magic of a section header.
pub(super) fn is_section_order(word: [u8; 4]) -> bool {
    matches!(word, BIG_ENDIAN | LITTLE_ENDIAN)
}
