//! The largest of a stream of counters, without sorting or storing all of them.

use super::snapshot::Counters;

/// Collects the `top` largest of many counters. Stores at most twice as many.
///
/// Sorting only when the list is full costs less per item than a heap: most items are below the
/// floor, and are rejected by one comparison.
pub(crate) struct TopN<K> {
    top: usize,
    /// The number of all items offered.
    offered: usize,
    kept: Vec<(K, Counters)>,
    /// The smallest of the largest so far. Smaller items are rejected.
    floor: Option<Counters>,
}

impl<K: Ord> TopN<K> {
    pub(crate) fn new(top: usize) -> Self {
        Self {
            top,
            offered: 0,
            kept: Vec::new(),
            floor: None,
        }
    }

    /// Offers an item. Calls `key` only if the item may be among the largest.
    #[inline]
    pub(crate) fn offer(&mut self, counters: Counters, key: impl FnOnce() -> K) {
        self.offered += 1;
        let is_smaller = |floor: Counters| floor.rank() < counters.rank();
        if self.top == 0 || self.floor.is_some_and(is_smaller) {
            return;
        }
        self.kept.push((key(), counters));
        if self.kept.len() >= 2 * self.top {
            self.shorten();
        }
    }

    /// Returns the largest items, the largest first, and the number of all items offered. Items
    /// with equally many bytes and packets are in the order of their keys.
    pub(crate) fn finish(mut self) -> (Vec<(K, Counters)>, usize) {
        self.shorten();
        (self.kept, self.offered)
    }

    fn shorten(&mut self) {
        self.kept
            .sort_unstable_by(|(left_key, left), (right_key, right)| {
                (left.rank(), left_key).cmp(&(right.rank(), right_key))
            });
        self.kept.truncate(self.top);
        if self.kept.len() == self.top {
            self.floor = self.kept.last().map(|(_, counters)| *counters);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_largest_and_counts_all() {
        // Byte counts 0 to 96, each once, unsorted. One more has 95 bytes too: its key decides.
        let mut top_n = TopN::new(3);
        for number in 0..97 {
            let bytes = number * 31 % 97;
            top_n.offer(Counters { bytes, packets: 1 }, || bytes);
        }
        let double = Counters {
            bytes: 95,
            packets: 1,
        };
        top_n.offer(double, || 7);
        let (largest, all) = top_n.finish();
        let keys: Vec<_> = largest.iter().map(|(key, _)| *key).collect();
        assert_eq!((keys, all), (vec![96, 7, 95], 98));
    }

    #[test]
    fn a_limit_of_0_keeps_nothing_and_counts_all() {
        let mut top_n = TopN::new(0);
        top_n.offer(Counters::default(), || 1);
        assert_eq!(top_n.finish(), (Vec::new(), 1));
    }
}
