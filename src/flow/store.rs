//! Storage of flows: slots that never move, an index over them by hash, and lists of the exposed
//! and the idle flows.

use std::array;
use std::ops::{Index, IndexMut, Range};

use foldhash::quality::RandomState;
use hashbrown::HashTable;

use super::clock::{Moment, Start};
use super::hosts::HostPair;
use super::key::{Address, Key, Packed};
use super::place::Place;
use super::series::BoundedSeries;
use super::{Class, Counters, TrafficKey};

/// The number of shards of the index. Each shard grows alone, because a packet waits while its
/// shard grows: a fraction of a millisecond for a shard of 8,000 flows, but 45 ms for one index of
/// a million.
const SHARDS: usize = 256;
/// The number of slots in one allocation. Growing by chunks copies no slot, and leaves less than
/// one chunk unused.
const CHUNK: usize = 1024;
/// Stands for no slot.
pub(super) const NONE: u32 = u32::MAX;
/// A mask for the bits of [`PackedState`] that hold the number of a traffic series.
const TRAFFIC: u16 = (1 << 14) - 1;
const _: () = assert!(BoundedSeries::<TrafficKey>::LIMIT <= TRAFFIC as usize);

/// A slot with one flow. `A` is the type of its addresses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot<A: Address> {
    pub(super) key: Packed<A>,
    pub(super) classes: [Class; 2],
    packed_state: PackedState,
    pub(super) counters: Counters,
    /// When its last packet arrived.
    pub(super) last: Moment,
    /// If exposed: its hosts. If idle: the previous slot in the list of idle flows.
    hosts_or_previous: u32,
    /// If exposed: its position in the list of exposed flows. If idle or free: the next slot in the
    /// list of idle or free slots.
    position_or_next: u32,
    /// The first bytes of its start, as many as there is room for.
    spare: A::Spare,
}

/// The state of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SlotState {
    Free,
    /// Not shown by scrapes. Keeps its counters, so that they continue when the flow returns.
    Idle,
    /// Shown by scrapes.
    Exposed,
    /// Exposed, but scrapes show earlier counters: see [`Holds`](super::hold::Holds).
    Held,
}

/// An entry of the index: the slot of a flow, and 32 bits of its hash.
///
/// The slots are far larger than the caches, and reading one waits for memory. With these bits, a
/// shard can grow without reading any slot, and a search reads almost no slot but the right one.
#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u32,
    slot: u32,
}

/// The state of a slot in the upper 2 bits, and in the lower 14 the number of its traffic series.
#[derive(Debug, Clone, Copy)]
struct PackedState(u16);

/// All flows with one type of addresses.
#[derive(Debug)]
pub(super) struct Store<A: Address> {
    shards: Box<[HashTable<Entry>; SHARDS]>,
    chunks: Vec<Vec<Slot<A>>>,
    /// The bytes of all starts that have no room in the slots: [`STARTS`](Self::STARTS) for each.
    /// Apart from the slots, because counting a packet does not need them.
    starts: Vec<Box<[u8]>>,
    /// The places that flows were given when they were new. Empty if their keys hold all places.
    places: Vec<Box<[[Place; 2]]>>,
    /// The first free slot. Free slots form a linked list.
    free: u32,
    /// The slots of the exposed flows, in no particular order.
    exposed: Vec<u32>,
    /// The first of the idle flows. They form a doubly linked list through their slots, in the
    /// order in which they became idle.
    longest_idle: u32,
    last_idle: u32,
    idle: usize,
}

impl<A: Address> Store<A> {
    /// The bytes of a start outside of its slot.
    const STARTS: usize = Start::BYTES - size_of::<A::Spare>();

    pub(super) fn exposed(&self) -> &[u32] {
        &self.exposed
    }

    pub(super) fn idle(&self) -> usize {
        self.idle
    }

    pub(super) fn longest_idle(&self) -> Option<u32> {
        (self.longest_idle != NONE).then_some(self.longest_idle)
    }

    /// Returns the slot of the flow with this key, if it is exposed.
    pub(super) fn find_exposed(&self, hash: u64, key: &Packed<A>) -> Option<u32> {
        let index = self.find(hash, key)?;
        self[index].is_exposed().then_some(index)
    }

    /// Returns the flow in this slot, if it is exposed and has this key. The slot may be [`NONE`].
    #[inline]
    pub(super) fn exposed_at(&mut self, index: u32, key: &Packed<A>) -> Option<&mut Slot<A>> {
        if index == NONE {
            return None;
        }
        let slot = &mut self[index];
        (slot.is_exposed() && slot.key == *key).then_some(slot)
    }

    /// Returns the slot that probably holds the flow with this hash, or [`NONE`]. Does not read the
    /// slot.
    #[inline]
    pub(super) fn candidate(&self, hash: u64) -> u32 {
        self.find_if(hash, |_| true).unwrap_or(NONE)
    }

    /// Returns the flow in this slot, if it is exposed.
    #[inline]
    pub(super) fn if_exposed_mut(&mut self, index: u32) -> Option<&mut Slot<A>> {
        let slot = &mut self[index];
        slot.is_exposed().then_some(slot)
    }

    /// Returns this slot if its flow is exposed, or [`NONE`].
    #[inline]
    pub(super) fn if_exposed(&self, index: u32) -> u32 {
        if index != NONE && self[index].is_exposed() {
            index
        } else {
            NONE
        }
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

    /// Inserts a new flow as an exposed one, and returns its slot.
    pub(super) fn insert(&mut self, hash: u64, slot: Slot<A>, start: Start) -> u32 {
        let slot = self.allocate(slot);
        self.set_start(slot, start);
        let (shard, hash) = split(hash);
        let entry = Entry { hash, slot };
        self.shards[shard].insert_unique(spread(hash), entry, |entry| spread(entry.hash));
        self.expose(slot);
        slot
    }

    /// Turns an idle flow into an exposed one.
    pub(super) fn expose_again(&mut self, index: u32) {
        let Slot {
            hosts_or_previous: previous,
            position_or_next: next,
            ..
        } = self[index];
        match previous {
            NONE => self.longest_idle = next,
            previous => self[previous].position_or_next = next,
        }
        match next {
            NONE => self.last_idle = previous,
            next => self[next].hosts_or_previous = previous,
        }
        self.idle -= 1;
        self.expose(index);
    }

    /// Turns an exposed flow into an idle one, and appends it to the list of idle flows.
    pub(super) fn hide(&mut self, index: u32) {
        let position = self[index].position_or_next;
        self.exposed.swap_remove(position as usize);
        if let Some(&moved) = self.exposed.get(position as usize) {
            self[moved].position_or_next = position;
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
        slot.hosts_or_previous = before;
        slot.position_or_next = NONE;
    }

    /// Removes an idle flow, frees its slot, and returns its counters.
    pub(super) fn forget(&mut self, index: u32, seed: &RandomState) -> Counters {
        // Exposing it takes it out of the list of idle flows, and appends it to the exposed ones.
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

    /// Returns when the counters of a flow were 0.
    pub(super) fn start(&self, index: u32) -> Start {
        let mut bytes = [0; Start::BYTES];
        let (in_slot, outside) = bytes.split_at_mut(size_of::<A::Spare>());
        in_slot.copy_from_slice(self[index].spare.as_ref());
        let (chunk, place) = Self::place_of_start(index);
        outside.copy_from_slice(&self.starts[chunk][place]);
        Start::from_bytes(bytes)
    }

    fn set_start(&mut self, index: u32, start: Start) {
        let bytes = start.bytes();
        let (in_slot, outside) = bytes.split_at(size_of::<A::Spare>());
        self[index].spare.as_mut().copy_from_slice(in_slot);
        let (chunk, place) = Self::place_of_start(index);
        self.starts[chunk][place].copy_from_slice(outside);
    }

    /// Keeps the places of a flow.
    pub(super) fn set_places(&mut self, index: u32, places: [Place; 2]) {
        let index = index as usize;
        while self.places.len() <= index / CHUNK {
            self.places.push(vec![[Place::NONE; 2]; CHUNK].into());
        }
        self.places[index / CHUNK][index % CHUNK] = places;
    }

    /// Returns a flow's key as it is shown: with the classes of the addresses of its first packet, and
    /// with its places.
    pub(super) fn shown_key(&self, index: u32) -> Key<A> {
        let slot = &self[index];
        let [source_class, destination_class] = slot.classes;
        let mut key = Key {
            source_class,
            destination_class,
            ..slot.key.unpack()
        };
        let index = index as usize;
        if let Some(chunk) = self.places.get(index / CHUNK) {
            let [source, destination] = chunk[index % CHUNK];
            key.source_place = key.source_place.max(source);
            key.destination_place = key.destination_place.max(destination);
        }
        key
    }

    fn place_of_start(index: u32) -> (usize, Range<usize>) {
        let index = index as usize;
        let begin = index % CHUNK * Self::STARTS;
        (index / CHUNK, begin..begin + Self::STARTS)
    }

    /// Returns the position of an exposed flow in [`exposed`](Self::exposed).
    pub(super) fn position(&self, index: u32) -> usize {
        self[index].position_or_next as usize
    }

    /// Calls `f` for all exposed flows.
    pub(super) fn for_each_exposed(&mut self, f: impl Fn(&mut Slot<A>)) {
        let Self {
            chunks, exposed, ..
        } = self;
        for &slot in exposed.iter() {
            f(at_mut(chunks, slot));
        }
    }

    /// Returns all slots that were ever allocated, including free ones.
    pub(super) fn slots(&self) -> impl Iterator<Item = &Slot<A>> {
        self.chunks.iter().flatten()
    }

    /// Returns the number of slots that were ever allocated.
    pub(super) fn slot_count(&self) -> usize {
        match self.chunks.split_last() {
            Some((last, full)) => full.len() * CHUNK + last.len(),
            None => 0,
        }
    }

    /// Returns the allocated bytes, including spare capacity.
    pub(super) fn allocated(&self) -> usize {
        let index: usize = self.shards.iter().map(HashTable::allocation_size).sum();
        let slots = self.chunks.len() * CHUNK * (size_of::<Slot<A>>() + Self::STARTS);
        let places = self.places.len() * CHUNK * size_of::<[Place; 2]>();
        index + slots + places + self.exposed.capacity() * size_of::<u32>()
    }

    #[cfg(test)]
    pub(super) fn get(&self, slot: u32) -> Option<&Slot<A>> {
        let slot = slot as usize;
        self.chunks.get(slot / CHUNK)?.get(slot % CHUNK)
    }

    /// Writes a flow into a free slot, or into a new one.
    fn allocate(&mut self, slot: Slot<A>) -> u32 {
        if self.free != NONE {
            let index = self.free;
            self.free = self[index].position_or_next;
            self[index] = slot;
            return index;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
            self.starts.push(vec![0; CHUNK * Self::STARTS].into());
        }
        let full = (self.chunks.len() - 1) * CHUNK;
        let chunk = self.chunks.last_mut().expect("the last chunk has room");
        chunk.push(slot);
        u32::try_from(full + chunk.len() - 1).expect("the limits of flows are u32")
    }

    fn expose(&mut self, index: u32) {
        let position = u32::try_from(self.exposed.len()).expect("the limits of flows are u32");
        if self.exposed.len() == self.exposed.capacity() {
            // Doubling would leave up to half of it unused.
            let more = (self.exposed.len() / 16).max(CHUNK);
            self.exposed.reserve_exact(more);
        }
        self.exposed.push(index);
        let slot = &mut self[index];
        slot.set_state(SlotState::Exposed);
        slot.set_hosts(HostPair::UNKNOWN);
        slot.position_or_next = position;
    }
}

impl<A: Address> Slot<A> {
    /// Creates a flow without packets.
    pub(super) fn new(key: Packed<A>, classes: [Class; 2], traffic: u16) -> Self {
        Self {
            key,
            classes,
            packed_state: PackedState(traffic),
            counters: Counters::default(),
            last: Moment::default(),
            hosts_or_previous: NONE,
            position_or_next: NONE,
            spare: A::Spare::default(),
        }
    }

    /// Returns the number of its traffic series. Valid only if all its packets count in the same.
    #[inline]
    pub(super) fn traffic(&self) -> u16 {
        self.packed_state.0 & TRAFFIC
    }

    /// Returns its hosts. The flow must be exposed.
    #[inline]
    pub(super) fn hosts(&self) -> HostPair {
        HostPair::from_bits(self.hosts_or_previous)
    }

    /// Whether its hosts were looked up. The flow must be exposed.
    #[inline]
    pub(super) fn has_known_hosts(&self) -> bool {
        self.hosts() != HostPair::UNKNOWN
    }

    /// Sets its hosts. The flow must be exposed.
    pub(super) fn set_hosts(&mut self, hosts: HostPair) {
        self.hosts_or_previous = hosts.bits();
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
            shards: Box::new(array::from_fn(|_| HashTable::new())),
            chunks: Vec::new(),
            starts: Vec::new(),
            places: Vec::new(),
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
        at_mut(&mut self.chunks, slot)
    }
}

#[inline]
fn at<A: Address>(chunks: &[Vec<Slot<A>>], slot: u32) -> &Slot<A> {
    let slot = slot as usize;
    &chunks[slot / CHUNK][slot % CHUNK]
}

#[inline]
fn at_mut<A: Address>(chunks: &mut [Vec<Slot<A>>], slot: u32) -> &mut Slot<A> {
    let slot = slot as usize;
    &mut chunks[slot / CHUNK][slot % CHUNK]
}

/// Returns the shard that a hash belongs to, and the bits that the shard stores.
fn split(hash: u64) -> (usize, u32) {
    let [_, _, _, shard, a, b, c, d] = hash.to_be_bytes();
    (usize::from(shard), u32::from_be_bytes([a, b, c, d]))
}

/// Expands the stored bits to a hash for the table of a shard. That table uses the lowest bits for
/// the bucket and the highest for its control bytes, so both halves need good bits.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    #[test]
    fn a_narrow_slot_fills_one_cache_line() {
        assert_eq!(size_of::<Slot<Ipv4Addr>>(), 64);
        assert_eq!(align_of::<Slot<Ipv4Addr>>(), 64);
        assert_eq!(size_of::<Slot<IpAddr>>(), 104);
    }
}
