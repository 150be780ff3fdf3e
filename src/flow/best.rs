use super::snapshot::Counters;

/// The largest of many, of which no more than twice as many are kept.
pub(crate) struct Best<K> {
    top: usize,
    all: usize,
    kept: Vec<(K, Counters)>,
    /// What cannot be among them any more is smaller than this.
    floor: Option<Counters>,
}

impl<K: Ord> Best<K> {
    pub(crate) fn new(top: usize) -> Self {
        Self {
            top,
            all: 0,
            kept: Vec::new(),
            floor: None,
        }
    }

    /// Takes one more. Its key is asked for only if it may be among them.
    #[inline]
    pub(crate) fn offer(&mut self, counters: Counters, key: impl FnOnce() -> K) {
        self.all += 1;
        let is_hopeless = |floor: Counters| floor.rank() < counters.rank();
        if self.top == 0 || self.floor.is_some_and(is_hopeless) {
            return;
        }
        self.kept.push((key(), counters));
        if self.kept.len() >= 2 * self.top {
            self.shorten();
        }
    }

    /// The largest, the first of them first; and how many there were in all. Those with equally
    /// many bytes and packets are in the order of their keys.
    pub(crate) fn finish(mut self) -> (Vec<(K, Counters)>, usize) {
        self.shorten();
        (self.kept, self.all)
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
    fn the_largest_are_kept_and_all_are_counted() {
        // Byte counts 0 to 96, each once, in no order; and two that only the key tells apart.
        let mut best = Best::new(3);
        for number in 0..97 {
            let bytes = number * 31 % 97;
            best.offer(Counters { bytes, packets: 1 }, || bytes);
        }
        let double = Counters {
            bytes: 95,
            packets: 1,
        };
        best.offer(double, || 7);
        let (largest, all) = best.finish();
        let keys: Vec<_> = largest.iter().map(|(key, _)| *key).collect();
        assert_eq!((keys, all), (vec![96, 7, 95], 98));
    }

    #[test]
    fn none_at_all_may_be_wanted() {
        let mut best = Best::new(0);
        best.offer(Counters::default(), || 1);
        assert_eq!(best.finish(), (Vec::new(), 1));
    }
}
