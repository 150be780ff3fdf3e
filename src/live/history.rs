//! When captures ran, and for how long there was none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::metrics::CaptureState;

/// Identifies one run of a capture.
///
/// A run may be abandoned before its stream ends, because a child of a killed tshark can keep the
/// pipe open. An abandoned run must not change anything: its successor is current by then, and
/// frames would be counted twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run(u64);

/// The history of all captures: how often one ran, and for how long none did.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The number of runs so far, including those that never started.
    runs: u64,
    /// The run whose frames are counted: the newest, unless it has ended or was abandoned.
    current: Option<Run>,
    /// The number of runs that started.
    iterations: u64,
    /// A copy of `up` that can be read without the lock around the rest.
    up_now: Arc<AtomicBool>,
    up: bool,
    /// When `up` last changed; `None` before the first capture.
    since: Option<Instant>,
    /// The time without a capture, up to the start of the newest one.
    lost: Duration,
    /// The frames that ended captures reported as dropped.
    dropped: u64,
    /// When the last frame was captured, since the Unix epoch.
    last_frame: Option<Duration>,
}

impl History {
    /// Starts a new run and abandons the previous one.
    pub(super) fn new_run(&mut self, now: Instant) -> Run {
        if let Some(before) = self.current {
            self.ended(before, now);
        }
        self.runs += 1;
        let run = Run(self.runs);
        self.current = Some(run);
        run
    }

    /// Whether this run is the newest, has not ended and was not abandoned.
    pub(super) fn is_current(&self, run: Run) -> bool {
        self.current == Some(run)
    }

    /// Records that a run captures. Has no effect unless the run is current.
    pub(super) fn started(&mut self, run: Run, now: Instant) {
        if self.is_current(run) {
            self.iterations += 1;
            self.lost += self.down(now);
            self.set_up(true, now);
        }
    }

    /// Records that a run ended or was abandoned. Has no effect unless the run is current.
    ///
    /// Time without a capture counts from `since`: when the run last certainly captured everything,
    /// which may be earlier than its end.
    pub(super) fn ended(&mut self, run: Run, since: Instant) {
        if !self.is_current(run) {
            return;
        }
        self.current = None;
        // A run that never started changes nothing. The time before this one started is lost
        // already, so it must not be counted a second time.
        if self.up {
            let since = self.since.map_or(since, |start| since.max(start));
            self.set_up(false, since);
        }
    }

    fn set_up(&mut self, up: bool, since: Instant) {
        self.up = up;
        self.since = Some(since);
        self.up_now.store(up, Ordering::Relaxed);
    }

    /// Adds the number of frames that an ended capture reported as dropped.
    pub(super) fn add_dropped(&mut self, frames: u64) {
        self.dropped += frames;
    }

    /// Records when the newest frame was captured, since the Unix epoch.
    ///
    /// This is not the maximum over all frames: after the clock was set back, a maximum would not
    /// change for a while and look like a stream that ended.
    pub(super) fn set_last_frame(&mut self, at: Duration) {
        self.last_frame = Some(at);
    }

    pub(super) fn last_frame(&self) -> Option<Duration> {
        self.last_frame
    }

    /// Returns a flag that is set while a capture runs, for readers that must not wait for the
    /// lock.
    pub(super) fn up_now(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.up_now)
    }

    pub(super) fn state(&self, now: Instant) -> CaptureState {
        CaptureState {
            up: self.up,
            lasting: self.lasting(now),
            iterations: self.iterations,
            lost: self.lost + self.down(now),
            dropped: Some(self.dropped),
        }
    }

    /// Returns the time since the last capture ended; zero while one runs and before the first.
    fn down(&self, now: Instant) -> Duration {
        match self.lasting(now) {
            Some(down) if !self.up => down,
            _ => Duration::ZERO,
        }
    }

    /// Returns how long a capture has been running, or missing.
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
            history.set_last_frame(Duration::from_secs(seconds));
            assert_eq!(history.last_frame(), Some(Duration::from_secs(seconds)));
        }
    }

    #[test]
    fn time_before_a_run_started_is_not_lost_twice() {
        let mut history = History::default();
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        let first = history.new_run(at(10_000));
        history.started(first, at(10_000));
        // Without a frame, it may have been deaf since before its start.
        history.ended(first, at(9_750));
        assert_eq!(history.state(at(11_000)).lost, Duration::from_secs(1));
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
    fn an_abandoned_run_changes_nothing() {
        let mut history = History::default();
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let up_now = history.up_now();

        let abandoned = history.new_run(at(0));
        history.started(abandoned, at(0));
        history.ended(abandoned, at(10));
        assert!(!history.is_current(abandoned));
        history.started(abandoned, at(11));
        assert_eq!(history.state(at(12)).iterations, 1);
        assert_eq!(history.state(at(12)).lost, Duration::from_secs(2));

        let successor = history.new_run(at(13));
        history.started(abandoned, at(13));
        history.started(successor, at(15));
        history.ended(abandoned, at(20));
        let state = history.state(at(25));
        assert_eq!((state.up, state.iterations), (true, 2));
        assert_eq!(state.lost, Duration::from_secs(5));
        assert!(up_now.load(Ordering::Relaxed));

        // A new run abandons its predecessor.
        let never_started = history.new_run(at(30));
        assert!(!history.is_current(successor));
        history.ended(never_started, at(35));
        assert_eq!(history.state(at(40)).lost, Duration::from_secs(15));
    }
}
