//! A map of limited size.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use foldhash::quality::RandomState;

/// A map that, once it is full, evicts the least recently used entry for a new one.
///
/// The keys come from the network, so hashing is seeded.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    limit: usize,
    entries: HashMap<K, Entry<V>, RandomState>,
    /// The keys by the time of their last use.
    by_use: BTreeMap<u64, K>,
    /// Counts uses.
    uses: u64,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    used: u64,
}

impl<K: Clone + Eq + Hash, V> Recent<K, V> {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            entries: HashMap::default(),
            by_use: BTreeMap::new(),
            uses: 0,
        }
    }

    /// Returns the value of a key, which counts as a use.
    pub(super) fn get(&mut self, key: &K) -> Option<&mut V> {
        let entry = self.entries.get_mut(key)?;
        self.uses += 1;
        let key = self.by_use.remove(&entry.used)?;
        entry.used = self.uses;
        self.by_use.insert(self.uses, key);
        Some(&mut entry.value)
    }

    /// Inserts a value, or replaces that of the key.
    pub(super) fn insert(&mut self, key: K, value: V) {
        if let Some(old) = self.get(&key) {
            *old = value;
            return;
        }
        if self.entries.len() >= self.limit
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.entries.remove(&oldest);
        }
        self.uses += 1;
        let used = self.uses;
        self.by_use.insert(used, key.clone());
        self.entries.insert(key, Entry { value, used });
    }

    pub(super) fn remove(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.by_use.remove(&entry.used);
        }
    }

    /// Returns all entries, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, entry)| (key, &entry.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(map: &Recent<u8, char>) -> Vec<(u8, char)> {
        let mut contents: Vec<_> = map.iter().map(|(key, value)| (*key, *value)).collect();
        contents.sort_unstable();
        contents
    }

    #[test]
    fn the_least_recently_used_entry_is_evicted() {
        let mut map = Recent::new(3);
        for (key, value) in [(1, 'a'), (2, 'b'), (3, 'c')] {
            map.insert(key, value);
        }
        map.insert(1, 'A');
        assert_eq!(map.get(&2), Some(&mut 'b'));
        map.insert(4, 'd');
        assert_eq!(contents(&map), [(1, 'A'), (2, 'b'), (4, 'd')]);
        map.insert(5, 'e');
        assert_eq!(contents(&map), [(2, 'b'), (4, 'd'), (5, 'e')]);
    }

    #[test]
    fn a_removed_entry_makes_room() {
        let mut map = Recent::new(2);
        map.insert(1, 'a');
        map.insert(2, 'b');
        map.remove(&1);
        map.remove(&9);
        map.insert(3, 'c');
        assert_eq!(contents(&map), [(2, 'b'), (3, 'c')]);
        assert_eq!(map.by_use.len(), 2);
    }
}
