//! Packets between decoding and counting.
//!
//! A thread that reads frames collects packets in a [`PacketBatch`] of its own, and builds and
//! hashes their keys there. Only the counting itself then needs the lock on the table.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use foldhash::quality::RandomState;

use super::Shape;
use super::clock::Moment;
use super::key::{Key, Packed};
use super::place::{Place, RecentPlaces};
use super::shape::{AnyKey, TrafficKey};
use crate::geo::Operator;
use crate::wire::Observation;

/// Builds and hashes the keys of packets' flows.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    pub(super) shape: Arc<Shape>,
    /// Senders choose the values in a key. With a hash that they could compute, they could send
    /// keys that all collide, and each look-up would walk through all of them. The seed is random
    /// and never leaves the process.
    pub(super) seed: RandomState,
    /// The bits of a narrow key that flows may show.
    mask: Packed<Ipv4Addr>,
    /// Whether compact packets hold the classes of their addresses.
    has_classes: bool,
    /// Whether some addresses are not shown whole.
    has_prefix_lengths: bool,
    /// Whether packets go to the side buffer, because the mask does not make their keys.
    looks_up_packets: bool,
}

/// A batch of packets for the table that created it.
#[derive(Debug)]
pub struct PacketBatch {
    keys: Keys,
    capacity: usize,
    packets: Vec<CompactPacket>,
    /// A side buffer with the packets that do not fit into a [`CompactPacket`].
    wide_packets: Vec<WidePacket>,
    /// The places of recent sources and destinations.
    recent_places: [RecentPlaces; 2],
    /// The operators that were looked up for the packets.
    operators: Vec<Operator>,
}

/// A packet in 56 bytes, less than one cache line: nearly all packets are stored in this form.
#[derive(Debug, Clone, Copy)]
struct CompactPacket {
    at: Moment,
    /// The hash of its flow's key.
    hash: u64,
    bytes: u64,
    contents: Contents,
}

#[derive(Debug, Clone, Copy)]
enum Contents {
    /// A key with all fields of the packet, from which [`Keys::flow`] makes that of the flow.
    Inline(Packed<Ipv4Addr>),
    /// The index of a [`WidePacket`]: an address is IPv6, or the key had to be looked up.
    InSideBuffer(u32),
}

/// A packet with the key of its flow.
#[derive(Debug, Clone, Copy)]
struct WidePacket {
    key: AnyKey,
    seen: Observation,
}

/// A packet of a batch, ready to be counted.
#[derive(Clone, Copy)]
pub(super) struct BatchedPacket<'a> {
    compact: &'a CompactPacket,
    batch: &'a PacketBatch,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum KeyRef<'a> {
    Narrow(Packed<Ipv4Addr>),
    Wide(&'a Packed<IpAddr>),
}

impl Keys {
    pub(super) fn new(shape: Shape) -> Self {
        Self {
            mask: shape.mask(),
            has_classes: shape.classifies_packets(),
            has_prefix_lengths: shape.classes.has_prefix_lengths(),
            looks_up_packets: shape.looks_up_packets(),
            shape: Arc::new(shape),
            seed: RandomState::default(),
        }
    }

    /// Packs a key with all fields of a packet, and adds the classes if flows or traffic series
    /// depend on them.
    #[inline]
    fn all_fields(&self, key: Key<Ipv4Addr>) -> Packed<Ipv4Addr> {
        if self.has_classes {
            self.shape.classified(key).pack_fields()
        } else {
            key.pack_fields()
        }
    }

    /// Returns the key of a flow from that of a packet with all fields.
    #[inline]
    fn flow(&self, all_fields: &Packed<Ipv4Addr>) -> Packed<Ipv4Addr> {
        let key = all_fields.masked(&self.mask);
        if self.has_prefix_lengths {
            key.cut_to_prefixes()
        } else {
            key
        }
    }
}

impl PacketBatch {
    /// Creates an empty batch that is full with `capacity` packets.
    pub(super) fn new(keys: &Keys, capacity: usize) -> Self {
        Self {
            keys: keys.clone(),
            capacity,
            packets: Vec::with_capacity(capacity),
            wide_packets: Vec::new(),
            recent_places: Default::default(),
            operators: Vec::new(),
        }
    }

    /// Adds a packet that arrived at `at`.
    #[expect(
        clippy::inline_always,
        reason = "an observation is larger than the registers"
    )]
    #[inline(always)]
    pub fn push(&mut self, at: Duration, seen: &Observation) {
        let at = Moment::of(at);
        match (
            seen.source.ipv4(),
            seen.destination.ipv4(),
            seen.sensor.ipv4(),
        ) {
            (Some(source), Some(destination), Some(sensor)) if !self.keys.looks_up_packets => {
                let key = Key::of_packet(source, destination, sensor, seen);
                let all_fields = self.keys.all_fields(key);
                self.packets.push(CompactPacket {
                    at,
                    hash: self.keys.flow(&all_fields).hash_with(&self.keys.seed),
                    bytes: seen.bytes,
                    contents: Contents::Inline(all_fields),
                });
            }
            _ => self.push_wide(at, *seen),
        }
    }

    // Not inlined: the code for compact packets stays small.
    #[inline(never)]
    fn push_wide(&mut self, at: Moment, seen: Observation) {
        let shape = &self.keys.shape;
        let places = if self.keys.looks_up_packets {
            let learn = |operator| self.operators.push(operator);
            shape.places_in_key(&mut self.recent_places, &self.keys.seed, &seen, learn)
        } else {
            [Place::NONE; 2]
        };
        let key = shape.key(&seen, places);
        let index = u32::try_from(self.wide_packets.len()).expect("a batch is small");
        self.packets.push(CompactPacket {
            at,
            hash: match key {
                AnyKey::Narrow(key) => key.hash_with(&self.keys.seed),
                AnyKey::Wide(key) => key.hash_with(&self.keys.seed),
            },
            bytes: seen.bytes,
            contents: Contents::InSideBuffer(index),
        });
        self.wide_packets.push(WidePacket { key, seen });
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Whether the batch should be counted now.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.packets.len() >= self.capacity
    }

    pub(super) fn clear(&mut self) {
        self.packets.clear();
        self.wide_packets.clear();
    }

    /// Keeps the operators that were found, in the order of the packets.
    pub(super) fn learn_operators(&mut self) {
        for operator in self.operators.drain(..) {
            self.keys.shape.places.learn(operator);
        }
    }

    /// Returns the packets in their order, in groups of at most `size`.
    pub(super) fn groups(
        &self,
        size: usize,
    ) -> impl Iterator<Item = impl Iterator<Item = BatchedPacket<'_>> + Clone> {
        self.packets.chunks(size).map(move |group| {
            group.iter().map(move |compact| BatchedPacket {
                compact,
                batch: self,
            })
        })
    }
}

impl<'a> BatchedPacket<'a> {
    #[inline]
    pub(super) fn at(self) -> Moment {
        self.compact.at
    }

    /// Returns the hash of its flow's key.
    #[inline]
    pub(super) fn hash(self) -> u64 {
        self.compact.hash
    }

    #[inline]
    pub(super) fn bytes(self) -> u64 {
        self.compact.bytes
    }

    /// Whether the key of its flow is wide.
    #[inline]
    pub(super) fn has_wide_key(self) -> bool {
        match self.compact.contents {
            Contents::Inline(_) => false,
            Contents::InSideBuffer(index) => {
                matches!(self.batch.wide_packets[index as usize].key, AnyKey::Wide(_))
            }
        }
    }

    /// Returns the key of its flow.
    #[inline]
    pub(super) fn key(self) -> KeyRef<'a> {
        match &self.compact.contents {
            Contents::Inline(key) => KeyRef::Narrow(self.batch.keys.flow(key)),
            Contents::InSideBuffer(index) => match &self.batch.wide_packets[*index as usize].key {
                AnyKey::Narrow(key) => KeyRef::Narrow(*key),
                AnyKey::Wide(key) => KeyRef::Wide(key),
            },
        }
    }

    /// Returns the key of the series of the traffic families in which it counts.
    #[inline]
    pub(super) fn traffic(self) -> TrafficKey {
        match &self.compact.contents {
            Contents::Inline(key) if self.batch.keys.has_classes => key.unpack_fields().into(),
            _ => self.batch.keys.shape.traffic(&self.seen()),
        }
    }

    /// Returns the observation without `truncated`, which the table does not need.
    pub(super) fn seen(self) -> Observation {
        let key = match &self.compact.contents {
            Contents::Inline(key) => key.unpack_fields(),
            Contents::InSideBuffer(index) => return self.batch.wide_packets[*index as usize].seen,
        };
        Observation {
            source: key.source.into(),
            destination: key.destination.into(),
            protocol: key.protocol,
            listen_port: key.listen_port,
            sensor: key.sensor.into(),
            ports: key.from_port.zip(key.to_port),
            vlan: key.vlan,
            dscp: key.dscp,
            bytes: self.compact.bytes,
            truncated: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use etherparse::IpNumber;

    use super::super::{Classes, Label, Labels, Services};
    use super::*;

    #[test]
    fn a_compact_packet_takes_56_bytes() {
        assert_eq!(size_of::<CompactPacket>(), 56);
    }

    /// Compact packets take a shortcut to the keys that the shape computes.
    ///
    /// Checks the sets of few labels, and those without few.
    #[test]
    fn keys_of_compact_packets_are_those_of_the_shape() {
        for labels in 1..1_u32 << Label::ALL.len() {
            let count = labels.count_ones() as usize;
            if count.min(Label::ALL.len() - count) > 3 {
                continue;
            }
            let labels = Label::ALL
                .into_iter()
                .filter(|&label| labels & 1 << label as u32 != 0);
            check(labels.collect(), &[]);
        }
        let default = Labels::default();
        let with_sensor: Labels = "from,to_type,sensor".parse().expect("labels");
        let without_addresses: Labels = "from_type,ip_version".parse().expect("labels");
        for labels in [default, with_sensor, without_addresses] {
            check(labels, &["public=24"]);
            check(labels, &["public=0", "lan=31", "private=32"]);
        }
    }

    #[track_caller]
    fn check(labels: Labels, lengths: &[&str]) {
        let lengths: Vec<_> = lengths
            .iter()
            .map(|text| text.parse().expect("a prefix length"))
            .collect();
        let network = "lan=192.168.7.0/24".parse().expect("a network");
        let shape = Shape {
            labels,
            classes: Classes::new(&[network], &lengths).expect("known names"),
            services: Services::with_file("web 443/tcp").expect("a service"),
            ..Shape::default()
        };
        let mut batch = PacketBatch::new(&Keys::new(shape), 8);
        for source in [[10, 1, 2, 3], [192, 168, 7, 255], [203, 0, 114, 77]] {
            let seen = Observation {
                source: source.into(),
                destination: [255; 4].into(),
                protocol: IpNumber::TCP,
                listen_port: 37008,
                sensor: [192, 168, 88, 1].into(),
                ports: Some((54321, 443)),
                vlan: Some(7),
                dscp: 46,
                bytes: 100,
                truncated: None,
            };
            batch.push(Duration::ZERO, &seen);
            let packet = batch.groups(1).last().and_then(|mut group| group.next());
            let packet = packet.expect("it was pushed");
            let shape = &batch.keys.shape;
            match (packet.key(), shape.key(&seen, [Place::NONE; 2])) {
                (KeyRef::Narrow(key), AnyKey::Narrow(expected)) => {
                    assert_eq!(key.unpack(), expected.unpack(), "{labels:?}");
                    assert_eq!(packet.hash(), expected.hash_with(&batch.keys.seed));
                }
                (key, expected) => panic!("{key:?} instead of {expected:?}"),
            }
            assert_eq!(packet.traffic(), shape.traffic(&seen));
            assert_eq!(packet.seen(), seen);
        }
    }
}
