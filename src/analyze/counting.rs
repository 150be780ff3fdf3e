//! What becomes of the frames that a thread reads.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use super::inner_frames::InnerFrames;
use super::timeline::Timeline;
use crate::aggregator::{Aggregator, FrameBatch};
use crate::capture::Frame;

pub(super) trait Counting {
    /// Takes a frame that was captured at `at`; the batch is for those that are to be counted
    /// later. Returns whether anything counted in a flow so far.
    #[inline]
    fn frame(&mut self, batch: &mut FrameBatch, at: Duration, frame: &Frame<'_>) -> bool {
        batch.frame_without_sensor(at, frame);
        let has_counted = !batch.is_empty();
        if batch.is_full_of_packets() {
            self.record_batch(batch);
        }
        has_counted
    }

    /// Counts what is in an batch, or leaves another in its place.
    fn record_batch(&mut self, batch: &mut FrameBatch);

    /// All frames that are there were taken, and waiting for more may take long.
    fn pause(&mut self) {}

    /// Whether there is no use in going on.
    fn has_failed(&self) -> bool {
        false
    }
}

/// Frames are counted by the thread that reads them.
impl Counting for Aggregator {
    fn record_batch(&mut self, batch: &mut FrameBatch) {
        self.record_batch(batch);
    }
}

/// Frames are counted by another thread.
pub(super) struct Elsewhere<'a> {
    pub(super) filled: mpsc::Sender<FrameBatch>,
    pub(super) empty: &'a Mutex<mpsc::Receiver<FrameBatch>>,
    /// Whether what was counted is discarded.
    pub(super) is_cancelled: &'a AtomicBool,
}

impl Elsewhere<'_> {
    pub(super) fn empty(&self) -> FrameBatch {
        let empty = self.empty.lock().expect("no thread panics with the lock");
        empty.recv().expect("the counting outlives the reading")
    }
}

impl Counting for Elsewhere<'_> {
    fn record_batch(&mut self, batch: &mut FrameBatch) {
        let _ = self.filled.send(mem::replace(batch, self.empty()));
    }

    fn has_failed(&self) -> bool {
        self.is_cancelled.load(Ordering::Relaxed)
    }
}

/// More than counting is done with frames, so one thread takes them in the order of the files.
pub(super) struct Noted<'a> {
    pub(super) core: &'a mut Aggregator,
    pub(super) inner: Option<&'a mut InnerFrames>,
    pub(super) timeline: Option<&'a mut Timeline>,
}

impl Counting for Noted<'_> {
    fn frame(&mut self, batch: &mut FrameBatch, at: Duration, frame: &Frame<'_>) -> bool {
        if let Some(inner) = &mut self.inner {
            inner.add(frame);
        }
        let Some(timeline) = &mut self.timeline else {
            return Counting::frame(self.core, batch, at, frame);
        };
        let note = |outcome: &_, has_place| timeline.note(at, outcome, has_place);
        self.core.frame_observed(batch, at, frame, note);
        self.core.frames().counted() > 0
    }

    fn record_batch(&mut self, batch: &mut FrameBatch) {
        self.core.record_batch(batch);
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
            || inner.is_some_and(|inner| inner.is_all_and_failed())
    }
}
