//! Runs of zeros in a capture. A crash leaves them in a file, and so does a writer that reserves
//! more space than it fills.

use super::record::{Link, Plausible, Window};

/// The length in bytes from which zeros are not read as records. A record header of zeros is a
/// valid empty record, so a short run is kept. A run of this length is damage, or a cut capture if
/// the stream ends with it.
const LONG_RUN: usize = 512;

/// The longest run of zeros expected inside a packet. A chain of lengths read from a wrong position
/// may lead into the zeros of a packet, but not into a longer run than this.
const LONGEST_IN_PACKETS: usize = 4096;

/// Whether a long run of zeros begins at the start of the window.
pub(super) fn is_long_run(window: Window<'_>) -> Plausible {
    match leading(window.bytes, LONG_RUN) {
        LONG_RUN => Plausible::Yes,
        zeros if zeros == window.bytes.len() && !window.ended => Plausible::Unknown,
        _ => Plausible::No,
    }
}

/// Where a chain of lengths leads that has reached a long run of zeros.
///
/// The chain ends here if the run is very long or reaches the end of the stream. If other bytes
/// follow earlier, the zeros may be packet content, so the chain counts as broken.
pub(super) fn link(window: Window<'_>) -> Link {
    match leading(window.bytes, LONGEST_IN_PACKETS) {
        LONGEST_IN_PACKETS => Link::End,
        zeros if zeros < window.bytes.len() => Link::Broken,
        _ if window.ended => Link::End,
        _ => Link::Unknown,
    }
}

/// Counts the zeros at the front, up to a limit.
pub(super) fn leading(bytes: &[u8], limit: usize) -> usize {
    let bytes = bytes.get(..limit).unwrap_or(bytes);
    let other = bytes.iter().position(|&byte| byte != 0);
    other.unwrap_or(bytes.len())
}
