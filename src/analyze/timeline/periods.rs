//! At which steps there are samples.

use std::ops::RangeInclusive;

/// Periods with samples. Between two periods, no frames were captured for a long time.
///
/// All times are in steps. Step n is the time from n to n + 1. The sample at n includes all steps
/// before n, so a step with frames changes the sample at n + 1.
#[derive(Debug, Default)]
pub(super) struct Periods {
    /// The first and the last sample of each period.
    all: Vec<(u64, u64)>,
    /// How many steps without frames do not end a period.
    bridge: u64,
}

impl Periods {
    pub(super) fn new(bridge: u64) -> Self {
        Self {
            all: Vec::new(),
            bridge,
        }
    }

    /// Adds a step with frames. Steps have to be added in order.
    pub(super) fn add(&mut self, step: u64) {
        match self.all.last_mut() {
            Some((_, last)) if step <= *last + self.bridge => *last = step + 1,
            _ => self.all.push((step, step + 1)),
        }
    }

    /// Returns the number of periods.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Returns the last sample of all.
    pub(super) fn last(&self) -> Option<u64> {
        self.all.last().map(|(_, last)| *last)
    }

    /// Returns the longest time without samples: the last sample before it and the first after it.
    pub(super) fn longest_silence(&self) -> Option<(u64, u64)> {
        let gaps = self.all.windows(2).map(|pair| (pair[0].1, pair[1].0));
        gaps.max_by_key(|(before, after)| after - before)
    }

    /// Returns the parts of the range from `first` to `last` that have samples.
    pub(super) fn within(
        &self,
        first: u64,
        last: u64,
    ) -> impl Iterator<Item = RangeInclusive<u64>> {
        let skipped = self.all.partition_point(|(_, end)| *end < first);
        self.all[skipped..]
            .iter()
            .take_while(move |(begin, _)| *begin <= last)
            .map(move |(begin, end)| first.max(*begin)..=last.min(*end))
            .filter(|range| !range.is_empty())
    }
}

/// The sample times of one series. Its changes have to come in order.
pub(super) struct SampleTimes<'a> {
    periods: &'a Periods,
    /// After this many steps without a change the series ends, until the next change.
    idle: Option<u64>,
    /// The first step for which no sample was returned; `None` before the first change.
    next: Option<u64>,
    last_change: u64,
}

impl<'a> SampleTimes<'a> {
    pub(super) fn new(periods: &'a Periods, idle: Option<u64>) -> Self {
        Self {
            periods,
            idle,
            next: None,
            last_change: 0,
        }
    }

    /// Returns the samples before a change in this step. The last is at the step itself, so that
    /// `rate()` sees the change as an increase; for the first change it is the only one, with 0.
    pub(super) fn until(&mut self, step: u64) -> impl Iterator<Item = RangeInclusive<u64>> {
        let first = self.next.unwrap_or(step);
        let last = self.end(step);
        // The series had ended: it needs a sample with the old value again.
        let resumed = (last < step).then_some(step..=step);
        self.next = Some(step + 1);
        self.last_change = step;
        self.periods.within(first, last).chain(resumed)
    }

    /// Returns the samples after the last change.
    pub(super) fn rest(self) -> impl Iterator<Item = RangeInclusive<u64>> {
        let range = self.next.zip(self.periods.last());
        let range = range.map(|(first, last)| (first, self.end(last)));
        let periods = self.periods;
        range
            .into_iter()
            .flat_map(|(first, last)| periods.within(first, last))
    }

    /// Returns the last sample up to `last`: an idle series ends earlier.
    fn end(&self, last: u64) -> u64 {
        match self.idle {
            Some(idle) if self.next.is_some() => last.min(self.last_change + 1 + idle),
            _ => last,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn periods(steps: &[u64]) -> Periods {
        let mut periods = Periods::new(3);
        for step in steps {
            periods.add(*step);
        }
        periods
    }

    /// Returns the samples of a series: those before each of these changes, and those after the
    /// last.
    fn times(periods: &Periods, idle: Option<u64>, steps: &[u64]) -> Vec<Vec<u64>> {
        let mut times = SampleTimes::new(periods, idle);
        let mut samples: Vec<Vec<u64>> = Vec::new();
        for step in steps {
            samples.push(times.until(*step).flatten().collect());
        }
        samples.push(times.rest().flatten().collect());
        samples
    }

    #[test]
    fn a_short_gap_has_samples_and_a_long_one_has_none() {
        // Steps 10 and 11 end with the sample at 12. Step 15 is 3 later and bridged; 20 is 4 after 16.
        let periods = periods(&[10, 11, 15, 20]);
        assert_eq!(periods.all, [(10, 16), (20, 21)]);
        assert_eq!(periods.longest_silence(), Some((16, 20)));
        let within: Vec<_> = periods.within(14, 30).collect();
        assert_eq!(within, [14..=16, 20..=21]);
        assert_eq!(periods.within(17, 19).count(), 0);
    }

    #[test]
    fn a_series_begins_with_0_and_continues_to_the_end() {
        let periods = periods(&[10, 11, 12, 20, 21]);
        assert_eq!(
            times(&periods, None, &[11, 12]),
            [vec![11], vec![12], vec![13, 20, 21, 22]]
        );
        assert_eq!(
            times(&periods, None, &[12, 21]),
            [vec![12], vec![13, 20, 21], vec![22]]
        );
    }

    #[test]
    fn an_idle_series_ends_and_resumes_with_its_value() {
        let periods = periods(&(10..30).collect::<Vec<_>>());
        // The change in step 10 shows at 11. Two idle steps, 12 and 13, have samples. Then the one
        // before the change in step 20, and those after it.
        assert_eq!(
            times(&periods, Some(2), &[10, 20]),
            [vec![10], vec![11, 12, 13, 20], vec![21, 22, 23]]
        );
        // The next change comes before the series ends, or in the step in which it ends.
        assert_eq!(
            times(&periods, Some(2), &[10, 13]),
            [vec![10], vec![11, 12, 13], vec![14, 15, 16]]
        );
        assert_eq!(
            times(&periods, Some(2), &[10, 14]),
            [vec![10], vec![11, 12, 13, 14], vec![15, 16, 17]]
        );
    }
}
