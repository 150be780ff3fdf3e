//! Where flows are kept: slots that never move, an index over them, and two lists of them.

use std::ops::{Index, IndexMut};

use foldhash::quality::RandomState;
use hashbrown::HashTable;

use super::clock::Moment;
use super::key::{Address, Key, Packed};
use super::series::BoundedSeries;
use super::{Class, Counters, TrafficKey};

/// The index is made of this many parts, each of which grows alone: growing one to 8,000 flows
/// takes a fraction of a millisecond, growing a whole index of a million 45.
const SHARDS: usize = 256;
/// Slots are allocated by this many.
const CHUNK: usize = 1024;
const NONE: u32 = u32::MAX;
/// The bits of a number in the traffic families.
const TRAFFIC: u16 = (1 << 14) - 1;
const _: () = assert!(BoundedSeries::<TrafficKey>::LIMIT <= TRAFFIC as usize);

/// SeriesEntry flow. `A` says what kind of addresses it has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot<A: Address> {
    pub(super) key: Packed<A>,
    pub(super) classes: [Class; 2],
    packed_state: PackedState,
    pub(super) counters: Counters,
    /// When its last packet came.
    pub(super) last: Moment,
    /// Exposed: the number of its hold, if it is held. Idle: the slot before it in the list.
    pub(super) hold_or_previous: u32,
    /// Exposed: its place among the exposed. Idle: the slot behind it. Free: the next free one.
    position_or_next: u32,
    _alignment: A::Alignment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SlotState {
    Free,
    Idle,
    Exposed,
    /// Exposed, with a value of before.
    Held,
}

/// Where a flow is. With enough of its hash that a part of the index can grow, and a flow be told
/// from most others, without a look at any slot: that waits for memory.
#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u32,
    slot: u32,
}

/// A flow's state, in the two bits that its number in the traffic families leaves.
#[derive(Debug, Clone, Copy)]
struct PackedState(u16);

/// Flows with one kind of addresses.
#[derive(Debug)]
pub(super) struct Store<A: Address> {
    shards: Vec<HashTable<Entry>>,
    chunks: Vec<Vec<Slot<A>>>,
    free: u32,
    /// In no order.
    exposed: Vec<u32>,
    longest_idle: u32,
    last_idle: u32,
    idle: usize,
}

impl<A: Address> Store<A> {
    pub(super) fn exposed(&self) -> &[u32] {
        &self.exposed
    }

    pub(super) fn idle(&self) -> usize {
        self.idle
    }

    pub(super) fn longest_idle(&self) -> Option<u32> {
        (self.longest_idle != NONE).then_some(self.longest_idle)
    }

    /// The flow with this key, if it is exposed.
    pub(super) fn find_exposed(&mut self, hash: u64, key: &Packed<A>) -> Option<&mut Slot<A>> {
        let index = self.find(hash, key)?;
        self.exposed_at(index, key)
    }

    /// The flow in this slot, if it is exposed and has this key.
    #[inline]
    pub(super) fn exposed_at(&mut self, index: u32, key: &Packed<A>) -> Option<&mut Slot<A>> {
        let slot = &mut self[index];
        (slot.is_exposed() && slot.key == *key).then_some(slot)
    }

    /// Where the flow with this hash may be. Without a look at the flow.
    #[inline]
    pub(super) fn candidate(&self, hash: u64) -> Option<u32> {
        self.find_if(hash, |_| true)
    }

    /// Whether the flow in this slot is exposed.
    #[inline]
    pub(super) fn is_exposed_at(&self, index: u32) -> bool {
        self[index].is_exposed()
    }

    #[inline]
    pub(super) fn find(&self, hash: u64, key: &Packed<A>) -> Option<u32> {
        self.find_if(hash, |slot| self[slot].key == *key)
    }

    #[inline]
    fn find_if(&self, hash: u64, matches: impl Fn(u32) -> bool) -> Option<u32> {
        let (shard, hash) = split(hash);
        let entry = self.shards[shard].find(spread(hash), |entry| {
            entry.hash == hash && matches(entry.slot)
        });
        entry.map(|entry| entry.slot)
    }

    /// Takes in a new flow and exposes it.
    pub(super) fn insert(&mut self, hash: u64, slot: Slot<A>) -> u32 {
        let slot = self.allocate(slot);
        let (shard, hash) = split(hash);
        let entry = Entry { hash, slot };
        self.shards[shard].insert_unique(spread(hash), entry, |entry| spread(entry.hash));
        self.expose(slot);
        slot
    }

    /// Makes an idle flow an exposed one again.
    pub(super) fn expose_again(&mut self, index: u32) {
        let Slot {
            hold_or_previous,
            position_or_next,
            ..
        } = self[index];
        match hold_or_previous {
            NONE => self.longest_idle = position_or_next,
            hold_or_previous => self[hold_or_previous].position_or_next = position_or_next,
        }
        match position_or_next {
            NONE => self.last_idle = hold_or_previous,
            position_or_next => self[position_or_next].hold_or_previous = hold_or_previous,
        }
        self.idle -= 1;
        self.expose(index);
    }

    /// Makes an exposed flow the last of the idle ones.
    pub(super) fn hide(&mut self, index: u32) {
        let place = self[index].position_or_next;
        self.exposed.swap_remove(place as usize);
        if let Some(&moved) = self.exposed.get(place as usize) {
            self[moved].position_or_next = place;
        }
        let before = self.last_idle;
        match before {
            NONE => self.longest_idle = index,
            before => self[before].position_or_next = index,
        }
        self.last_idle = index;
        self.idle += 1;
        let slot = &mut self[index];
        slot.set_state(SlotState::Idle);
        slot.hold_or_previous = before;
        slot.position_or_next = NONE;
    }

    /// Forgets an idle flow: what it had counted.
    pub(super) fn forget(&mut self, index: u32, seed: &RandomState) -> Counters {
        self.expose_again(index);
        self.exposed.pop();
        let (shard, hash) = split(self[index].key.hash_with(seed));
        let entry = self.shards[shard].find_entry(spread(hash), |entry| entry.slot == index);
        entry.expect("every flow is in the index").remove();
        let free = self.free;
        self.free = index;
        let slot = &mut self[index];
        slot.set_state(SlotState::Free);
        slot.position_or_next = free;
        slot.counters
    }

    /// All slots that there are, with flows in them or free.
    pub(super) fn slots(&self) -> impl Iterator<Item = &Slot<A>> {
        self.chunks.iter().flatten()
    }

    /// How many slots there are.
    pub(super) fn slot_count(&self) -> usize {
        match self.chunks.split_last() {
            Some((last, full)) => full.len() * CHUNK + last.len(),
            None => 0,
        }
    }

    /// Bytes that were asked for to keep the flows.
    pub(super) fn allocated(&self) -> usize {
        let index: usize = self.shards.iter().map(HashTable::allocation_size).sum();
        let slots = self.chunks.len() * CHUNK * size_of::<Slot<A>>();
        index + slots + self.exposed.capacity() * size_of::<u32>()
    }

    #[cfg(test)]
    pub(super) fn get(&self, slot: u32) -> Option<&Slot<A>> {
        let slot = slot as usize;
        self.chunks.get(slot / CHUNK)?.get(slot % CHUNK)
    }

    fn allocate(&mut self, slot: Slot<A>) -> u32 {
        if self.free != NONE {
            let index = self.free;
            self.free = self[index].position_or_next;
            self[index] = slot;
            return index;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let full = (self.chunks.len() - 1) * CHUNK;
        let chunk = self.chunks.last_mut().expect("there is one with room");
        chunk.push(slot);
        u32::try_from(full + chunk.len() - 1).expect("the limits of flows fit")
    }

    fn expose(&mut self, index: u32) {
        let place = u32::try_from(self.exposed.len()).expect("the limits of flows fit");
        self.exposed.push(index);
        let slot = &mut self[index];
        slot.set_state(SlotState::Exposed);
        slot.position_or_next = place;
    }
}

impl<A: Address> Slot<A> {
    /// A flow that has counted nothing yet.
    pub(super) fn new(key: Packed<A>, classes: [Class; 2], traffic: u16) -> Self {
        Self {
            key,
            classes,
            packed_state: PackedState(traffic),
            counters: Counters::default(),
            last: Moment::default(),
            hold_or_previous: NONE,
            position_or_next: NONE,
            _alignment: A::Alignment::default(),
        }
    }

    /// Its key with the classes of its first packet.
    pub(super) fn shown_key(&self) -> Key<A> {
        let [source_class, destination_class] = self.classes;
        Key {
            source_class,
            destination_class,
            ..self.key.unpack()
        }
    }

    /// Its number in the traffic families, if all its packets have the same.
    #[inline]
    pub(super) fn traffic(&self) -> u16 {
        self.packed_state.0 & TRAFFIC
    }

    #[inline]
    pub(super) fn state(&self) -> SlotState {
        match self.packed_state.0 >> TRAFFIC.count_ones() {
            0 => SlotState::Free,
            1 => SlotState::Idle,
            2 => SlotState::Exposed,
            _ => SlotState::Held,
        }
    }

    #[inline]
    fn is_exposed(&self) -> bool {
        matches!(self.state(), SlotState::Exposed | SlotState::Held)
    }

    pub(super) fn set_state(&mut self, state: SlotState) {
        let state = (state as u16) << TRAFFIC.count_ones();
        self.packed_state.0 = self.traffic() | state;
    }
}

impl<A: Address> Default for Store<A> {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| HashTable::new()).collect(),
            chunks: Vec::new(),
            free: NONE,
            exposed: Vec::new(),
            longest_idle: NONE,
            last_idle: NONE,
            idle: 0,
        }
    }
}

impl<A: Address> Index<u32> for Store<A> {
    type Output = Slot<A>;

    #[inline]
    fn index(&self, slot: u32) -> &Slot<A> {
        at(&self.chunks, slot)
    }
}

impl<A: Address> IndexMut<u32> for Store<A> {
    #[inline]
    fn index_mut(&mut self, slot: u32) -> &mut Slot<A> {
        let slot = slot as usize;
        &mut self.chunks[slot / CHUNK][slot % CHUNK]
    }
}

#[inline]
fn at<A: Address>(chunks: &[Vec<Slot<A>>], slot: u32) -> &Slot<A> {
    let slot = slot as usize;
    &chunks[slot / CHUNK][slot % CHUNK]
}

/// The part of the index that a hash belongs to, and the bits that tell hashes apart there.
fn split(hash: u64) -> (usize, u32) {
    let [_, _, _, shard, a, b, c, d] = hash.to_be_bytes();
    (usize::from(shard), u32::from_be_bytes([a, b, c, d]))
}

/// These bits as the hash of a part's own table, which uses the lowest and the highest.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    #[test]
    fn a_slot_stays_small() {
        assert_eq!(size_of::<Slot<Ipv4Addr>>(), 64);
        assert_eq!(align_of::<Slot<Ipv4Addr>>(), 64);
        assert_eq!(size_of::<Slot<IpAddr>>(), 104);
    }
}
