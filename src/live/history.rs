use std::time::{Duration, Instant};

use crate::metrics::CaptureState;

/// When a capture ran and when it did not.
#[derive(Debug, Default)]
pub(super) struct History {
    iterations: u64,
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
    pub(super) fn started(&mut self, now: Instant) {
        self.iterations += 1;
        self.lost += self.down(now);
        self.up = true;
        self.since = Some(now);
    }

    /// Ends what was started; without a start there is nothing to end.
    ///
    /// `since` is when it last took in what there was, which may be before it ended.
    pub(super) fn ended(&mut self, since: Instant) {
        if self.up {
            self.up = false;
            self.since = Some(since);
        }
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

    pub(super) fn is_up(&self) -> bool {
        self.up
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

        history.started(at(10));
        assert_eq!(history.state(at(20)).lost, Duration::ZERO);
        history.ended(at(30));
        assert_eq!(history.state(at(33)).lost, Duration::from_secs(3));
        history.started(at(34));
        assert_eq!(history.state(at(40)).lost, Duration::from_secs(4));
        assert_eq!(history.state(at(40)).lasting, Some(Duration::from_secs(6)));
        history.ended(at(50));
        let state = history.state(at(52));
        assert_eq!(state.lost, Duration::from_secs(6));
        assert_eq!((state.up, state.iterations), (false, 2));
        assert_eq!(state.lasting, Some(Duration::from_secs(2)));
    }
}
