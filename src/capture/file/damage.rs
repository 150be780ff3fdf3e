//! A summary of the damage in a capture.

use std::fmt;

/// The damage that was skipped in a capture. Everything else was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Position of the first damage, in bytes from the start of the decompressed stream.
    pub offset: u64,
    /// Description of the first damage.
    pub what: String,
    /// Number of places where bytes were skipped.
    pub places: u64,
    /// Total number of bytes skipped.
    pub bytes: u64,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            offset,
            what,
            places,
            bytes,
        } = self;
        write!(f, "the capture is damaged at byte {offset}: {what}; ")?;
        match places {
            1 => write!(f, "{bytes} bytes were passed over"),
            _ => write!(f, "{bytes} bytes were passed over, in {places} places"),
        }
    }
}
