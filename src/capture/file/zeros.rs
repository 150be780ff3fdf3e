//! Runs of zeros: what a crash leaves in a file, or a writer that reserved more than it filled.

use super::record::{Plausible, Window};

/// A header of zeros is an empty record. So many zeros are none: they are damage, or a cut tail if
/// the capture ends with them.
const LONG_RUN: usize = 512;

/// Whether a long run of zeros begins here.
pub(super) fn is_long_run(window: Window<'_>) -> Plausible {
    match leading(window.bytes, LONG_RUN) {
        LONG_RUN => Plausible::Yes,
        zeros if zeros == window.bytes.len() && !window.ended => Plausible::Unknown,
        _ => Plausible::No,
    }
}

/// How many zeros there are at the front, counted up to a limit.
pub(super) fn leading(bytes: &[u8], limit: usize) -> usize {
    let bytes = bytes.get(..limit).unwrap_or(bytes);
    let other = bytes.iter().position(|&byte| byte != 0);
    other.unwrap_or(bytes.len())
}
