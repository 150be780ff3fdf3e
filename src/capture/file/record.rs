//! The types that the reader and the two formats share.

use crate::capture::Frame;

/// The largest accepted block or record, in bytes. It is far above the size of real records
/// (libpcap's largest snap length is 256 KiB), and low enough that a damaged length costs little
/// memory.
pub(super) const MAX_RECORD: usize = 16 * 1024 * 1024;

/// The largest number of bytes after a record that the reader examines before it decides whether
/// the record is valid. It limits both the memory and the delay of a live stream.
pub(super) const LOOKAHEAD: usize = 1024 * 1024;

/// The buffered part of a stream, starting at the current position.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window<'a> {
    pub(super) bytes: &'a [u8],
    /// Whether the stream ends after these bytes.
    pub(super) ended: bool,
}

impl Window<'_> {
    /// Returns the window `offset` bytes later, or `None` if that is past the buffered bytes.
    pub(super) fn from(self, offset: usize) -> Option<Self> {
        let bytes = self.bytes.get(offset..)?;
        Some(Self { bytes, ..self })
    }
}

/// How a reader reacts to damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Stops with an error.
    Strict,
    /// Skips the damage and resumes at the next plausible record.
    Recovering,
}

/// What a format found at the start of a window.
pub(super) enum Item<'a> {
    Frame {
        size: usize,
        frame: Frame<'a>,
    },
    /// A block that contains no frame.
    Other {
        size: usize,
    },
    /// The header of another capture, of either format.
    NewCapture,
    /// More bytes are needed. At the end of the stream this means that the capture is cut short.
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

/// Where to resume after damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resume {
    /// After this number of bytes.
    After(usize),
    /// At the next plausible record. Its position is not known yet, so the reader resynchronises.
    Search,
}

/// Whether a record or a capture plausibly begins at the start of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plausible {
    Yes,
    No,
    /// More bytes are needed to decide.
    Unknown,
}

impl Plausible {
    /// The answer if the window has too few bytes: `yes` at the end of the stream, otherwise
    /// `Unknown`.
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

/// One step along the chain of lengths: where the next header is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// This number of bytes later, which may be past the buffered bytes.
    Next(usize),
    /// No further record: the stream ends here, or zeros or another capture begin here.
    End,
    /// The bytes here cannot be a header.
    Broken,
    /// More bytes are needed.
    Unknown,
}
