//! What the formats of captures have in common.

use crate::capture::Frame;

/// No block or record may be larger. It is far above what captures of the link types that are
/// read can hold (libpcap's largest snap length is 256 KiB), and low enough that a damaged
/// length costs little memory.
pub(super) const MAX_RECORD: usize = 16 * 1024 * 1024;

/// How a format is to take damage.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reading {
    /// It ends the reading, and so does every further call.
    Strict,
    /// What follows is looked at to find it, and to get past it.
    Recovering {
        /// Nothing follows the bytes that are there.
        ended: bool,
    },
}

/// What a format finds at the start of the bytes that are there.
pub(super) enum Item<'a> {
    Frame {
        size: usize,
        frame: Frame<'a>,
    },
    /// Something that is no frame.
    Other {
        size: usize,
    },
    Incomplete,
    Damaged {
        what: String,
        onward: Onward,
    },
}

/// Where a capture goes on after damage.
#[derive(Debug, Clone, Copy)]
pub(super) enum Onward {
    /// So many bytes on.
    Behind(usize),
    /// Where something believable begins.
    Search,
}

/// Whether a record begins at the start of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Belief {
    Yes,
    No,
    /// More bytes will tell.
    Unsure,
}

impl From<bool> for Belief {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}
