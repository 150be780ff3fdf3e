use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::metrics::CaptureState;

/// Identifies one run of a capture.
///
/// A run may be given up before its stream ends: a child of a killed tshark can keep the pipe
/// open. What such a run does later must change nothing, because its successor counts by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run(u64);

/// When a capture ran and when it did not.
#[derive(Debug, Default)]
pub(super) struct History {
    /// How many runs there have been, those included that never started.
    runs: u64,
    /// The run that counts: neither ended nor given up.
    current: Option<Run>,
    iterations: u64,
    /// A copy of `up`, to be read without the lock that guards the rest.
    up_now: Arc<AtomicBool>,
    up: bool,
    /// Since when a capture runs, or none does any more; `None` before the first.
    since: Option<Instant>,
    /// Time without a capture, up to when the last one started.
    lost: Duration,
    /// Frames that the captures say they dropped.
    dropped: u64,
    /// When the last frame was captured, since the Unix epoch.
    last_frame: Option<Duration>,
}

impl History {
    /// Returns the identity of a new run, and gives up the one before it.
    pub(super) fn new_run(&mut self, now: Instant) -> Run {
        if let Some(before) = self.current {
            self.ended(before, now);
        }
        self.runs += 1;
        let run = Run(self.runs);
        self.current = Some(run);
        run
    }

    /// Whether this run still counts: it is the newest, and was neither ended nor given up.
    pub(super) fn is_current(&self, run: Run) -> bool {
        self.current == Some(run)
    }

    /// The capture runs, unless another one counts by now.
    pub(super) fn started(&mut self, run: Run, now: Instant) {
        if self.is_current(run) {
            self.iterations += 1;
            self.lost += self.down(now);
            self.set_up(true, now);
        }
    }

    /// Ends a run, or gives it up; without effect if another one counts by now.
    ///
    /// `since` is when it last took in what there was, which may be before it ended.
    pub(super) fn ended(&mut self, run: Run, since: Instant) {
        if !self.is_current(run) {
            return;
        }
        self.current = None;
        // A run that never started changes nothing.
        if self.up {
            self.set_up(false, since);
        }
    }

    fn set_up(&mut self, up: bool, since: Instant) {
        self.up = up;
        self.since = Some(since);
        self.up_now.store(up, Ordering::Relaxed);
    }

    /// Adds what an ended capture says it dropped.
    pub(super) fn dropped(&mut self, frames: u64) {
        self.dropped += frames;
    }

    /// Frames came; the last of them was captured then, since the Unix epoch.
    ///
    /// Not the latest time that any frame has had: that would stand still after the clock was set
    /// back, and look like a stream that ended.
    pub(super) fn frames_until(&mut self, at: Duration) {
        self.last_frame = Some(at);
    }

    pub(super) fn last_frame(&self) -> Option<Duration> {
        self.last_frame
    }

    /// Tells whether a capture runs, to those who must not wait for a lock.
    pub(super) fn up_now(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.up_now)
    }

    pub(super) fn state(&self, now: Instant) -> CaptureState {
        CaptureState {
            up: self.up,
            lasting: self.lasting(now),
            iterations: self.iterations,
            lost: self.lost + self.down(now),
            dropped: self.dropped,
        }
    }

    /// Time without a capture since the last one ended.
    fn down(&self, now: Instant) -> Duration {
        match self.lasting(now) {
            Some(down) if !self.up => down,
            _ => Duration::ZERO,
        }
    }

    fn lasting(&self, now: Instant) -> Option<Duration> {
        self.since.map(|since| now.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_the_last_frame_goes_back_with_the_clock() {
        let mut history = History::default();
        assert_eq!(history.last_frame(), None);
        for seconds in [1_700_000_000, 1_800_000_000, 1_700_000_001] {
            history.frames_until(Duration::from_secs(seconds));
            assert_eq!(history.last_frame(), Some(Duration::from_secs(seconds)));
        }
    }

    #[test]
    fn time_without_a_capture_is_lost_from_the_first_start_on() {
        let mut history = History::default();
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(history.state(at(5)).lost, Duration::ZERO);
        assert_eq!(history.state(at(5)).lasting, None);

        let first = history.new_run(at(5));
        history.started(first, at(10));
        assert_eq!(history.state(at(20)).lost, Duration::ZERO);
        history.ended(first, at(30));
        assert_eq!(history.state(at(33)).lost, Duration::from_secs(3));
        let second = history.new_run(at(34));
        history.started(second, at(34));
        assert_eq!(history.state(at(40)).lost, Duration::from_secs(4));
        assert_eq!(history.state(at(40)).lasting, Some(Duration::from_secs(6)));
        history.ended(second, at(50));
        let state = history.state(at(52));
        assert_eq!(state.lost, Duration::from_secs(6));
        assert_eq!((state.up, state.iterations), (false, 2));
        assert_eq!(state.lasting, Some(Duration::from_secs(2)));
    }
    #[test]
    fn what_is_left_of_a_run_changes_nothing_once_it_was_given_up() {
        let mut history = History::default();
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let up_now = history.up_now();

        let given_up = history.new_run(at(0));
        history.started(given_up, at(0));
        history.ended(given_up, at(10));
        assert!(!history.is_current(given_up));
        history.started(given_up, at(11));
        assert_eq!(history.state(at(12)).iterations, 1);
        assert_eq!(history.state(at(12)).lost, Duration::from_secs(2));

        let successor = history.new_run(at(13));
        history.started(given_up, at(13));
        history.started(successor, at(15));
        history.ended(given_up, at(20));
        let state = history.state(at(25));
        assert_eq!((state.up, state.iterations), (true, 2));
        assert_eq!(state.lost, Duration::from_secs(5));
        assert!(up_now.load(Ordering::Relaxed));

        // It is the newest, so its predecessor has ended although nobody said so.
        let never_started = history.new_run(at(30));
        assert!(!history.is_current(successor));
        history.ended(never_started, at(35));
        assert_eq!(history.state(at(40)).lost, Duration::from_secs(15));
    }
}
