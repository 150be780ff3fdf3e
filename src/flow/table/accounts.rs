//! The counting itself, and everything of a table that exists once for both kinds of flows.

use super::super::class::Class;
use super::super::clock::{Moment, Start};
use super::super::distinct::Distinct;
use super::super::hold::Holds;
use super::super::key::{Address, Packed};
use super::super::packets::{BatchedPacket, Keys};
use super::super::series::{BoundedSeries, SeriesEntry};
use super::super::shape::{OverflowKey, TrafficKey};
use super::super::snapshot::{Counters, Flow, Sum};
use super::super::store::{Slot, SlotState, Store};
use super::FlowLimits;
use crate::wire::Observation;

/// All state of a table except the flows themselves.
#[derive(Debug)]
pub(super) struct Accounts {
    pub(super) keys: Keys,
    pub(super) limits: FlowLimits,
    /// The latest time that the table has seen.
    pub(super) now: Moment,
    /// When the counters were last read, by a scrape or otherwise.
    ///
    /// A packet may have arrived before a scrape and be counted after it. Its flow is then taken to
    /// be active at the time of that scrape, which has not shown the packet. Otherwise the flow
    /// could be hidden before any scrape shows its last value.
    last_read: Moment,
    /// The time of the newest scrape that has reached its client.
    pub(super) last_delivered: Option<Moment>,
    /// Whether a new flow has ever found all slots in use.
    pub(super) was_full: bool,
    pub(super) holds: Holds,
    pub(super) traffic: BoundedSeries<TrafficKey>,
    /// Whether all packets of a flow count in the same traffic series. Its number is then stored
    /// with the flow, which saves a look-up for each packet.
    traffic_by_flow: bool,
    pub(super) overflow: BoundedSeries<OverflowKey>,
    pub(super) overflow_packets: u64,
    /// An estimate of the number of distinct flows, from the hashes of their keys. The hash is
    /// seeded, so senders cannot prepare keys that falsify the estimate.
    demand: Distinct,
    pub(super) forgotten_flows: u64,
    /// The sum of the counters of all forgotten flows.
    pub(super) forgotten: Counters,
}

impl Accounts {
    pub(super) fn new(keys: Keys, limits: FlowLimits) -> Self {
        let traffic_by_flow = keys.shape.determines_traffic_key();
        Self {
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
        }
    }

    pub(super) fn advance(&mut self, at: Moment) {
        self.now = self.now.max(at);
    }

    /// Advances to a moment at which the counters are read.
    pub(super) fn advance_to_read(&mut self, at: Moment) {
        self.advance(at);
        self.last_read = self.now;
    }

    /// Counts a packet in its flow.
    #[expect(
        clippy::inline_always,
        reason = "a call for each packet, with its arguments in memory, costs a tenth of the counting"
    )]
    #[inline(always)]
    pub(super) fn count<A: Address>(&mut self, slot: &mut Slot<A>, packet: BatchedPacket<'_>) {
        slot.counters.add(packet.bytes());
        slot.last = slot.last.max(packet.at()).max(self.last_read);
        let traffic = if self.traffic_by_flow {
            slot.traffic()
        } else {
            self.traffic_of_packet(packet)
        };
        self.traffic.add(traffic, self.now, packet.bytes());
    }

    // Not inlined: with the default labels it is never called, and `count` stays small.
    #[inline(never)]
    fn traffic_of_packet(&mut self, packet: BatchedPacket<'_>) -> u16 {
        let key = packet.traffic();
        self.traffic.intern_with_hint(key, key.hint())
    }

    /// Exposes a new or an idle flow, and counts its packet.
    pub(super) fn admit<A: Address>(
        &mut self,
        store: &mut Store<A>,
        key: &Packed<A>,
        packet: BatchedPacket<'_>,
    ) {
        // Looked up again, because making room may have evicted this very flow: hiding another flow
        // can push the list of idle flows over its limit.
        let index = if let Some(index) = store.find(packet.hash(), key) {
            store.expose_again(index);
            index
        } else {
            self.demand.insert(packet.hash());
            self.insert(store, key, packet)
        };
        self.hold(store, index);
        self.count(&mut store[index], packet);
    }

    fn insert<A: Address>(
        &mut self,
        store: &mut Store<A>,
        key: &Packed<A>,
        packet: BatchedPacket<'_>,
    ) -> u32 {
        let (classes, traffic) = self.traffic_of(&packet.seen());
        let slot = Slot::new(*key, classes, traffic);
        // No scrape up to the last one has shown the flow, so none of its packets counted by then.
        let start = Start::at(packet.at().max(self.last_read));
        store.insert(packet.hash(), slot, start)
    }

    /// Holds a flow that was just exposed: until the hold ends, scrapes show its present counters.
    fn hold<A: Address>(&mut self, store: &mut Store<A>, index: u32) {
        if self.limits.hold.is_zero() {
            return;
        }
        let slot = &mut store[index];
        slot.set_state(SlotState::Held);
        slot.hold_or_previous = self.holds.push(self.now, slot.counters, index, A::WIDE);
    }

    /// Counts a packet whose flow has no slot.
    pub(super) fn overflow(&mut self, packet: BatchedPacket<'_>) {
        let seen = packet.seen();
        self.overflow_packets += 1;
        // An idle flow was inserted before. Inserting it again does not change the estimate.
        self.demand.insert(packet.hash());
        let key = self.keys.shape.overflow(&seen);
        let number = key.map_or(0, |key| self.overflow.intern(key));
        self.overflow.add(number, self.now, seen.bytes);
        let (_, traffic) = self.traffic_of(&seen);
        self.traffic.add(traffic, self.now, seen.bytes);
    }

    /// Returns the classes of a packet's addresses, and the number of its traffic series.
    fn traffic_of(&mut self, seen: &Observation) -> ([Class; 2], u16) {
        let key = self.keys.shape.traffic(seen);
        ([key.from_class, key.to_class], self.traffic.intern(key))
    }

    /// Returns the exposed flows as a scrape shows them.
    pub(super) fn flows<A: Address>(&self, store: &Store<A>) -> Vec<Flow<A>> {
        let exposed = store.exposed().iter().map(|&index| (index, &store[index]));
        exposed
            .map(|(index, slot)| Flow {
                key: slot.shown_key(),
                counters: match slot.state() {
                    SlotState::Held => self.holds.base(slot.hold_or_previous),
                    _ => slot.counters,
                },
                start: store.start(index),
            })
            .collect()
    }

    /// Returns the overflow series as a scrape shows them. New ones are held like new flows.
    pub(super) fn overflow_sums(&self) -> Vec<Sum<OverflowKey>> {
        let sums = self.overflow.iter().map(|entry| {
            let mut sum = sum_of(entry);
            if !entry.since.is_older(self.limits.hold, self.now) {
                sum.counters = Counters::default();
            }
            sum
        });
        sums.collect()
    }

    pub(super) fn traffic_sums(&self) -> Vec<Sum<TrafficKey>> {
        self.traffic.iter().map(sum_of).collect()
    }

    /// Estimates the number of distinct flows that ever needed a slot.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate of a number of flows is neither negative nor beyond 2^64"
    )]
    pub(super) fn demand(&self) -> u64 {
        self.demand.estimate().round() as u64
    }
}

fn sum_of<K: Copy>(entry: &SeriesEntry<K>) -> Sum<K> {
    Sum {
        key: entry.key,
        counters: entry.counters,
        start: Start::at(entry.since),
    }
}
