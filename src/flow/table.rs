//! Who has a place in the table, who gives it up, and what is seen of whom.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use super::class::Class;
use super::clock::Moment;
use super::distinct::Distinct;
use super::hold::Holds;
use super::key::{Address, Packed};
use super::packets::{BatchedPacket, KeyRef, Keys, PacketBatch};
use super::series::{BoundedSeries, SeriesEntry};
use super::shape::{OverflowKey, Shape, TrafficKey};
use super::snapshot::{Counters, Flow, Occupancy, Snapshot, Sum};
use super::store::{Slot, SlotState, Store};
use crate::wire::Observation;
pub use checkpoints::CHECKPOINT_INTERVAL;
use checkpoints::Checkpoints;

mod checkpoints;

/// While the table is full, flows that may leave are looked for in rounds: one round a second at
/// most, and so many flows for each packet without a place. No packet waits for a whole round.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
const SWEPT_PER_PACKET: usize = 128;

/// Packets that are looked up together.
const GROUP: usize = 32;

/// What the table is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowLimits {
    /// Flows that are exposed.
    pub flows: u32,
    /// Flows that are not, but whose counts are kept.
    pub idle_flows: u32,
    /// After this time without a packet a flow gives up its place; zero: never.
    pub idle_timeout: Duration,
    /// For this time a new or returning flow shows the value of before.
    pub hold: Duration,
    /// Whether flows may leave that no scrape has shown: where nobody scrapes.
    pub hide_unseen: bool,
}

/// Exposed flows, idle flows, and the sums that lose nothing.
///
/// Time comes in as an argument. The table's own never goes back; packets may come late, and a flow
/// is idle since the latest time of its packets. Whatever the order of the packets, the outcome is the
/// same, unless [`depends_on_order`](FlowTable::depends_on_order).
///
/// Senders choose the keys, so the hash is seeded: nobody can prepare keys that collide.
#[derive(Debug)]
pub struct FlowTable {
    narrow: Store<Ipv4Addr>,
    wide: Store<IpAddr>,
    accounts: Accounts,
    sweep: Sweep,
    checkpoints: Checkpoints,
}

/// All that does not depend on the kind of a flow's addresses.
#[derive(Debug)]
struct Accounts {
    keys: Keys,
    limits: FlowLimits,
    now: Moment,
    /// When the counters were last read, by a scrape or otherwise. A packet that is counted later
    /// is no older than that, however late it comes: it is new to whoever reads them next.
    last_read: Moment,
    /// When the newest scrape was made that reached its client.
    last_delivered: Option<Moment>,
    /// Whether all slots were ever taken when a flow needed one.
    was_full: bool,
    holds: Holds,
    traffic: BoundedSeries<TrafficKey>,
    /// Whether a flow's packets all count in one series of the traffic families.
    traffic_by_flow: bool,
    overflow: BoundedSeries<OverflowKey>,
    overflow_packets: u64,
    /// The flows that ever asked for a slot, by their seeded hashes: nobody can prepare keys that
    /// falsify the estimate.
    demand: Distinct,
    forgotten_flows: u64,
    forgotten: Counters,
}

/// The search for flows that may leave.
#[derive(Debug, Default)]
struct Sweep {
    position: usize,
    left: usize,
    next: Moment,
}

impl FlowTable {
    #[must_use]
    pub fn new(shape: Shape, limits: FlowLimits) -> Self {
        Self::with_keys(Keys::new(shape), limits)
    }

    fn with_keys(keys: Keys, limits: FlowLimits) -> Self {
        let traffic_by_flow = keys.shape.determines_traffic_key();
        let accounts = Accounts {
            keys,
            limits,
            demand: Distinct::new(),
            now: Moment::default(),
            last_read: Moment::default(),
            last_delivered: None,
            was_full: false,
            holds: Holds::default(),
            traffic: BoundedSeries::default(),
            traffic_by_flow,
            overflow: BoundedSeries::default(),
            overflow_packets: 0,
            forgotten_flows: 0,
            forgotten: Counters::default(),
        };
        Self {
            narrow: Store::default(),
            wide: Store::default(),
            accounts,
            sweep: Sweep::default(),
            checkpoints: Checkpoints::default(),
        }
    }

    /// Discards all that was counted.
    pub fn clear(&mut self) {
        let Accounts { keys, limits, .. } = &self.accounts;
        *self = Self::with_keys(keys.clone(), *limits);
    }

    /// Whether the same packets in another order might have led to another outcome: once slots or
    /// series run out, the first flows have them, and a flow is held from its first packet on.
    #[must_use]
    pub fn depends_on_order(&self) -> bool {
        let Accounts {
            was_full,
            traffic,
            limits,
            ..
        } = &self.accounts;
        *was_full || traffic.has_overflowed() || !limits.hold.is_zero()
    }

    /// Places for so many packets that are to be counted here.
    #[must_use]
    pub fn packets(&self, places: usize) -> PacketBatch {
        PacketBatch::new(&self.accounts.keys, places)
    }

    /// Counts packets, in their order, and takes them out.
    pub fn record(&mut self, packets: &mut PacketBatch) {
        let mut found = [None; GROUP];
        for group in packets.groups(GROUP) {
            // SeriesEntry step for all of them, then the next: so many wait for memory side by side.
            for (found, packet) in found.iter_mut().zip(group.clone()) {
                *found = if packet.has_wide_key() {
                    self.wide.candidate(packet.hash())
                } else {
                    self.narrow.candidate(packet.hash())
                };
            }
            for (found, packet) in found.iter_mut().zip(group.clone()) {
                *found = found.filter(|&slot| {
                    if packet.has_wide_key() {
                        self.wide.is_exposed_at(slot)
                    } else {
                        self.narrow.is_exposed_at(slot)
                    }
                });
            }
            for (found, packet) in found.iter().zip(group) {
                self.count(*found, packet);
            }
        }
        packets.clear();
    }

    /// Counts a packet whose flow was in slot `found` a moment ago.
    #[inline]
    fn count(&mut self, found: Option<u32>, packet: BatchedPacket<'_>) {
        let Self {
            narrow,
            wide,
            accounts,
            ..
        } = self;
        accounts.advance(packet.at());
        match packet.key() {
            KeyRef::Narrow(key) => {
                if let Some(slot) = found.and_then(|slot| narrow.exposed_at(slot, &key)) {
                    return accounts.count(slot, packet);
                }
            }
            KeyRef::Wide(key) => {
                if let Some(slot) = found.and_then(|slot| wide.exposed_at(slot, key)) {
                    return accounts.count(slot, packet);
                }
            }
        }
        self.admit(packet);
    }

    /// Returns what is to be seen at `at`. It counts as shown once it was
    /// [`delivered`](Self::delivered).
    pub fn scrape(&mut self, at: Duration) -> Snapshot {
        self.accounts.advance_to_read(Moment::of(at));
        self.hide_idle();
        self.release_holds();
        Snapshot {
            shape: Arc::clone(&self.accounts.keys.shape),
            narrow: self.accounts.flows(&self.narrow),
            wide: self.accounts.flows(&self.wide),
            overflow: self.accounts.overflow_sums(),
            traffic: self.accounts.traffic.iter().map(whole).collect(),
            occupancy: self.occupancy(),
        }
    }

    /// The scrape that was made at `at` has reached its client: what it showed may leave.
    pub fn delivered(&mut self, at: Duration) {
        let at = Some(Moment::of(at));
        self.accounts.last_delivered = self.accounts.last_delivered.max(at);
    }

    #[must_use]
    pub fn occupancy(&self) -> Occupancy {
        Occupancy {
            flows: self.exposed(),
            limit: self.accounts.limits.flows,
            overflow_packets: self.accounts.overflow_packets,
            demand: self.accounts.demand(),
            idle: self.idle(),
            idle_limit: self.accounts.limits.idle_flows,
            forgotten: self.accounts.forgotten_flows,
        }
    }

    #[must_use]
    pub fn shape(&self) -> &Arc<Shape> {
        &self.accounts.keys.shape
    }

    /// Packets whose flow found no place, so far.
    #[must_use]
    pub fn overflow_packets(&self) -> u64 {
        self.accounts.overflow_packets
    }

    /// Bytes that were asked for to keep the flows, spare room included.
    #[must_use]
    pub fn allocated(&self) -> usize {
        let stores = self.narrow.allocated() + self.wide.allocated();
        stores + self.checkpoints.allocated() + self.accounts.holds.allocated()
    }

    fn exposed(&self) -> usize {
        self.narrow.exposed().len() + self.wide.exposed().len()
    }

    fn idle(&self) -> usize {
        self.narrow.idle() + self.wide.idle()
    }

    /// Counts a packet of a flow that was not exposed a moment ago: in a place, if there is one.
    #[cold]
    fn admit(&mut self, packet: BatchedPacket<'_>) {
        match packet.key() {
            KeyRef::Narrow(key) => {
                if let Some(slot) = self.narrow.find_exposed(packet.hash(), &key) {
                    return self.accounts.count(slot, packet);
                }
            }
            KeyRef::Wide(key) => {
                if let Some(slot) = self.wide.find_exposed(packet.hash(), key) {
                    return self.accounts.count(slot, packet);
                }
            }
        }
        if self.is_full() {
            self.accounts.was_full = true;
            if !self.make_room() {
                self.accounts.overflow(packet);
                return;
            }
        }
        match packet.key() {
            KeyRef::Narrow(key) => self.accounts.admit(&mut self.narrow, &key, packet),
            KeyRef::Wide(key) => self.accounts.admit(&mut self.wide, key, packet),
        }
    }

    fn is_full(&self) -> bool {
        self.exposed() >= self.accounts.limits.flows as usize
    }

    /// Goes on with the search for a flow that may leave, and makes it leave.
    fn make_room(&mut self) -> bool {
        if !self.accounts.can_hide_flows() {
            return false;
        }
        if self.accounts.limits.hide_unseen {
            self.release_holds();
        }
        let now = self.accounts.now;
        if self.sweep.left == 0 {
            if now < self.sweep.next {
                return false;
            }
            self.sweep.left = self.exposed();
            self.sweep.next = now.plus(SWEEP_INTERVAL);
        }
        for _ in 0..self.sweep.left.min(SWEPT_PER_PACKET) {
            if self.sweep.position >= self.exposed() {
                self.sweep.position = 0;
            }
            let position = self.sweep.position;
            let behind_narrow = position.checked_sub(self.narrow.exposed().len());
            let hidden = match behind_narrow {
                None => self.accounts.hide_if_possible(&mut self.narrow, position),
                Some(position) => self.accounts.hide_if_possible(&mut self.wide, position),
            };
            if hidden {
                self.forget_surplus();
                return true;
            }
            self.sweep.position += 1;
            self.sweep.left -= 1;
        }
        false
    }

    /// Makes all flows leave that may, those first that have been without a packet for longest.
    fn hide_idle(&mut self) {
        if !self.accounts.can_hide_flows() {
            return;
        }
        let mut idle_flows = self.accounts.idle_flows(&self.narrow);
        idle_flows.extend(self.accounts.idle_flows(&self.wide));
        idle_flows.sort_unstable();
        for (_, is_wide, slot) in idle_flows {
            if is_wide {
                self.wide.hide(slot);
            } else {
                self.narrow.hide(slot);
            }
        }
        self.forget_surplus();
    }

    /// Forgets those that have been idle for longest, down to the limit.
    fn forget_surplus(&mut self) {
        while self.idle() > self.accounts.limits.idle_flows as usize {
            let narrow = self.narrow.longest_idle();
            let wide = self.wide.longest_idle();
            match (narrow, wide) {
                (Some(narrow), Some(wide)) if self.narrow[narrow].last > self.wide[wide].last => {
                    self.forget_wide(wide);
                }
                (Some(narrow), _) => {
                    self.accounts.forget(&mut self.narrow, narrow);
                    self.checkpoints.forget_narrow(narrow);
                }
                (None, Some(wide)) => self.forget_wide(wide),
                (None, None) => return,
            }
        }
    }

    fn forget_wide(&mut self, slot: u32) {
        self.accounts.forget(&mut self.wide, slot);
        self.checkpoints.forget_wide(slot);
    }

    /// Lets all held flows that are old enough show their true value.
    fn release_holds(&mut self) {
        let Accounts {
            holds, limits, now, ..
        } = &mut self.accounts;
        while let Some(hold) = holds.pop(limits.hold, *now) {
            if hold.wide {
                self.wide[hold.slot].set_state(SlotState::Exposed);
            } else {
                self.narrow[hold.slot].set_state(SlotState::Exposed);
            }
        }
    }
}

impl Accounts {
    fn advance(&mut self, at: Moment) {
        self.now = self.now.max(at);
    }

    /// Advances to a moment at which the counters are read.
    fn advance_to_read(&mut self, at: Moment) {
        self.advance(at);
        self.last_read = self.now;
    }

    /// Counts a packet in its flow.
    #[inline]
    fn count<A: Address>(&mut self, slot: &mut Slot<A>, packet: BatchedPacket<'_>) {
        slot.counters.add(packet.bytes());
        slot.last = slot.last.max(packet.at()).max(self.last_read);
        let traffic = if self.traffic_by_flow {
            slot.traffic()
        } else {
            self.traffic_of(&packet.seen()).1
        };
        self.traffic.add(traffic, self.now, packet.bytes());
    }

    /// Gives a new or an idle flow a place, and counts its packet.
    fn admit<A: Address>(
        &mut self,
        store: &mut Store<A>,
        key: &Packed<A>,
        packet: BatchedPacket<'_>,
    ) {
        // Making room may have made the list of idle flows too long, and this flow forgotten.
        let index = if let Some(index) = store.find(packet.hash(), key) {
            store.expose_again(index);
            index
        } else {
            self.demand.insert(packet.hash());
            self.start(store, key, packet)
        };
        self.hold(store, index);
        self.count(&mut store[index], packet);
    }

    fn start<A: Address>(
        &mut self,
        store: &mut Store<A>,
        key: &Packed<A>,
        packet: BatchedPacket<'_>,
    ) -> u32 {
        let (classes, traffic) = self.traffic_of(&packet.seen());
        let slot = Slot::new(*key, classes, traffic);
        store.insert(packet.hash(), slot)
    }

    fn hold<A: Address>(&mut self, store: &mut Store<A>, index: u32) {
        if self.limits.hold.is_zero() {
            return;
        }
        let slot = &mut store[index];
        slot.set_state(SlotState::Held);
        slot.hold_or_previous = self.holds.push(self.now, slot.counters, index, A::WIDE);
    }

    /// Counts a packet that found no place.
    fn overflow(&mut self, packet: BatchedPacket<'_>) {
        let seen = packet.seen();
        self.overflow_packets += 1;
        // An idle flow has asked before: that changes nothing.
        self.demand.insert(packet.hash());
        let key = self.keys.shape.overflow(&seen);
        let number = key.map_or(0, |key| self.overflow.intern(key));
        self.overflow.add(number, self.now, seen.bytes);
        let (_, traffic) = self.traffic_of(&seen);
        self.traffic.add(traffic, self.now, seen.bytes);
    }

    /// The classes of a packet, and its number in the traffic families.
    fn traffic_of(&mut self, seen: &Observation) -> ([Class; 2], u16) {
        let classes = self.keys.shape.classes_of(seen);
        let [from_class, to_class] = classes;
        let number = self.traffic.intern(TrafficKey {
            from_class,
            to_class,
            protocol: seen.protocol,
            listen_port: seen.listen_port,
        });
        (classes, number)
    }

    /// Whether any flow may leave now.
    fn can_hide_flows(&self) -> bool {
        let were_seen = self.limits.hide_unseen || self.last_delivered.is_some();
        !self.limits.idle_timeout.is_zero() && were_seen
    }

    /// A flow may leave when it is idle and a delivered scrape has shown its last value.
    fn may_be_hidden<A: Address>(&self, slot: &Slot<A>) -> bool {
        let was_seen = self.limits.hide_unseen || self.last_delivered > Some(slot.last);
        slot.state() == SlotState::Exposed
            && slot.last.is_older(self.limits.idle_timeout, self.now)
            && was_seen
    }

    fn idle_flows<A: Address>(&self, store: &Store<A>) -> Vec<(Moment, bool, u32)> {
        let exposed = store.exposed().iter();
        let idle_flows = exposed.filter(|&&slot| self.may_be_hidden(&store[slot]));
        idle_flows
            .map(|&slot| (store[slot].last, A::WIDE, slot))
            .collect()
    }

    fn hide_if_possible<A: Address>(&self, store: &mut Store<A>, position: usize) -> bool {
        let slot = store.exposed()[position];
        let may_be_hidden = self.may_be_hidden(&store[slot]);
        if may_be_hidden {
            store.hide(slot);
        }
        may_be_hidden
    }

    fn forget<A: Address>(&mut self, store: &mut Store<A>, slot: u32) {
        let counters = store.forget(slot, &self.keys.seed);
        self.forgotten_flows += 1;
        self.forgotten.bytes += counters.bytes;
        self.forgotten.packets += counters.packets;
    }

    fn flows<A: Address>(&self, store: &Store<A>) -> Vec<Flow<A>> {
        let exposed = store.exposed().iter().map(|&slot| &store[slot]);
        exposed
            .map(|slot| Flow {
                key: slot.shown_key(),
                counters: match slot.state() {
                    SlotState::Held => self.holds.base(slot.hold_or_previous),
                    _ => slot.counters,
                },
            })
            .collect()
    }

    fn overflow_sums(&self) -> Vec<Sum<OverflowKey>> {
        let sums = self.overflow.iter().map(|one| {
            let mut sum = whole(one);
            if !one.since.is_older(self.limits.hold, self.now) {
                sum.counters = Counters::default();
            }
            sum
        });
        sums.collect()
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate of a number of flows is neither negative nor beyond 2^64"
    )]
    fn demand(&self) -> u64 {
        self.demand.estimate().round() as u64
    }
}

fn whole<K: Copy>(one: &SeriesEntry<K>) -> Sum<K> {
    Sum {
        key: one.key,
        counters: one.counters,
    }
}

#[cfg(test)]
impl FlowTable {
    /// A scrape that is delivered at once.
    fn show(&mut self, at: Duration) -> Snapshot {
        let snapshot = self.scrape(at);
        self.delivered(self.accounts.now.duration());
        snapshot
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
