//! Runs of zeros: what a crash leaves in a file, or a writer that reserved more than it filled.

use super::record::{Link, Plausible, Window};

/// A header of zeros is an empty record. So many zeros are none: they are damage, or a cut tail if
/// the capture ends with them.
const LONG_RUN: usize = 512;

/// A chain that leads into a longer run than this has not come to the zeros of a packet.
const LONGEST_IN_PACKETS: usize = 4096;

/// Whether a long run of zeros begins here.
pub(super) fn is_long_run(window: Window<'_>) -> Plausible {
    match leading(window.bytes, LONG_RUN) {
        LONG_RUN => Plausible::Yes,
        zeros if zeros == window.bytes.len() && !window.ended => Plausible::Unknown,
        _ => Plausible::No,
    }
}

/// Where a chain leads that comes to a long run: it ends there, unless something else follows soon.
pub(super) fn link(window: Window<'_>) -> Link {
    match leading(window.bytes, LONGEST_IN_PACKETS) {
        LONGEST_IN_PACKETS => Link::End,
        zeros if zeros < window.bytes.len() => Link::Broken,
        _ if window.ended => Link::End,
        _ => Link::Unknown,
    }
}

/// How many zeros there are at the front, counted up to a limit.
pub(super) fn leading(bytes: &[u8], limit: usize) -> usize {
    let bytes = bytes.get(..limit).unwrap_or(bytes);
    let other = bytes.iter().position(|&byte| byte != 0);
    other.unwrap_or(bytes.len())
}
