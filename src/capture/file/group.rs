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
    /// Adds a frame. If the group is full then, passes it on.
    #[inline]
    pub(super) fn push(&mut self, frame: Frame<'a>, take: &mut impl FnMut(&[Frame<'_>])) {
        self.frames[self.count] = frame;
        self.count += 1;
        if self.count == MOST {
            self.pass_on(take);
        }
    }

    /// Passes the frames to `take`, and empties the group.
    #[inline]
    pub(super) fn pass_on(&mut self, take: &mut impl FnMut(&[Frame<'_>])) {
        if self.count > 0 {
            take(&self.frames[..self.count]);
            self.count = 0;
        }
    }
}
