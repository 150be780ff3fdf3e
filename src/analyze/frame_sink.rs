//! Where the frames of a run in a single thread go.

use std::time::Duration;

use super::inner_frames::InnerFrames;
use super::queue::FrameClock;
use super::timeline::Timeline;
use crate::aggregator::{Aggregator, FrameBatch};
use crate::capture::Frame;

/// Receives frames and counts them.
pub(super) trait FrameSink {
    /// Takes frames, and may put them into the batch to count them later. Returns `true` when a frame
    /// has counted in a flow. Callers keep the first `true`: a batch that was emptied no longer has
    /// that frame.
    // Not inlined: the loop over the frames of a file leaves no registers for decoding.
    #[inline(never)]
    fn add(
        &mut self,
        batch: &mut FrameBatch,
        clock: &mut FrameClock,
        frames: &[Frame<'_>],
    ) -> bool {
        let mut was_full = false;
        for frame in frames {
            let at = clock.time_of(frame);
            self.prepare(batch, at, frame);
            batch.frame_without_sensor(at, frame);
            if batch.is_full_of_packets() {
                was_full = true;
                self.record_batch(batch);
            }
        }
        was_full || !batch.is_empty()
    }

    /// Called for each frame before it is added to the batch.
    fn prepare(&mut self, _batch: &mut FrameBatch, _at: Duration, _frame: &Frame<'_>) {}

    /// Counts the packets of the batch and empties it.
    fn record_batch(&mut self, batch: &mut FrameBatch);

    /// Called when all frames read so far were added, and reading more may wait for input.
    fn pause(&mut self) {}

    /// Returns whether more frames would change no result.
    fn has_failed(&self) -> bool {
        false
    }
}

/// Counts frames in the thread that reads them.
impl FrameSink for Aggregator {
    fn record_batch(&mut self, batch: &mut FrameBatch) {
        self.record_batch(batch);
    }
}

/// Counts frames and also writes them to a capture or a timeline. Both depend on the order of the
/// frames, so only one thread reads.
pub(super) struct InOrder<'a> {
    pub(super) core: &'a mut Aggregator,
    pub(super) inner: Option<&'a mut InnerFrames>,
    pub(super) timeline: Option<&'a mut Timeline>,
}

impl FrameSink for InOrder<'_> {
    #[inline]
    fn prepare(&mut self, batch: &mut FrameBatch, at: Duration, frame: &Frame<'_>) {
        if let Some(inner) = &mut self.inner {
            inner.add(frame);
        }
        if let Some(timeline) = &mut self.timeline
            && !timeline.is_in_step(at)
        {
            timeline.record(self.core, batch);
            timeline.begin_step(self.core, at);
        }
    }

    fn record_batch(&mut self, batch: &mut FrameBatch) {
        match &mut self.timeline {
            Some(timeline) => timeline.record(self.core, batch),
            None => self.core.record_batch(batch),
        }
    }

    fn pause(&mut self) {
        if let Some(inner) = &mut self.inner {
            inner.pause();
        }
    }

    fn has_failed(&self) -> bool {
        let timeline = self.timeline.as_ref();
        let inner = self.inner.as_ref();
        timeline.is_some_and(|timeline| timeline.has_failed())
            || inner.is_some_and(|inner| inner.has_failed_as_only_output())
    }
}
