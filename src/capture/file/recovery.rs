//! Getting past what is damaged in a capture.

use std::{fmt, io};

use super::format::Format;
use super::record::{Belief, Item, Onward, Reading};
use crate::capture::Frame;

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

/// What a reader that recovers knows, besides the format.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    /// Nothing comes any more.
    ended: bool,
    /// How the stream ended, until that was told.
    ending: Option<io::Result<()>>,
    is_searching: bool,
    damage: Option<Damage>,
}

impl Recovery {
    pub(super) fn end(&mut self, ending: io::Result<()>) {
        self.ended = true;
        self.ending = Some(ending);
    }

    pub(super) fn take_ending(&mut self) -> Option<io::Result<()>> {
        self.ending.take()
    }

    pub(super) fn damage(&self) -> Option<&Damage> {
        self.damage.as_ref()
    }

    /// Whether what is there next may be anything.
    pub(super) fn is_searching(&self) -> bool {
        self.is_searching
    }

    /// Takes so many bytes off the front, and a frame if they are one; `None` if more are needed.
    pub(super) fn step<'a>(
        &mut self,
        format: &mut Format,
        bytes: &'a [u8],
        offset: u64,
    ) -> Option<(usize, Option<Frame<'a>>)> {
        if bytes.is_empty() {
            return None;
        }
        if self.is_searching {
            return self.search(format, bytes).map(|size| (size, None));
        }
        let ended = self.ended;
        let (what, size) = match format.next(bytes, Reading::Recovering { ended }) {
            Item::Frame { size, frame } => return Some((size, Some(frame))),
            Item::Other { size } => return Some((size, None)),
            Item::Incomplete if !ended => return None,
            // It is the last, and cut short; or its length is damaged, and others are inside.
            Item::Incomplete => {
                let what = "a record that reaches past the end".to_owned();
                (what, format.find_inside(bytes)?)
            }
            Item::Damaged { what, onward } => match onward {
                Onward::Behind(size) => (what, size),
                Onward::Search => {
                    self.is_searching = true;
                    (what, 1)
                }
            },
        };
        let damage = self.damage.get_or_insert(Damage {
            offset,
            what,
            places: 0,
            bytes: 0,
        });
        damage.places += 1;
        damage.bytes += size as u64;
        Some((size, None))
    }

    /// How far to go on towards something believable; `None` if more bytes will tell.
    fn search(&mut self, format: &Format, bytes: &[u8]) -> Option<usize> {
        let mut size = 0;
        while let Some(rest) = bytes.get(size..).filter(|rest| !rest.is_empty()) {
            match format.believe(rest, self.ended) {
                Belief::Yes => {
                    self.is_searching = false;
                    break;
                }
                Belief::Unsure => break,
                Belief::No => size += 1,
            }
        }
        if let Some(damage) = &mut self.damage {
            damage.bytes += size as u64;
        }
        (size > 0 || !self.is_searching).then_some(size)
    }
}
