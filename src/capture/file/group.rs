//! Frames that are passed on together.

use std::time::Duration;

use crate::frame::{Frame, LinkType};

/// The maximum number of frames in a group.
const MOST: usize = 16;

/// A group of frames. It allocates nothing.
pub(super) struct FrameGroup<'a> {
    frames: [Frame<'a>; MOST],
    /// How many of `frames` are in the group.
    count: usize,
}

impl Default for FrameGroup<'_> {
    fn default() -> Self {
        let unused = Frame {
            at: Duration::ZERO,
            link: LinkType::ETHERNET,
            bytes: &[],
            length: 0,
        };
        Self {
            frames: [unused; MOST],
            count: 0,
        }
    }
}

impl<'a> FrameGroup<'a> {
    /// Adds a frame. The group must not be full.
    #[inline]
    pub(super) fn push(&mut self, frame: Frame<'a>) {
        self.frames[self.count] = frame;
        self.count += 1;
    }

    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.count >= MOST
    }

    pub(super) fn frames(&self) -> &[Frame<'a>] {
        &self.frames[..self.count]
    }

    pub(super) fn clear(&mut self) {
        self.count = 0;
    }
}
