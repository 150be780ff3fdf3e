//! When there are samples.

use std::ops::RangeInclusive;

/// The times of samples, in steps: those between which nothing was captured for long are apart.
///
/// Step n takes in what came from n times its length on. A sample at n holds all steps before.
#[derive(Debug, Default)]
pub(super) struct Periods {
    /// First and last sample of each.
    all: Vec<(u64, u64)>,
    /// Steps without frames that belong to a period all the same.
    bridge: u64,
}

impl Periods {
    pub(super) fn new(bridge: u64) -> Self {
        Self {
            all: Vec::new(),
            bridge,
        }
    }

    /// Takes in a step with frames; they come in order.
    pub(super) fn add(&mut self, step: u64) {
        match self.all.last_mut() {
            Some((_, last)) if step <= *last + self.bridge => *last = step + 1,
            _ => self.all.push((step, step + 1)),
        }
    }

    pub(super) fn number(&self) -> usize {
        self.all.len()
    }

    pub(super) fn last(&self) -> Option<u64> {
        self.all.last().map(|(_, last)| *last)
    }

    /// The longest time without samples: the last sample before and the first behind it.
    pub(super) fn longest_silence(&self) -> Option<(u64, u64)> {
        let pairs = self.all.windows(2).map(|pair| (pair[0].1, pair[1].0));
        pairs.max_by_key(|(before, behind)| behind - before)
    }

    /// The parts of a range of steps that have samples.
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

/// The samples of one series, as its changes come in.
pub(super) struct Course<'a> {
    periods: &'a Periods,
    /// A series without changes for so many steps ends until the next one.
    idle: Option<u64>,
    /// The first step that may have a sample next.
    next: Option<u64>,
    last_change: u64,
}

impl<'a> Course<'a> {
    pub(super) fn new(periods: &'a Periods, idle: Option<u64>) -> Self {
        Self {
            periods,
            idle,
            next: None,
            last_change: 0,
        }
    }

    /// The samples with the value from before a change in this step. The last is that of the step
    /// itself, so that the change is an increase.
    pub(super) fn until(&mut self, step: u64) -> impl Iterator<Item = RangeInclusive<u64>> {
        // What is new has one sample before.
        let first = self.next.unwrap_or(step);
        let last = self.end(step);
        let alone = (last < step).then_some(step..=step);
        self.next = Some(step + 1);
        self.last_change = step;
        self.periods.within(first, last).chain(alone)
    }

    /// The samples behind the last change.
    pub(super) fn rest(self) -> impl Iterator<Item = RangeInclusive<u64>> {
        let range = self.next.zip(self.periods.last());
        let range = range.map(|(first, last)| (first, self.end(last)));
        let periods = self.periods;
        range
            .into_iter()
            .flat_map(|(first, last)| periods.within(first, last))
    }

    /// The last sample, unless the series ends before.
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

    /// The samples of a series with these changes: those before each of them, and the rest.
    fn course(periods: &Periods, idle: Option<u64>, steps: &[u64]) -> Vec<Vec<u64>> {
        let mut course = Course::new(periods, idle);
        let mut samples: Vec<Vec<u64>> = Vec::new();
        for step in steps {
            samples.push(course.until(*step).flatten().collect());
        }
        samples.push(course.rest().flatten().collect());
        samples
    }

    #[test]
    fn a_short_silence_has_samples_and_a_long_one_has_none() {
        // The last sample is at 12; 15 is 3 steps behind it, 20 is 4 behind 16.
        let periods = periods(&[10, 11, 15, 20]);
        assert_eq!(periods.all, [(10, 16), (20, 21)]);
        assert_eq!(periods.longest_silence(), Some((16, 20)));
        let within: Vec<_> = periods.within(14, 30).collect();
        assert_eq!(within, [14..=16, 20..=21]);
        assert_eq!(periods.within(17, 19).count(), 0);
    }

    #[test]
    fn a_series_begins_at_0_and_goes_on_to_the_end() {
        let periods = periods(&[10, 11, 12, 20, 21]);
        assert_eq!(
            course(&periods, None, &[11, 12]),
            [vec![11], vec![12], vec![13, 20, 21, 22]]
        );
        assert_eq!(
            course(&periods, None, &[12, 21]),
            [vec![12], vec![13, 20, 21], vec![22]]
        );
    }

    #[test]
    fn an_idle_series_ends_and_returns_with_its_value() {
        let periods = periods(&(10..30).collect::<Vec<_>>());
        // Changed in 10, so 11 holds it, and 12 and 13 are shown; then before and behind 20.
        assert_eq!(
            course(&periods, Some(2), &[10, 20]),
            [vec![10], vec![11, 12, 13, 20], vec![21, 22, 23]]
        );
        // It returns before it has ended, or in the step where it ends.
        assert_eq!(
            course(&periods, Some(2), &[10, 13]),
            [vec![10], vec![11, 12, 13], vec![14, 15, 16]]
        );
        assert_eq!(
            course(&periods, Some(2), &[10, 14]),
            [vec![10], vec![11, 12, 13, 14], vec![15, 16, 17]]
        );
    }
}
