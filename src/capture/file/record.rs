//! The terms that the reader and the formats share.

use crate::capture::Frame;

/// No block or record may be larger. It is far above what captures of the link types that are
/// read can hold (libpcap's largest snap length is 256 KiB), and low enough that a damaged
/// length costs little memory.
pub(super) const MAX_RECORD: usize = 16 * 1024 * 1024;

/// How far behind a record the reader looks at most before it decides. The buffer has room for a
/// record of the largest size and this.
pub(super) const LOOKAHEAD: usize = 1024 * 1024;

/// The part of a stream that is in the buffer, from the position at hand on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window<'a> {
    pub(super) bytes: &'a [u8],
    /// Nothing follows these bytes.
    pub(super) ended: bool,
}

impl Window<'_> {
    /// The same, from a later position on; `None` if that is past what is there.
    pub(super) fn from(self, offset: usize) -> Option<Self> {
        let bytes = self.bytes.get(offset..)?;
        Some(Self { bytes, ..self })
    }
}

/// What a reader does about damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// It ends the reading, and so does every further call.
    Strict,
    /// The reader looks at what follows, to get past it.
    Recovering,
}

/// What a format finds at the start of a window.
pub(super) enum Item<'a> {
    Frame {
        size: usize,
        frame: Frame<'a>,
    },
    /// A block without a frame.
    Other {
        size: usize,
    },
    /// The header of another capture, of either format.
    NewCapture,
    /// More bytes are needed. At the end of the stream, the capture is cut short.
    Incomplete,
    Damaged {
        what: String,
        resume: Resume,
    },
}

impl Item<'_> {
    pub(super) fn damaged(what: impl Into<String>, resume: Resume) -> Self {
        let what = what.into();
        Self::Damaged { what, resume }
    }
}

/// Where a capture goes on after damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resume {
    /// So many bytes later.
    After(usize),
    /// At the next plausible record, which is yet to be found.
    Search,
}

/// Whether something begins at the start of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plausible {
    Yes,
    No,
    /// More bytes will tell.
    Unknown,
}

impl Plausible {
    /// The answer where a window stops too early: known at the end of the stream alone.
    pub(super) fn at_end(window: Window<'_>, yes: bool) -> Self {
        if window.ended {
            Self::from(yes)
        } else {
            Self::Unknown
        }
    }
}

impl From<bool> for Plausible {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

/// One step along the chain of lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// The next header is so many bytes later; that may be past what is there.
    Next(usize),
    /// To no further record: the stream ends here, or zeros or another capture begin.
    End,
    /// No header can look like this.
    Broken,
    /// More bytes are needed.
    Unknown,
}
