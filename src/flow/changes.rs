//! What packets add to each series, for callers that keep a history.

use std::collections::HashMap;
use std::mem;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use foldhash::quality::RandomState;
use hashbrown::HashTable;

use super::key::{Address, Key, Packed};
use super::label::Label;
use super::packets::{BatchedPacket, KeyRef};
use super::series::BoundedSeries;
use super::shape::{OverflowKey, Shape, TrafficKey};
use super::snapshot::{Counters, HostKey};

/// The number of flows whose keys are kept: a few MiB.
const MAX_FLOWS: usize = 50_000;
/// The number of series of hosts that are kept: a few MiB.
const MAX_HOSTS: usize = 50_000;

/// The counters of packets since they were last taken, by series. A table adds the packets that it
/// counts; see [`FlowTable::record_with`](super::FlowTable::record_with).
///
/// The limits of series are those of a table that has counted the same packets.
#[derive(Debug)]
pub struct Changes {
    shape: Arc<Shape>,
    narrow: FlowChanges<Ipv4Addr>,
    wide: FlowChanges<IpAddr>,
    overflow_numbers: BoundedSeries<OverflowKey>,
    overflow: Tally,
    traffic_numbers: BoundedSeries<TrafficKey>,
    traffic: Tally,
    hosts: HashMap<HostKey, Counters, RandomState>,
    /// The seed of the hashes of flows: senders choose their keys.
    seed: RandomState,
}

/// Counters of flows, whose keys stay after their counters were taken: most flows have packets
/// again soon.
#[derive(Debug)]
struct FlowChanges<A: Address> {
    /// The numbers of flows, by the hash of their keys.
    index: HashTable<u32>,
    /// The key and the hash of each flow, by number.
    keys: Vec<(Packed<A>, u64)>,
    tally: Tally,
}

/// Counters by a number. Taking them costs as much as there are numbers that have changed.
#[derive(Debug, Default)]
struct Tally {
    counters: Vec<Counters>,
    /// The numbers with packets.
    changed: Vec<u32>,
}

impl Changes {
    #[must_use]
    pub fn new(shape: Arc<Shape>) -> Self {
        Self {
            shape,
            narrow: FlowChanges::default(),
            wide: FlowChanges::default(),
            overflow_numbers: BoundedSeries::default(),
            overflow: Tally::default(),
            traffic_numbers: BoundedSeries::default(),
            traffic: Tally::default(),
            hosts: HashMap::default(),
            seed: RandomState::default(),
        }
    }

    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Adds a packet. `flow` is the key of its flow, unless that was beyond the limit of flows. `hosts`
    /// are the series of hosts in which it counts.
    #[inline]
    pub(super) fn add(
        &mut self,
        packet: BatchedPacket<'_>,
        flow: Option<KeyRef<'_>>,
        hosts: [Option<HostKey>; 2],
    ) {
        for key in hosts.into_iter().flatten() {
            self.hosts.entry(key).or_default().add(packet.bytes());
        }
        let key = self.shape.traffic(&packet.seen());
        let traffic = self.traffic_numbers.intern_with_hint(key, key.hint());
        self.traffic.add(traffic.into(), packet.bytes());
        if let Some(key) = flow {
            let hash = key.hash_with(&self.seed);
            match key {
                KeyRef::Narrow(key) => self.narrow.add(key, hash, packet.bytes()),
                KeyRef::Wide(key) => self.wide.add(key, hash, packet.bytes()),
            }
        } else {
            let key = self.shape.overflow(&packet.seen());
            let number = key.map_or(0, |key| self.overflow_numbers.intern(key));
            self.overflow.add(number.into(), packet.bytes());
        }
    }

    /// Whether so many flows or hosts have changed that the counters should be taken now.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.has_many_flows() || self.hosts.len() >= MAX_HOSTS
    }

    fn has_many_flows(&self) -> bool {
        self.narrow.keys.len() + self.wide.keys.len() >= MAX_FLOWS
    }

    /// Takes the counters of all flows that have changed, and their keys. Classes that the shown
    /// addresses determine are not part of a key; see [`Shape::with_classes`].
    pub fn take_flows(&mut self, mut visit: impl FnMut(Key<IpAddr>, Counters)) {
        let has_many_flows = self.has_many_flows();
        self.narrow
            .take(|key, counters| visit(key.widened(), counters));
        self.wide.take(visit);
        if has_many_flows {
            self.narrow = FlowChanges::default();
            self.wide = FlowChanges::default();
        }
    }

    /// Takes the counters of hosts.
    pub fn take_hosts(&mut self, mut visit: impl FnMut(HostKey, Counters)) {
        for (key, counters) in self.hosts.drain() {
            visit(key, counters);
        }
    }

    /// Takes the counters of packets whose flow had no slot. The series without a key has all those
    /// beyond the limit of keys.
    pub fn take_overflow(&mut self, mut visit: impl FnMut(Option<OverflowKey>, Counters)) {
        let numbers = &self.overflow_numbers;
        self.overflow
            .take(|number, counters| visit(numbers.key(number), counters));
    }

    /// Takes the counters of the series of the traffic families. The series without a key has all
    /// packets beyond the limit of keys.
    pub fn take_traffic(&mut self, mut visit: impl FnMut(Option<TrafficKey>, Counters)) {
        let numbers = &self.traffic_numbers;
        self.traffic
            .take(|number, counters| visit(numbers.key(number), counters));
    }
}

impl<A: Address> FlowChanges<A> {
    #[inline]
    fn add(&mut self, key: &Packed<A>, hash: u64, bytes: u64) {
        let keys = &self.keys;
        let known = self
            .index
            .find(hash, |&number| keys[number as usize].0 == *key);
        let number = match known {
            Some(&number) => number,
            None => self.insert(key, hash),
        };
        self.tally.add(number as usize, bytes);
    }

    #[cold]
    fn insert(&mut self, key: &Packed<A>, hash: u64) -> u32 {
        let number = u32::try_from(self.keys.len()).expect("the number of flows is limited");
        self.keys.push((*key, hash));
        let keys = &self.keys;
        self.index
            .insert_unique(hash, number, |&number| keys[number as usize].1);
        number
    }

    fn take(&mut self, mut visit: impl FnMut(Key<A>, Counters)) {
        let keys = &self.keys;
        self.tally
            .take(|number, counters| visit(keys[number].0.unpack(), counters));
    }
}

impl<A: Address> Default for FlowChanges<A> {
    fn default() -> Self {
        Self {
            index: HashTable::new(),
            keys: Vec::new(),
            tally: Tally::default(),
        }
    }
}

impl Tally {
    #[inline]
    fn add(&mut self, number: usize, bytes: u64) {
        if number >= self.counters.len() {
            self.counters.resize(number + 1, Counters::default());
        }
        let counters = &mut self.counters[number];
        if counters.packets == 0 {
            let number = u32::try_from(number).expect("the number of series is limited");
            self.changed.push(number);
        }
        counters.add(bytes);
    }

    fn take(&mut self, mut visit: impl FnMut(usize, Counters)) {
        for number in self.changed.drain(..) {
            let number = number as usize;
            visit(number, mem::take(&mut self.counters[number]));
        }
    }
}

impl Shape {
    /// Returns the key with its classes filled in.
    #[must_use]
    pub fn with_classes(&self, mut key: Key<IpAddr>) -> Key<IpAddr> {
        // With prefix lengths, the key has its classes already: those of the whole addresses, which
        // can no longer be derived from the shown part.
        if !self.classes.has_prefix_lengths() {
            if self.labels.contains(Label::From) {
                key.source_class = self.classes.of(key.source);
            }
            if self.labels.contains(Label::To) {
                key.destination_class = self.classes.of(key.destination);
            }
        }
        self.with_places(key)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use etherparse::IpNumber;

    use super::super::{FlowLimits, FlowTable};
    use super::*;
    use crate::wire::Observation;

    const TCP: OverflowKey = OverflowKey {
        protocol: IpNumber::TCP,
        listen_port: 37008,
    };

    fn table(flows: u32) -> (FlowTable, Changes) {
        let limits = FlowLimits {
            flows,
            hosts: 0,
            idle_flows: 0,
            idle_timeout: Duration::ZERO,
            hold: Duration::ZERO,
            hide_unseen: true,
        };
        let table = FlowTable::new(Shape::default(), limits);
        let changes = Changes::new(Arc::clone(table.shape()));
        (table, changes)
    }

    /// A packet of TCP from 10.x.x.x to 10.0.0.1.
    fn packet(source: u32, bytes: u64) -> Observation {
        Observation {
            source: Ipv4Addr::from_bits(0x0a00_0000 | source).into(),
            destination: [10, 0, 0, 1].into(),
            protocol: IpNumber::TCP,
            listen_port: 37008,
            bytes,
            ..Observation::default()
        }
    }

    fn record(table: &mut FlowTable, changes: &mut Changes, packets: &[Observation]) {
        let mut batch = table.packets(packets.len());
        for packet in packets {
            batch.push(Duration::ZERO, packet);
        }
        table.record_with(&mut batch, changes);
    }

    /// Takes all counters: sources of flows in order, overflow, traffic; each with bytes and packets.
    #[expect(clippy::type_complexity, reason = "tuples are short in assertions")]
    fn take(
        changes: &mut Changes,
    ) -> (
        Vec<(String, u64, u64)>,
        Vec<(Option<OverflowKey>, u64, u64)>,
        Vec<(u64, u64)>,
    ) {
        let (mut flows, mut overflow, mut traffic) = (Vec::new(), Vec::new(), Vec::new());
        changes.take_flows(|key, Counters { bytes, packets }| {
            flows.push((key.source.to_string(), bytes, packets));
        });
        changes.take_overflow(|key, Counters { bytes, packets }| {
            overflow.push((key, bytes, packets));
        });
        changes.take_traffic(|_, Counters { bytes, packets }| traffic.push((bytes, packets)));
        flows.sort();
        (flows, overflow, traffic)
    }

    #[test]
    fn counters_start_from_0_after_they_were_taken() {
        let (mut table, mut changes) = table(2);
        let first = [packet(5, 100), packet(6, 40), packet(5, 100), packet(7, 60)];
        record(&mut table, &mut changes, &first);
        let flow = |source: &str, bytes, packets| (source.to_owned(), bytes, packets);
        assert_eq!(
            take(&mut changes),
            (
                vec![flow("10.0.0.5", 200, 2), flow("10.0.0.6", 40, 1)],
                vec![(Some(TCP), 60, 1)],
                vec![(300, 4)]
            )
        );
        record(&mut table, &mut changes, &[packet(6, 80)]);
        assert_eq!(
            take(&mut changes),
            (vec![flow("10.0.0.6", 80, 1)], vec![], vec![(80, 1)])
        );
        assert_eq!(take(&mut changes), (vec![], vec![], vec![]));
    }

    #[test]
    fn taking_frees_the_keys_of_too_many_flows() {
        let flows = u32::try_from(MAX_FLOWS).expect("it fits");
        let (mut table, mut changes) = table(flows);
        let packets: Vec<_> = (1..flows).map(|source| packet(source, 1)).collect();
        for is_full in [false, true] {
            record(&mut table, &mut changes, &packets);
            if is_full {
                record(&mut table, &mut changes, &[packet(flows, 1)]);
            }
            assert_eq!(changes.is_full(), is_full);
            let taken = take(&mut changes).0.len();
            assert_eq!(taken, MAX_FLOWS - usize::from(!is_full));
        }
        assert!(!changes.is_full());
        record(&mut table, &mut changes, &packets[..1]);
        assert_eq!(take(&mut changes).0, [("10.0.0.1".to_owned(), 1, 1)]);
    }
}
