//! The frames of the last minute, by what became of them.

use std::collections::VecDeque;
use std::time::Duration;

use crate::aggregator::FrameCounts;

/// The time that counts as recent.
const WINDOW: Duration = Duration::from_mins(1);

/// Checkpoints of the frame counts, one a second, from which the counts of the last minute follow.
#[derive(Debug)]
pub(super) struct RecentFrames {
    /// Each checkpoint with its time on the exporter's clock, oldest first. All but the first are
    /// younger than the window.
    checkpoints: VecDeque<(Duration, FrameCounts)>,
}

impl Default for RecentFrames {
    /// Begins with an empty checkpoint at time zero, so that frames before the first real
    /// checkpoint count as recent.
    fn default() -> Self {
        Self {
            checkpoints: VecDeque::from([(Duration::ZERO, FrameCounts::default())]),
        }
    }
}

impl RecentFrames {
    /// Takes a checkpoint and discards those that are no longer needed.
    pub(super) fn checkpoint(&mut self, now: Duration, frames: FrameCounts) {
        self.checkpoints.push_back((now, frames));
        while let Some((next, _)) = self.checkpoints.get(1)
            && now.saturating_sub(*next) >= WINDOW
        {
            self.checkpoints.pop_front();
        }
    }

    /// Returns the part of `frames` that was counted in about the last minute, or since the start
    /// if that is less.
    pub(super) fn of(&self, frames: &FrameCounts) -> FrameCounts {
        match self.checkpoints.front() {
            Some((_, earlier)) => frames.since(earlier),
            None => frames.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Skipped::InnerIpv6;

    /// Ten frames a second, of which one is IPv6 for the first minute.
    #[test]
    fn frames_older_than_a_minute_are_not_recent() {
        let mut recent = RecentFrames::default();
        let mut frames = FrameCounts::default();
        frames.received = 7;
        assert_eq!(recent.of(&frames).received, 7);
        recent.checkpoint(Duration::ZERO, frames.clone());
        assert_eq!(recent.of(&frames).received, 7);

        recent = RecentFrames::default();
        frames = FrameCounts::default();
        let mut seen = Vec::new();
        for second in 0..=180 {
            recent.checkpoint(Duration::from_secs(second), frames.clone());
            let minute = recent.of(&frames);
            seen.push((minute.received, minute.skipped(InnerIpv6)));
            frames.received += 10;
            frames.skipped_by(InnerIpv6, u64::from(second < 60));
        }
        assert_eq!(seen[0], (0, 0));
        assert_eq!(seen[30], (300, 30));
        assert_eq!(seen[60], (600, 60));
        assert_eq!(seen[90], (600, 30));
        assert_eq!(seen[120], (600, 0));
        assert_eq!(seen[180], (600, 0));
    }
}
