//! What drivers put before an 802.11 frame, as bytes.

use crate::capture_file::Order;
use crate::packet::concat;

/// A Prism header of 144 bytes: code, length and the name of the device, then ten values of which
/// none is set.
pub(crate) fn prism(order: Order, frame: &[u8]) -> Vec<u8> {
    concat(&[
        &order.u32(0x44),
        &order.u32(144),
        b"wlan0\0\0\0\0\0\0\0\0\0\0\0",
        &[0; 120],
        frame,
    ])
}

/// An AVS header of version 1, which has 64 bytes.
pub(crate) fn avs(frame: &[u8]) -> Vec<u8> {
    concat(&[
        &[0x80, 0x21, 0x10, 0x01, 0x00, 0x00, 0x00, 0x40],
        &[0; 56],
        frame,
    ])
}

/// A radiotap header of 9 bytes whose only field is flags.
pub(crate) fn radiotap(flags: u8, frame: &[u8]) -> Vec<u8> {
    concat(&[
        &[0x00, 0x00, 0x09, 0x00, 0x02, 0x00, 0x00, 0x00, flags],
        frame,
    ])
}

/// A PPI header without fields around a frame of this link type.
pub(crate) fn ppi(link: u8, frame: &[u8]) -> Vec<u8> {
    concat(&[&[0x00, 0x00, 0x08, 0x00, link, 0x00, 0x00, 0x00], frame])
}

/// A PPI header with 802.11-Common around an 802.11 frame; flag 1 tells of a check sequence.
pub(crate) fn ppi_with_common(flags: u8, frame: &[u8]) -> Vec<u8> {
    concat(&[
        &[0x00, 0x00, 0x20, 0x00, 0x69, 0x00, 0x00, 0x00],
        // Type 2, 20 bytes: time, flags, rate, channel, its flags, hopping, signal and noise.
        &[0x02, 0x00, 0x14, 0x00],
        &[0; 8],
        &[flags, 0x00, 0x02, 0x00, 0x6c, 0x09, 0xa0, 0x00],
        &[0x00, 0x00, 0xce, 0xa6],
        frame,
    ])
}
