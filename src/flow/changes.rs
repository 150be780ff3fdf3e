//! What packets add to each series, for callers that keep a history.

use std::collections::HashMap;
use std::mem;
use std::net::{IpAddr, Ipv4Addr};

use foldhash::quality::RandomState;
use hashbrown::HashTable;

use super::key::{Address, Key, Packed};
use super::label::Label;
use super::packets::{BatchedPacket, KeyRef};
use super::shape::{OverflowKey, Shape, TrafficKey};
use super::snapshot::{Counters, HostKey};
use super::table::Counted;

/// The number of distinct packet keys that are kept: a few MiB.
const MAX_KEYS: usize = 50_000;

/// The counters of packets since they were last taken. A table adds the packets that it counts, and
/// says in which series they have counted: see
/// [`FlowTable::record_with`](super::FlowTable::record_with) and
/// [`FlowTable::take_changes`](super::FlowTable::take_changes).
#[derive(Debug, Default)]
pub struct Changes {
    pub(super) narrow: PacketSums<Ipv4Addr>,
    pub(super) wide: PacketSums<IpAddr>,
    /// Sums over packets with different keys, while changes are taken. Empty otherwise; only their
    /// allocations are kept.
    pub(super) traffic: Tally,
    pub(super) overflow: Tally,
    pub(super) hosts: HashMap<HostKey, Counters, RandomState>,
}

/// A series of a table, apart from its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Series {
    /// The key lacks classes and places that the shown addresses determine: see
    /// [`Shape::with_classes`].
    Flow(Key<IpAddr>),
    /// `None` for all packets beyond the limit of keys.
    Overflow(Option<OverflowKey>),
    /// `None` for all packets beyond the limit of keys.
    Traffic(Option<TrafficKey>),
    Host(HostKey),
}

/// Counters of packets by their key and by where they have counted. The keys stay after the counters
/// were taken: most have packets again soon.
#[derive(Debug)]
pub(super) struct PacketSums<A: Address> {
    /// The positions in `sums`, by the hash of the key.
    index: HashTable<u32>,
    sums: Vec<PacketSum<A>>,
    /// The positions of the sums with packets.
    changed: Vec<u32>,
}

/// The counters of all packets with the same key that have counted in the same series.
#[derive(Debug)]
struct PacketSum<A: Address> {
    key: Packed<A>,
    counted: Counted,
    hash: u64,
    counters: Counters,
}

/// Counters by a number. Taking them costs as much as there are numbers that have changed.
#[derive(Debug, Default)]
pub(super) struct Tally {
    counters: Vec<Counters>,
    /// The numbers with packets.
    changed: Vec<u16>,
}

impl Changes {
    /// Adds a packet, and where it has counted.
    #[inline]
    pub(super) fn add(&mut self, packet: BatchedPacket<'_>, counted: Counted) {
        let (hash, bytes) = (packet.hash(), packet.bytes());
        match packet.key() {
            KeyRef::Narrow(key) => self.narrow.add(hash, key, counted, bytes),
            KeyRef::Wide(key) => self.wide.add(hash, key, counted, bytes),
        }
    }

    /// Whether the packets had so many different keys that the changes should be taken now.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.narrow.sums.len() + self.wide.sums.len() >= MAX_KEYS
    }

    /// Forgets the keys, whose counters were all taken.
    pub(super) fn forget_keys(&mut self) {
        self.narrow = PacketSums::default();
        self.wide = PacketSums::default();
    }
}

impl<A: Address> PacketSums<A> {
    #[inline]
    fn add(&mut self, hash: u64, key: &Packed<A>, counted: Counted, bytes: u64) {
        let sums = &self.sums;
        let known = self.index.find(hash, |&position| {
            let sum = &sums[position as usize];
            sum.key == *key && sum.counted == counted
        });
        let position = match known {
            Some(&position) => position,
            None => self.insert(hash, key, counted),
        };
        let sum = &mut self.sums[position as usize];
        if sum.counters.packets == 0 {
            self.changed.push(position);
        }
        sum.counters.add(bytes);
    }

    #[cold]
    fn insert(&mut self, hash: u64, key: &Packed<A>, counted: Counted) -> u32 {
        let position = u32::try_from(self.sums.len()).expect("the number of keys is limited");
        self.sums.push(PacketSum {
            key: *key,
            counted,
            hash,
            counters: Counters::default(),
        });
        let sums = &self.sums;
        self.index
            .insert_unique(hash, position, |&position| sums[position as usize].hash);
        position
    }

    /// Takes the counters of all packets.
    pub(super) fn take(&mut self, mut visit: impl FnMut(&Packed<A>, Counted, Counters)) {
        for position in self.changed.drain(..) {
            let sum = &mut self.sums[position as usize];
            visit(&sum.key, sum.counted, mem::take(&mut sum.counters));
        }
    }
}

impl<A: Address> Default for PacketSums<A> {
    fn default() -> Self {
        Self {
            index: HashTable::new(),
            sums: Vec::new(),
            changed: Vec::new(),
        }
    }
}

impl Tally {
    pub(super) fn add(&mut self, number: u16, counters: Counters) {
        let index = usize::from(number);
        if index >= self.counters.len() {
            self.counters.resize(index + 1, Counters::default());
        }
        let sum = &mut self.counters[index];
        if sum.packets == 0 {
            self.changed.push(number);
        }
        *sum = sum.plus(counters);
    }

    pub(super) fn take(&mut self, mut visit: impl FnMut(u16, Counters)) {
        for number in self.changed.drain(..) {
            visit(number, mem::take(&mut self.counters[usize::from(number)]));
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
        (FlowTable::new(Shape::default(), limits), Changes::default())
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
        table: &mut FlowTable,
        changes: &mut Changes,
    ) -> (
        Vec<(String, u64, u64)>,
        Vec<(Option<OverflowKey>, u64, u64)>,
        Vec<(u64, u64)>,
    ) {
        let (mut flows, mut overflow, mut traffic) = (Vec::new(), Vec::new(), Vec::new());
        table.take_changes(
            changes,
            |series, Counters { bytes, packets }| match series {
                Series::Flow(key) => flows.push((key.source.to_string(), bytes, packets)),
                Series::Overflow(key) => overflow.push((key, bytes, packets)),
                Series::Traffic(_) => traffic.push((bytes, packets)),
                Series::Host(_) => panic!("there are no hosts"),
            },
        );
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
            take(&mut table, &mut changes),
            (
                vec![flow("10.0.0.5", 200, 2), flow("10.0.0.6", 40, 1)],
                vec![(Some(TCP), 60, 1)],
                vec![(300, 4)]
            )
        );
        record(&mut table, &mut changes, &[packet(6, 80)]);
        assert_eq!(
            take(&mut table, &mut changes),
            (vec![flow("10.0.0.6", 80, 1)], vec![], vec![(80, 1)])
        );
        assert_eq!(take(&mut table, &mut changes), (vec![], vec![], vec![]));
    }

    #[test]
    fn taking_frees_the_keys_of_too_many_flows() {
        let flows = u32::try_from(MAX_KEYS).expect("it fits");
        let (mut table, mut changes) = table(flows);
        let packets: Vec<_> = (1..flows).map(|source| packet(source, 1)).collect();
        for is_full in [false, true] {
            record(&mut table, &mut changes, &packets);
            if is_full {
                record(&mut table, &mut changes, &[packet(flows, 1)]);
            }
            assert_eq!(changes.is_full(), is_full);
            let taken = take(&mut table, &mut changes).0.len();
            assert_eq!(taken, MAX_KEYS - usize::from(!is_full));
        }
        assert!(!changes.is_full());
        record(&mut table, &mut changes, &packets[..1]);
        assert_eq!(
            take(&mut table, &mut changes).0,
            [("10.0.0.1".to_owned(), 1, 1)]
        );
    }
}
