//! The counting itself, and everything of a table that exists once for both kinds of flows.

use super::super::class::Class;
use super::super::clock::{Moment, Start};
use super::super::distinct::Distinct;
use super::super::hold::Holds;
use super::super::hosts::{HostPair, Hosts};
use super::super::key::{Address, Key, Packed};
use super::super::packets::{BatchedPacket, Keys};
use super::super::place::RecentPlaces;
use super::super::series::{BoundedSeries, SeriesEntry};
use super::super::shape::{AnyKey, OverflowKey, TrafficKey};
use super::super::snapshot::{Counters, Flow, Sum};
use super::super::store::{Slot, SlotState, Store};
use super::FlowLimits;
use super::resolutions::{ByPacket, Counted, FlowSlot};
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
    pub(super) holds: Holds<FlowSlot>,
    pub(super) traffic: BoundedSeries<TrafficKey>,
    pub(super) hosts: Hosts,
    /// Whether the key of a packet is that of its flow, and all packets of a flow count in the same
    /// traffic series and for the same hosts. Their numbers are then stored with the flow.
    pub(super) is_direct: bool,
    /// The places of recent sources and destinations.
    pub(super) recent_places: [RecentPlaces; 2],
    /// When hosts may be hidden again because a new one would find no slot.
    pub(super) next_host_sweep: Moment,
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
        let shape = &keys.shape;
        let hosts = Hosts::new(limits.hosts, &shape.classes, keys.seed.clone(), limits.hold);
        Self {
            is_direct: shape.is_direct(),
            recent_places: Default::default(),
            keys,
            limits,
            demand: Distinct::new(),
            now: Moment::default(),
            last_read: Moment::default(),
            last_delivered: None,
            was_full: false,
            holds: Holds::default(),
            traffic: BoundedSeries::default(),
            hosts,
            next_host_sweep: Moment::default(),
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

    /// Counts a packet in a flow with known hosts, and in the traffic series and the hosts that are
    /// stored with the flow.
    #[expect(
        clippy::inline_always,
        reason = "a call for each packet, with its arguments in memory, costs a tenth of the counting"
    )]
    #[inline(always)]
    pub(super) fn count<A: Address>(
        &mut self,
        slot: &mut Slot<A>,
        packet: BatchedPacket<'_>,
    ) -> Counted {
        let by_packet = ByPacket {
            classes: slot.classes,
            traffic: slot.traffic(),
            hosts: slot.hosts(),
        };
        self.count_resolved(slot, by_packet, packet)
    }

    /// Counts a packet in its flow, its traffic series and its hosts.
    #[expect(clippy::inline_always, reason = "as for `count`")]
    #[inline(always)]
    pub(super) fn count_resolved<A: Address>(
        &mut self,
        slot: &mut Slot<A>,
        by_packet: ByPacket,
        packet: BatchedPacket<'_>,
    ) -> Counted {
        self.count_in_flow(slot, packet);
        self.traffic.add(by_packet.traffic, packet.bytes());
        let ByPacket { classes, hosts, .. } = by_packet;
        let at = packet.at().max(self.last_read);
        self.hosts.count(hosts, classes, packet.bytes(), at);
        Counted {
            overflow: None,
            by_packet,
        }
    }

    /// Finds the traffic series and the hosts of a packet, and counts the packet there.
    // Not inlined: it is rarely called, and `count` stays small.
    #[inline(never)]
    pub(super) fn count_by_packet(&mut self, packet: BatchedPacket<'_>) -> ByPacket {
        let seen = packet.seen();
        let (classes, traffic) = self.traffic_of(&seen);
        self.traffic.begin(traffic, self.now);
        self.traffic.add(traffic, packet.bytes());
        let hosts = self.resolve_hosts(&seen, classes);
        let at = packet.at().max(self.last_read);
        self.hosts.count(hosts, classes, packet.bytes(), at);
        ByPacket {
            classes,
            traffic,
            hosts,
        }
    }

    /// Counts a packet in its flow alone.
    #[inline]
    pub(super) fn count_in_flow<A: Address>(&self, slot: &mut Slot<A>, packet: BatchedPacket<'_>) {
        slot.counters.add(packet.bytes());
        slot.last = slot.last.max(packet.at()).max(self.last_read);
    }

    #[inline]
    fn resolve_hosts(&mut self, seen: &Observation, classes: [Class; 2]) -> HostPair {
        if !self.hosts.is_on() {
            return HostPair::NONE;
        }
        let hosts = self.keys.shape.hosts(seen, classes);
        self.hosts.resolve(hosts, classes, self.now)
    }

    /// Returns the key of a packet's flow, looking up everything that it holds.
    pub(super) fn flow_key(&mut self, seen: &Observation) -> AnyKey {
        let Keys { shape, seed, .. } = &self.keys;
        let places = shape.places_in_key(&mut self.recent_places, seed, seen);
        shape.key(seen, places)
    }

    /// Counts a packet in its flow, whose hosts may be unknown.
    pub(super) fn find_hosts_and_count<A: Address>(
        &mut self,
        slot: &mut Slot<A>,
        packet: BatchedPacket<'_>,
    ) -> Counted {
        if !slot.has_known_hosts() {
            slot.set_hosts(self.resolve_hosts(&packet.seen(), slot.classes));
        }
        self.count(slot, packet)
    }

    /// Exposes a new or an idle flow, and returns its slot.
    pub(super) fn expose<A: Address>(
        &mut self,
        store: &mut Store<A>,
        hash: u64,
        key: &Packed<A>,
        packet: BatchedPacket<'_>,
    ) -> u32 {
        // Looked up again, because making room may have evicted this very flow: hiding another flow
        // can push the list of idle flows over its limit.
        let index = if let Some(index) = store.find(hash, key) {
            store.expose_again(index);
            index
        } else {
            self.demand.insert(hash);
            self.insert(store, hash, key, packet)
        };
        self.hold(store, index);
        index
    }

    fn insert<A: Address>(
        &mut self,
        store: &mut Store<A>,
        hash: u64,
        key: &Packed<A>,
        packet: BatchedPacket<'_>,
    ) -> u32 {
        let (classes, traffic) = self.traffic_of(&packet.seen());
        self.traffic.begin(traffic, self.now);
        let slot = Slot::new(*key, classes, traffic);
        // No scrape up to the last one has shown the flow, so none of its packets counted by then.
        let start = Start::at(packet.at().max(self.last_read));
        let index = store.insert(hash, slot, start);
        let shape = &self.keys.shape;
        if shape.keeps_places() {
            let Key {
                source_place,
                destination_place,
                ..
            } = shape.with_places(key.unpack());
            store.set_places(index, [source_place, destination_place]);
        }
        index
    }

    /// Holds a flow that was just exposed: until the hold ends, scrapes show its present counters.
    fn hold<A: Address>(&mut self, store: &mut Store<A>, index: u32) {
        if self.limits.hold.is_zero() {
            return;
        }
        let slot = &mut store[index];
        slot.set_state(SlotState::Held);
        let held = FlowSlot {
            index,
            is_wide: A::WIDE,
        };
        self.holds.push(self.now, slot.counters, held);
    }

    /// Counts a packet whose flow, which has this hash, has no slot. Returns the number of the overflow
    /// series.
    pub(super) fn overflow(&mut self, hash: u64, packet: BatchedPacket<'_>) -> u16 {
        self.overflow_packets += 1;
        // An idle flow was inserted before. Inserting it again does not change the estimate.
        self.demand.insert(hash);
        let key = self.keys.shape.overflow(&packet.seen());
        let number = key.map_or(0, |key| self.overflow.intern(key));
        self.overflow.begin(number, self.now);
        self.overflow.add(number, packet.bytes());
        number
    }

    /// Returns the classes of a packet's addresses, and the number of its traffic series.
    fn traffic_of(&mut self, seen: &Observation) -> ([Class; 2], u16) {
        let key = self.keys.shape.traffic(seen);
        let traffic = self.traffic.intern_with_hint(key, key.hint());
        ([key.from_class, key.to_class], traffic)
    }

    /// Returns the exposed flows as a scrape shows them.
    pub(super) fn flows<A: Address>(&self, store: &Store<A>) -> Vec<Flow<A>> {
        let exposed = store.exposed().iter().map(|&index| (index, &store[index]));
        let flows = exposed.map(|(index, slot)| Flow {
            key: store.shown_key(index),
            counters: slot.counters,
            start: store.start(index),
        });
        let mut flows: Vec<_> = flows.collect();
        for hold in self
            .holds
            .iter()
            .filter(|hold| hold.held.is_wide == A::WIDE)
        {
            flows[store.position(hold.held.index)].counters = hold.base;
        }
        flows
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
