//! Radio headers as bytes: what drivers put before an 802.11 frame.

use crate::capture_file::Order;
use crate::packet::concat;

/// Returns a frame after a Prism header of 144 bytes: code, length and device name, then ten values
/// that are not set.
pub(crate) fn prism(order: Order, frame: &[u8]) -> Vec<u8> {
    concat(&[
        &order.u32(0x44),
        &order.u32(144),
        b"wlan0\0\0\0\0\0\0\0\0\0\0\0",
        &[0; 120],
        frame,
    ])
}

/// Returns a frame after an AVS header of version 1, which has 64 bytes.
pub(crate) fn avs(frame: &[u8]) -> Vec<u8> {
    concat(&[
        &[0x80, 0x21, 0x10, 0x01, 0x00, 0x00, 0x00, 0x40],
        &[0; 56],
        frame,
    ])
}

/// Returns a frame after a radiotap header of 9 bytes, whose only field is the flags.
pub(crate) fn radiotap(flags: u8, frame: &[u8]) -> Vec<u8> {
    concat(&[
        &[0x00, 0x00, 0x09, 0x00, 0x02, 0x00, 0x00, 0x00, flags],
        frame,
    ])
}

/// Returns a frame of this link type after a PPI header without fields.
pub(crate) fn ppi(link: u8, frame: &[u8]) -> Vec<u8> {
    concat(&[&[0x00, 0x00, 0x08, 0x00, link, 0x00, 0x00, 0x00], frame])
}

/// Returns an 802.11 frame after a PPI header with the field 802.11-Common. Flag 1 means that the
/// frame ends with a frame check sequence.
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
