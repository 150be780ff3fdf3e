//! What was wrong with a capture.

use std::fmt;

/// What was passed over in a capture. All else was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Where it is damaged first, and how.
    pub offset: u64,
    pub what: String,
    /// How often something was passed over, and how much in all.
    pub places: u64,
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
