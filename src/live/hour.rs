//! The traffic of all hosts in the last hour, for the chart of the landing page.

use std::collections::VecDeque;
use std::time::Duration;

use crate::flow::BothDirections;
use crate::report::Sample;

/// The minimum time between two checkpoints. They are taken together with checkpoints of the flow
/// counters, of which there is one every 20 seconds, or a little later on a busy machine: so this
/// is every third of them.
const INTERVAL: Duration = Duration::from_secs(50);
/// The time that the chart shows.
const HOUR: Duration = Duration::from_hours(1);
/// The minimum length of the newest sample. The average of less time would jump up and down.
const NEWEST: Duration = Duration::from_secs(20);

/// Checkpoints of what all hosts have sent and received since the start, about one a minute. Each has
/// its time on the exporter's clock.
///
/// The oldest comes first. All but it are younger than an hour, so there are at most 73.
#[derive(Debug)]
pub(super) struct LastHour(VecDeque<(Duration, BothDirections)>);

impl Default for LastHour {
    /// Begins with an empty checkpoint at time zero.
    fn default() -> Self {
        Self([(Duration::ZERO, BothDirections::default())].into())
    }
}

impl LastHour {
    /// Takes a checkpoint if the newest is old enough, and discards those that are too old.
    pub(super) fn checkpoint(&mut self, now: Duration, total: BothDirections) {
        let newest = self.0.back().map_or(Duration::ZERO, |(at, _)| *at);
        if now.saturating_sub(newest) < INTERVAL {
            return;
        }
        self.0.push_back((now, total));
        while let Some((next, _)) = self.0.get(1)
            && now.saturating_sub(*next) >= HOUR
        {
            self.0.pop_front();
        }
    }

    /// Returns the traffic between each two checkpoints, and since the newest one.
    pub(super) fn samples(&self, now: Duration, total: BothDirections) -> Vec<Sample> {
        let mut ends: Vec<_> = self.0.iter().copied().collect();
        if let [_, .., (newest, _)] = ends[..]
            && now.saturating_sub(newest) < NEWEST
        {
            ends.pop();
        }
        ends.push((now, total));
        let samples = ends.windows(2).filter_map(|ends| match ends {
            [(began, before), (ended, after)] => Some(Sample {
                began: now.saturating_sub(*began),
                ended: now.saturating_sub(*ended),
                received: after.received.since(before.received).bytes,
                sent: after.sent.since(before.sent).bytes,
            }),
            _ => None,
        });
        samples.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Counters;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn bytes(received: u64, sent: u64) -> BothDirections {
        let counters = |bytes| Counters { bytes, packets: 1 };
        BothDirections {
            sent: counters(sent),
            received: counters(received),
        }
    }

    fn sample(began: u64, ended: u64, received: u64, sent: u64) -> Sample {
        Sample {
            began: seconds(began),
            ended: seconds(ended),
            received,
            sent,
        }
    }

    #[test]
    fn the_first_minute_is_one_sample() {
        let hour = LastHour::default();
        let samples = hour.samples(seconds(17), bytes(100, 10));
        assert_eq!(samples, [sample(17, 0, 100, 10)]);
    }

    /// Every 20 seconds, 10 bytes are received and one is sent.
    #[test]
    fn every_third_checkpoint_is_kept() {
        let mut hour = LastHour::default();
        for third in 1..=7 {
            hour.checkpoint(seconds(20 * third), bytes(10 * third, third));
        }
        let samples = hour.samples(seconds(140), bytes(75, 7));
        let expected = [
            sample(140, 80, 30, 3),
            sample(80, 20, 30, 3),
            sample(20, 0, 15, 1),
        ];
        assert_eq!(samples, expected);
    }

    #[test]
    fn a_short_newest_sample_is_joined_with_the_one_before() {
        let mut hour = LastHour::default();
        hour.checkpoint(seconds(60), bytes(30, 3));
        hour.checkpoint(seconds(120), bytes(60, 6));
        let samples = hour.samples(seconds(139), bytes(70, 7));
        assert_eq!(samples, [sample(139, 79, 30, 3), sample(79, 0, 40, 4)]);
        let mut hour = LastHour::default();
        hour.checkpoint(seconds(50), bytes(30, 3));
        let samples = hour.samples(seconds(51), bytes(31, 3));
        assert_eq!(samples, [sample(51, 0, 31, 3)]);
    }

    #[test]
    fn checkpoints_older_than_an_hour_are_discarded() {
        let mut hour = LastHour::default();
        for minute in 1..=600 {
            hour.checkpoint(seconds(60 * minute), bytes(minute, 0));
        }
        let samples = hour.samples(seconds(36_000), bytes(600, 0));
        assert_eq!(samples.len(), 60);
        assert_eq!(samples[0].began, HOUR);
        let received: u64 = samples.iter().map(|sample| sample.received).sum();
        assert_eq!(received, 60);

        // As many as possible.
        for tick in 0..1000 {
            hour.checkpoint(seconds(36_000) + INTERVAL * tick, bytes(600, 0));
        }
        assert_eq!(hour.0.len(), 73);
    }
}
