use std::collections::VecDeque;
use std::time::Duration;

use crate::aggregator::FrameCounts;

/// How far back recent frames go.
const WINDOW: Duration = Duration::from_mins(1);

/// What became of the frames of the last minute: checkpoints of the counts, one a second.
#[derive(Debug)]
pub(super) struct RecentFrames {
    /// When each was taken, by the exporter's time, the oldest first. All but the first are younger
    /// than the window.
    checkpoints: VecDeque<(Duration, FrameCounts)>,
}

impl Default for RecentFrames {
    /// Nothing was counted at the start, however late the first checkpoint is taken.
    fn default() -> Self {
        Self {
            checkpoints: VecDeque::from([(Duration::ZERO, FrameCounts::default())]),
        }
    }
}

impl RecentFrames {
    pub(super) fn checkpoint(&mut self, now: Duration, frames: FrameCounts) {
        self.checkpoints.push_back((now, frames));
        while let Some((next, _)) = self.checkpoints.get(1)
            && now.saturating_sub(*next) >= WINDOW
        {
            self.checkpoints.pop_front();
        }
    }

    /// The frames among `frames` of about the last minute, or of all the time if that is less.
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
    fn what_is_older_than_a_minute_no_longer_counts() {
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
