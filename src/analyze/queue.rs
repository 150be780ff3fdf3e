//! The queue of captures: opens one after the other, and collects what was wrong with each.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use indicatif::ProgressBar;

use super::input::Input;
use super::survey::SkippedContents;
use super::{InputError, Problem, Stop};
use crate::capture::{Block, CaptureError, CaptureReader, Frame};

/// The captures that are still to be read. Threads share it.
pub(super) struct Queue<'a> {
    /// All files, with their positions on the command line.
    files: &'a [(usize, PathBuf)],
    /// Index of the next file.
    next: AtomicUsize,
    pub(super) stop: &'a Stop,
    progress: &'a ProgressBar,
}

/// What was found in captures.
#[derive(Default)]
pub(super) struct RunSummary {
    /// How many files were captures.
    pub(super) captures: usize,
    /// With the positions of the files.
    pub(super) problems: Vec<(usize, Problem)>,
    /// The frames before the first that counts in a flow.
    pub(super) contents: SkippedContents,
}

/// A file of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QueuedFile<'a> {
    /// Its position on the command line.
    pub(super) position: usize,
    file: &'a Path,
}

/// Tells at which time frames count. Simple packet blocks of pcapng have no time: they count at that
/// of the frame before them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FrameClock(Duration);

impl<'a> Queue<'a> {
    pub(super) fn new(
        files: &'a [(usize, PathBuf)],
        stop: &'a Stop,
        progress: &'a ProgressBar,
    ) -> Self {
        Self {
            files,
            next: AtomicUsize::new(0),
            stop,
            progress,
        }
    }

    pub(super) fn files(&self) -> &'a [(usize, PathBuf)] {
        self.files
    }

    /// Begins again with the first file.
    pub(super) fn start_over(&self) {
        self.next.store(0, Ordering::Relaxed);
        self.progress.reset();
    }

    /// Takes the next file, and opens it with `open`. An error is that of one file; others may follow.
    pub(super) fn open_next<T>(
        &self,
        open: impl FnOnce(Input) -> io::Result<T>,
    ) -> Option<Result<(QueuedFile<'a>, T), (usize, Problem)>> {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let (position, file) = self.files.get(next)?;
        let file = QueuedFile {
            position: *position,
            file,
        };
        let opened = Input::open(file.file, self.stop, self.progress).and_then(open);
        let opened = opened.map(|content| (file, content));
        Some(opened.map_err(|error| file.problem(CaptureError::Read(error).into())))
    }
}

impl QueuedFile<'_> {
    fn problem(self, error: InputError) -> (usize, Problem) {
        let file = self.file.to_owned();
        (self.position, Problem { file, error })
    }
}

impl RunSummary {
    /// Adds what was found in a file, which was read until its end or until an error.
    pub(super) fn add(
        &mut self,
        file: QueuedFile<'_>,
        reader: &mut CaptureReader<impl Read>,
        result: Result<(), CaptureError>,
        stop: &Stop,
    ) {
        self.captures += usize::from(reader.has_header());
        let damage = reader.damage().cloned().map(InputError::Damage);
        // After a signal the input seems cut short, which the user knows.
        let error = result.err().filter(|_| !stop.is_requested());
        let error = error.map(|error| match error {
            CaptureError::NotACapture => InputError::NotACapture(reader.content()),
            error => error.into(),
        });
        let errors = damage.into_iter().chain(error);
        self.problems
            .extend(errors.map(|error| file.problem(error)));
    }
}

impl FrameClock {
    /// Returns the time at which this frame counts.
    #[inline]
    pub(super) fn time_of(&mut self, frame: &Frame<'_>) -> Duration {
        if !frame.at.is_zero() {
            self.0 = frame.at;
        }
        self.0
    }

    /// Advances past the frames of a block.
    pub(super) fn skip(&mut self, block: &Block) {
        let mut newest_first = block.frames().rev();
        if let Some(frame) = newest_first.find(|frame| !frame.at.is_zero()) {
            self.0 = frame.at;
        }
    }
}
