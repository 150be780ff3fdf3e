//! Counters for a limited number of distinct keys.

use std::collections::HashMap;
use std::hash::Hash;

use foldhash::quality::RandomState;

use super::Counters;
use super::clock::Moment;

/// Counters by a key that normally has few values. A hostile sender may make up any number of
/// values, so all new values beyond a limit count together in one entry.
#[derive(Debug)]
pub(super) struct BoundedSeries<K> {
    /// The seed keeps senders from preparing keys that collide.
    numbers: HashMap<K, u16, RandomState>,
    /// The first entry counts all values beyond the limit.
    entries: Vec<SeriesEntry<K>>,
    /// Numbers that were recently assigned or looked up, by a byte that the caller computes from the
    /// value.
    recent: [u16; 256],
}

/// One series and its counters.
#[derive(Debug, Clone, Copy)]
pub(super) struct SeriesEntry<K> {
    /// `None` for all values beyond the limit.
    pub(super) key: Option<K>,
    pub(super) counters: Counters,
    /// When it counted its first packet.
    pub(super) since: Moment,
}

impl<K: Copy + Eq + Hash> BoundedSeries<K> {
    /// The maximum number of distinct values. A network has dozens. With 10,000, the entries
    /// still fit into the processor's caches.
    pub(super) const LIMIT: usize = 10_000;

    /// Returns the number of a value, and assigns the next number to a new value. Returns 0 for all
    /// new values beyond the limit.
    pub(super) fn intern(&mut self, key: K) -> u16 {
        if let Some(&number) = self.numbers.get(&key) {
            return number;
        }
        let next = self.entries.len();
        if next > Self::LIMIT {
            return 0;
        }
        let number = u16::try_from(next).expect("the limit fits");
        self.numbers.insert(key, number);
        self.entries.push(SeriesEntry::new(Some(key)));
        number
    }

    /// Does the same as [`intern`](Self::intern), mostly without a look-up. `hint` is any function of
    /// the key: the last number is kept for each hint, so hints should differ among the values of
    /// nearly all packets.
    #[inline]
    pub(super) fn intern_with_hint(&mut self, key: K, hint: u8) -> u16 {
        let recent = self.recent[usize::from(hint)];
        if self.entries[usize::from(recent)].key == Some(key) {
            return recent;
        }
        let number = self.intern(key);
        self.recent[usize::from(hint)] = number;
        number
    }

    /// Returns the value with this number; `None` for the number of all values beyond the limit.
    pub(super) fn key(&self, number: u16) -> Option<K> {
        self.entries[usize::from(number)].key
    }

    /// Counts a packet in the series with this number.
    pub(super) fn add(&mut self, number: u16, bytes: u64) {
        self.entries[usize::from(number)].counters.add(bytes);
    }

    /// Notes when a series counts its first packet. Call it before that packet is counted.
    pub(super) fn begin(&mut self, number: u16, now: Moment) {
        let entry = &mut self.entries[usize::from(number)];
        if entry.counters.packets == 0 {
            entry.since = now;
        }
    }

    /// Whether a packet was counted beyond the limit.
    pub(super) fn has_overflowed(&self) -> bool {
        self.entries
            .first()
            .is_some_and(|rest| rest.counters.packets > 0)
    }

    /// Returns the series that have counted a packet.
    pub(super) fn iter(&self) -> impl Iterator<Item = &SeriesEntry<K>> {
        self.entries
            .iter()
            .filter(|entry| entry.counters.packets > 0)
    }
}

impl<K> SeriesEntry<K> {
    fn new(key: Option<K>) -> Self {
        Self {
            key,
            counters: Counters::default(),
            since: Moment::default(),
        }
    }
}

impl<K> Default for BoundedSeries<K> {
    fn default() -> Self {
        Self {
            numbers: HashMap::default(),
            entries: vec![SeriesEntry::new(None)],
            recent: [0; 256],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_does_not_change_the_number() {
        let mut series: BoundedSeries<usize> = BoundedSeries::default();
        let limit = BoundedSeries::<usize>::LIMIT;
        for key in (0..limit + 7).chain([5, 5, limit + 3, 5, limit + 3]) {
            let expected = if key < limit { key + 1 } else { 0 };
            for hint in [0, 0, 255] {
                let number = series.intern_with_hint(key, hint);
                assert_eq!(usize::from(number), expected);
            }
        }
    }

    #[test]
    fn values_beyond_the_limit_share_one_entry() {
        let mut series: BoundedSeries<usize> = BoundedSeries::default();
        let limit = BoundedSeries::<usize>::LIMIT;
        for key in 0..limit {
            let number = series.intern(key);
            series.add(number, 10);
        }
        assert!(!series.has_overflowed());
        for key in (limit..limit + 7).chain(0..limit + 7) {
            let number = series.intern(key);
            series.add(number, 10);
        }
        assert!(series.has_overflowed());
        assert_eq!(series.iter().count(), limit + 1);
        let rest = series.iter().find(|entry| entry.key.is_none());
        let rest = rest.expect("some values are beyond the limit").counters;
        assert_eq!((rest.packets, rest.bytes), (14, 140));
        assert!(
            series
                .iter()
                .filter(|entry| entry.key.is_some())
                .all(|entry| entry.counters.packets == 2)
        );
    }
}
