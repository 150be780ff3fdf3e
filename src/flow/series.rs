use std::collections::HashMap;
use std::hash::Hash;

use foldhash::quality::RandomState;

use super::Counters;
use super::clock::Moment;

/// Counters by something that has few values as a rule, but not if a sender means harm: beyond a
/// limit all that is new counts together.
#[derive(Debug)]
pub(super) struct Series<K> {
    numbers: HashMap<K, u16, RandomState>,
    /// The first one counts what is beyond the limit.
    all: Vec<One<K>>,
}

/// The counters of one value.
#[derive(Debug, Clone, Copy)]
pub(super) struct One<K> {
    /// `None` for all values beyond the limit.
    pub(super) key: Option<K>,
    pub(super) counters: Counters,
    /// When it counted first.
    pub(super) since: Moment,
}

impl<K: Copy + Eq + Hash> Series<K> {
    /// Values that are told apart. A network has dozens; with this many, each packet's still
    /// fits the processor's caches.
    pub(super) const LIMIT: usize = 10_000;

    /// The number of a value.
    pub(super) fn number(&mut self, key: K) -> u16 {
        if let Some(&number) = self.numbers.get(&key) {
            return number;
        }
        let next = self.all.len();
        if next > Self::LIMIT {
            return 0;
        }
        let number = u16::try_from(next).expect("the limit fits");
        self.numbers.insert(key, number);
        self.all.push(One::new(Some(key)));
        number
    }

    pub(super) fn add(&mut self, number: u16, now: Moment, bytes: u64) {
        let one = &mut self.all[usize::from(number)];
        if one.counters.packets == 0 {
            one.since = now;
        }
        one.counters.add(bytes);
    }

    /// Whether anything counted beyond the limit.
    pub(super) fn is_beyond_limit(&self) -> bool {
        self.all
            .first()
            .is_some_and(|rest| rest.counters.packets > 0)
    }

    /// Those that have counted something.
    pub(super) fn iter(&self) -> impl Iterator<Item = &One<K>> {
        self.all.iter().filter(|one| one.counters.packets > 0)
    }
}

impl<K> One<K> {
    fn new(key: Option<K>) -> Self {
        Self {
            key,
            counters: Counters::default(),
            since: Moment::default(),
        }
    }
}

impl<K> Default for Series<K> {
    fn default() -> Self {
        Self {
            numbers: HashMap::default(),
            all: vec![One::new(None)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_beyond_the_limit_count_together() {
        let mut series: Series<usize> = Series::default();
        let limit = Series::<usize>::LIMIT;
        for key in 0..limit {
            let number = series.number(key);
            series.add(number, Moment::default(), 10);
        }
        assert!(!series.is_beyond_limit());
        for key in (limit..limit + 7).chain(0..limit + 7) {
            let number = series.number(key);
            series.add(number, Moment::default(), 10);
        }
        assert!(series.is_beyond_limit());
        assert_eq!(series.iter().count(), limit + 1);
        let rest = series.iter().find(|one| one.key.is_none());
        let rest = rest.expect("some were beyond the limit").counters;
        assert_eq!((rest.packets, rest.bytes), (14, 140));
        assert!(
            series
                .iter()
                .filter(|one| one.key.is_some())
                .all(|one| one.counters.packets == 2)
        );
    }
}
